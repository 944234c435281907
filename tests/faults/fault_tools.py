"""Small specs, commands that can be killed, and what must be equal afterwards."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rnnprop_cli
from rnnprop_cli.records import MOVING_AVERAGE, TRAIN_LOSS, VALIDATION_LOSS
from rnnprop_cli.runs.snapshots import latest_snapshot
from rnnprop_cli.store.reader import Reader

TALLY: Counter[str] = Counter()  # what was injected, told at the end; a test that fails tells what was lost
ROOT = Path(rnnprop_cli.__file__).parents[1]
DB = "a.db"

BENCH = """\
name = "small"
seeds = 2
horizon = [20, 40]
minibatch = 8
calibrated = false
optimizees = [{ kind = "mlp", dataset = "digits", hidden = 2 }]
[[optimizers]]
kind = "sgd"
[[optimizers]]
kind = "adam"
[[optimizers]]
kind = "momentum"
lr = 0.1
[tuning]
points = 3
seeds = 2
max_rounds = 2
confirm_seeds = 2
"""
LONG_BENCH = BENCH.replace("[20, 40]", "[100, 150]")  # slow enough for who needs seconds to see what goes on
TRAIN = """\
name = "tiny"
meta_iterations = 24
minibatch = 8
optimizer = { kind = "rnnprop", embedding = 3, hidden = 3 }
optimizee = { kind = "mlp", dataset = "digits", hidden = 2 }
random_scaling = 3.0
convex = { dimension = 3 }
truncation = { horizon = 8, unroll = 4 }
validation = { every = 6, seeds = 2 }
checkpoint = { every = 12, rolling = 3 }
"""
LARGEST_BATCH = 12  # cells: six rates, all of which two seeds may find alike, confirmed on two more
ROLLING = 3  # as TRAIN says: at most so much is lost


def hear_signals() -> None:
    """Undoes that under nohup, or in the background of a script, a process and all that it starts hear no Ctrl+C, no
    Ctrl+\\ and no hang-up."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class Command:
    """A running `rnnprop`."""

    def __init__(self, nursery: "Nursery", pid: int, output: Path) -> None:
        self.nursery, self.pid, self.output = nursery, pid, output
        self.code: int | None = None
        self.started = time.monotonic()

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code, negative if a signal killed it."""
        if self.code is None:
            self.code = int(self.nursery.answer())
            self.nursery.busy = False
            self.seconds = time.monotonic() - self.started
        return self.code

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return is_alive(self.pid)

    @property
    def said(self) -> str:
        return self.output.read_text()


class Nursery:
    """Starts commands, one at a time, in one folder each.

    Args:
        preload: a library that stands before the C library in all of them.
        before: a command that goes before the one that starts Python.
    """

    def __init__(self, preload: Path | None = None, before: Sequence[str] = ()) -> None:
        environment = {**os.environ, "RNNPROP_KERNEL": "reference", "RNNPROP_THREADS": "1", "COLUMNS": "200"}
        path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
        self.process = subprocess.Popen(
            [*before, sys.executable, str(Path(__file__).parent / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **environment,
                "PYTHONPATH": path,
                **({} if preload is None else {"LD_PRELOAD": str(preload)}),
            },
        )
        self.busy = False
        self.latest: Command | None = None
        assert self.answer() == "ready"

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(
        self,
        folder: Path,
        *arguments: str,
        faults: str = "",
        terminal: str = "",
        environment: dict[str, str] | None = None,
        limits: dict[str, int] | None = None,
        cgroup: Path | None = None,
        user: int = 0,
        umask: int = 0o022,
    ) -> Command:
        """Starts `rnnprop --db a.db ARGUMENTS` in `folder`; ARGUMENTS that begin with another --db go without.

        Args:
            folder: where.
            arguments: of the command.
            faults: names of what goes wrong inside; see `faults.py`.
            terminal: its standard streams, a file otherwise.
            environment: variables.
            limits: of the process, by their names in `resource`.
            cgroup: that it is in.
            user: whose process it is, 0: ours.
            umask: of that user.
        """
        assert not self.busy, "one command at a time"
        place = [] if arguments[:1] == ("--db",) else ["--db", DB]
        output = folder / "output.txt"
        order = {
            "folder": str(folder),
            "arguments": [*place, *arguments],
            "output": str(output),
            "faults": faults,
            "terminal": terminal,
            "environment": environment or {},
            "limits": limits or {},
            "cgroup": "" if cgroup is None else str(cgroup),
            "user": user,
            "umask": umask,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.busy = True
        self.latest = Command(self, int(self.answer()), output)
        return self.latest

    def run(self, folder: Path, *arguments: str, **how: Any) -> Command:
        """As `start`, and waits for its end."""
        command = self.start(folder, *arguments, **how)
        command.wait()
        return command

    def end_latest(self) -> None:
        """Ends a command that nobody has waited for, as after a test that failed, so that another one can start."""
        if self.latest is not None and self.busy:
            kill([self.latest.pid])
            self.latest.wait()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


def prepare(folder: Path, bench: str = BENCH, train: str = TRAIN) -> Path:
    """A folder with both specs in it."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.toml").write_text(bench)
    (folder / "train.toml").write_text(train)
    return folder


BENCH_COMMAND = ("bench", "--spec", "bench.toml")
TRAIN_COMMAND = ("train", "--spec", "train.toml")


def table(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every run's outcome with its curve, as bytes, by content hash."""
    with Reader.open(folder / DB) as reader:
        (experiment,) = reader.experiments(kind="bench")
        runs = reader.runs(experiment.id)
        curves = reader.curves([run.id for run in runs], "loss")
    return {
        run.facts.key: (
            run.result.status,
            repr(run.result.final_loss),
            repr(run.result.heldout_loss),
            run.result.first_bad_step,
            curves[run.id][0].tobytes() + curves[run.id][1].tobytes(),
        )
        for run in runs
    }


def committed(folder: Path) -> dict[str, tuple[str, str | None, float | None]]:
    """What the ledger holds, with times that a second run would change."""
    if not (folder / DB).exists():
        return {}
    with Reader.open(folder / DB) as reader:
        return {
            run.facts.key: (run.result.status, run.started_utc, run.result.elapsed_s)
            for each in reader.experiments(kind="bench")
            for run in reader.runs(each.id)
            if run.result.status in ("done", "diverged", "failed")
        }


def statuses(folder: Path) -> list[str]:
    """Of every run."""
    with Reader.open(folder / DB) as reader:
        return [run.result.status for each in reader.experiments() for run in reader.runs(each.id)]


def checkpoint_folder(folder: Path) -> Path:
    (found,) = (folder / "checkpoints").iterdir()
    return found


def fingerprint(folder: Path) -> str:
    """SHA-256 over the newest checkpoint's tensors and every logged loss, as raw bytes."""
    snapshot = latest_snapshot(checkpoint_folder(folder))
    assert snapshot is not None
    digest = hashlib.sha256()
    for name in sorted(snapshot.tensors):
        digest.update(name.encode() + snapshot.tensors[name].tobytes())
    with Reader.open(folder / DB) as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        assert info.result.status == "done"
        for metric in (TRAIN_LOSS, MOVING_AVERAGE, VALIDATION_LOSS):
            steps, values = reader.curve(info.id, metric)
            digest.update(steps.tobytes() + values.tobytes())
    return digest.hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock and what we printed."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".db.lock", "output.txt"))
    }


def temporary_files(folder: Path) -> list[Path]:
    """What a writing that did not come to its end has left."""
    return [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".new"))]


def try_mount(*arguments: str) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True)
    return done.returncode == 0


def children_of(pid: int) -> list[int]:
    """Pids of the living children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, seconds: float = 30.0) -> None:
    """Waits until `condition()` is true.

    Raises:
        AssertionError: it stays false.
    """
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def running_cells(folder: Path) -> int:
    """Cells that are marked as running; 0 before there is a database."""
    try:
        return statuses(folder).count("running")
    except Exception:
        return 0


def kill(pids: Sequence[int]) -> None:
    """kill -9, whoever still lives."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
