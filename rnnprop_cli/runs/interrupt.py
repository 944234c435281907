"""What signals do. Anywhere: unwind, so that files are closed and the terminal is restored. In `train` and `bench`:
stop at the next step, where everything can be saved; the second one forces.

Light to import: handlers are set before anything else is loaded.
"""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
# By the last three, queues of jobs say that the time is nearly over. SIGINT is one of them too, by KeyboardInterrupt.
ENDING: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGXCPU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# An exception that is raised amid the loading of a library may meet native code that aborts the process on it.
LOADING_AT_MOST: Final = 10.0  # seconds that the first signal waits for the end of a loading
_LOOK_AGAIN: Final = 0.02  # seconds
_received: list[int] = []  # signals whose exception may have been lost: code that was loaded caught it
_raised_by: float | None = None  # when at the latest a signal is raised that waits; None: none does


def unwind_on_signals() -> None:
    """From here on a signal that would kill the process raises SystemExit instead, Ctrl+C KeyboardInterrupt."""
    for number in (*ENDING, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _unwind)
    signal.signal(signal.SIGALRM, _unwind_after_loading)


def end_at_once_from_here_on() -> None:
    """All is done: a signal amid the interpreter's own end has nothing left to unwind."""
    _wait_no_more()
    for number in (*ENDING, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _unwind(number: int, frame: FrameType | None) -> None:
    global _raised_by
    _received.append(number)
    if number == signal.SIGHUP:
        forget_lost_terminal()
    if len(_received) == 1 and _is_loading(frame):
        _raised_by = time.monotonic() + LOADING_AT_MOST
        signal.setitimer(signal.ITIMER_REAL, _LOOK_AGAIN, _LOOK_AGAIN)
        return
    _wait_no_more()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def unwind_if_asked() -> None:
    """Raises for a signal that has waited for the end of a loading: before something begins that it would tear."""
    if _raised_by is not None:
        _unwind(_received.pop(0), None)


def _unwind_after_loading(number: int, frame: FrameType | None) -> None:
    if _raised_by is not None and (time.monotonic() >= _raised_by or not _is_loading(frame)):
        unwind_if_asked()


def _is_loading(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _wait_no_more() -> None:
    global _raised_by
    if _raised_by is not None:
        _raised_by = None
        signal.setitimer(signal.ITIMER_REAL, 0)


def exit_code_of_signal() -> int | None:
    """128 + the signal that should have unwound all this; None if none came.

    Where it came amid code that makes other exceptions of those that it meets, an error says nothing of the truth.
    """
    return 128 + _received[0] if _received else None


def forget_lost_terminal() -> None:
    """Points standard streams at the null device that lead to a terminal which has gone: every write there fails."""
    for descriptor in range(3):
        try:
            os.ttyname(descriptor)
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENXIO):  # not ENOTTY: a file or a pipe
                with suppress(OSError):
                    null = os.open(os.devnull, os.O_RDWR)
                    os.dup2(null, descriptor)
                    os.close(null)


def forget_dead_streams() -> None:
    """Points standard streams at the null device that take nothing: a closed pipe, a full disk.

    Python's own flush at the end would otherwise fail once more, and change the exit code to 120.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where the shell has closed it
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # a stream without a file descriptor has nothing to silence
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


class StopRequest:
    """Whether somebody asked the program to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = _received[0] if _received else None

    def __bool__(self) -> bool:
        return self.signal is not None

    def received(self, signal: int | None) -> bool:
        """Takes a signal that another process has received, if one has; whether there was any."""
        self.signal = self.signal if self.signal is not None else signal
        return bool(self)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl+C, 143 after SIGTERM, 129 after a hang-up."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """While open, signals set the request instead of raising; Ctrl+C or Ctrl+\\ after it raises KeyboardInterrupt.

    Outside the main thread Python delivers no signals; the request then stays unset.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    _wait_no_more()  # the request knows

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            forget_lost_terminal()
        if request and number in (signal.SIGINT, signal.SIGQUIT):
            raise KeyboardInterrupt
        request.signal = number

    taken = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, *taken)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
