"""A worker process of the local engine: takes jobs from its driver through a socket until the driver goes away.

Light to import: the thread that watches the driver must run before torch is loaded, which takes seconds.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Final

READY: Final = "ready"
OOM_SCORE: Final = 800  # of 1000: before everything that has not asked for it
SECONDS_PER_MESSAGE: Final = 0.1  # progress without curves is told at most this often
Socket = Connection  # both ends send and receive

# Job and message travel as pickles: between this program and its own child, never from a file.
_BOOT: Final = "from rnnprop_cli.execute.worker import work; work({descriptor})"


def start(boot: str | None = None) -> tuple[subprocess.Popen[bytes], Socket]:
    """A fresh process, and our end of the socket to it. It says `READY` once it can work.

    Args:
        boot: the code that it runs, with the number of its descriptor to fill in; None: that of a worker.
    """
    ours, theirs = Pipe()
    try:
        # The same modules as ours, whatever the working directory holds.
        path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
        with _interrupts_blocked():
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", (boot or _BOOT).format(descriptor=theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A child inherits the mask: what the terminal sends to all (Ctrl+C, Ctrl+\\, a hang-up) is the driver's to handle,
    from the child's very first instruction on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(descriptor: int) -> None:
    """Runs jobs one after the other; never returns."""
    go_first_where_memory_ends()
    os.set_inheritable(descriptor, False)  # a compiler that we start must not keep the socket open
    socket: Socket = Connection(descriptor)
    jobs: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=listen, args=(socket, jobs), daemon=True).start()
    import rnnprop_cli.execute.dispatch  # noqa: F401  torch: after the watch has begun

    try:
        socket.send(READY)
        while True:
            _carry_out(jobs.get(), socket)
    except OSError:  # the driver has gone
        os._exit(1)


def go_first_where_memory_ends() -> None:
    """Where the kernel has to end somebody for want of memory, a worker costs a batch, its driver the whole run."""
    with suppress(OSError):  # Linux only; always permitted upwards
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def listen(socket: Socket, jobs: "SimpleQueue[bytes]") -> None:
    """Hands jobs on; ends the process, whatever it is doing, when nobody holds the other end any more."""
    try:
        while True:
            jobs.put(socket.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _carry_out(pickled: bytes, socket: Socket) -> None:
    from rnnprop_cli.errors import DeviceLostError
    from rnnprop_cli.execute.bench import BatchDone, BatchJob
    from rnnprop_cli.execute.dispatch import run_job

    job: BatchJob = pickle.loads(pickled)
    job.engine.prepare()
    last = 0.0
    try:
        for event in run_job(job):
            if isinstance(event, BatchDone) or event.curves or time.monotonic() - last > SECONDS_PER_MESSAGE:
                last = time.monotonic()
                socket.send(event)
    except OSError:
        raise
    except DeviceLostError as error:  # nothing can be computed on that GPU in this process any more
        socket.send(error)
        os._exit(1)
    except Exception as error:  # what `run_job` does not make a result of: the driver's to report
        socket.send(error)
