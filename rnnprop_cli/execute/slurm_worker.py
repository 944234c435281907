"""A worker under SLURM: takes batches from the folder of its driver until there are none for a while.

    python -m rnnprop_cli.execute.slurm_worker FOLDER

It outlives its driver: what is in the folder it finishes, and a driver that is started again finds the results.
"""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from rnnprop_cli.execute.bench import BatchJob
from rnnprop_cli.execute.nodes import Wanted, node_name
from rnnprop_cli.execute.remote import messages
from rnnprop_cli.execute.slurm_folder import Folder, names
from rnnprop_cli.execute.wire import decode_job, weights_named_in

IDLE_S: Final = 30.0  # without a batch: then it makes room for others
SECONDS_PER_LOOK: Final = 0.1
SECONDS_PER_MESSAGE: Final = 1.0
PATIENCE_S: Final = 60.0  # with a full disk
READY: Final = "ready"
EXIT_FULL: Final = 3


def own_name() -> str:
    """The task of the array job that this process is, as squeue calls it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "0")


def own_node() -> str:
    """This machine, as SLURM calls it."""
    return os.environ.get("SLURMD_NODENAME") or node_name()


def work(root: Path) -> int:
    """Runs batches; returns the exit status."""
    folder, me = Folder(root), own_name()
    folder.check_own()
    wanted = Wanted.parse(folder.read(folder.wanted))
    refusal = wanted.refusal()
    folder.write(folder.workers / me, f"{own_node()}\n{refusal or READY}".encode())
    if refusal is not None:
        print(f"{own_node()} is refused: {refusal}", file=sys.stderr)
        return 0
    last = time.monotonic()
    while time.monotonic() - last < IDLE_S and folder.wanted.exists():
        name = _next(folder, me)
        if name is None:
            time.sleep(SECONDS_PER_LOOK)
            continue
        try:
            goes_on = _run(folder, name)
        except FileNotFoundError:  # the driver has gone, and has taken the folder with it
            return 0
        if not goes_on:
            return 1
        last = time.monotonic()
    return 0


def _next(folder: Folder, me: str) -> str | None:
    """A batch that is now ours."""
    taken = {path.name for path in names(folder.claims)}
    for path in names(folder.jobs):
        if path.name not in taken and folder.claim(path.name, me):
            return path.name
    return None


def _run(folder: Folder, name: str) -> bool:
    """Runs a batch; whether this process can go on."""
    for number, message in enumerate(messages(lambda: _read(folder, name), SECONDS_PER_MESSAGE)):
        _write_patiently(folder, folder.event(name, number, message.last), message.content)
        if not message.usable:
            return False
    return True


def _read(folder: Folder, name: str) -> BatchJob:
    content = folder.read(folder.jobs / name)
    weights = weights_named_in(content)
    return decode_job(content, None if weights is None else folder.read(folder.weights / weights))


def _write_patiently(folder: Folder, path: Path, content: bytes) -> None:
    """Where the disk is full, room may come: a result is worth waiting for."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            folder.write(path, content)
            return
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or time.monotonic() > deadline:
                raise
        time.sleep(1)


def main() -> None:
    """The program."""
    with suppress(OSError):
        os.umask(0o077)
    try:
        sys.exit(work(Path(sys.argv[1])))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_FULL)


if __name__ == "__main__":
    main()
