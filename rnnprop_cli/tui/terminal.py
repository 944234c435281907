"""Whatever ends the app, the terminal is afterwards as it was before."""

import contextlib
import errno
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Protocol

SECONDS_TO_END: Final = 2.0  # then it is ended from outside
SECONDS_PER_LOOK: Final = 0.5
_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGINT,
    signal.SIGXCPU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# What Textual switches on, switched off: keyboard protocol, mouse, focus, paste, resizing, alternate screen; and the
# cursor, wrapping and colours as usual.
_RESET: Final = (
    b"\x1b[<u\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?1004l\x1b[?2004l"
    b"\x1b[?2026l\x1b[?2048l\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
)


class Endable(Protocol):
    """What a signal can end."""

    def end_soon(self) -> None:
        """End as soon as what it is doing is done; called from a signal handler, at any time."""


class Ending:
    """Whether a signal ends the app, and which."""

    def __init__(self, app: Endable) -> None:
        self._app = app
        self._before = _attributes()
        self.signal: int | None = None

    @property
    def exit_code(self) -> int | None:
        """128 + the signal; None if none came."""
        return None if self.signal is None else 128 + self.signal

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask the app to end; never raises, for it may be amid a drawing."""
        if self.signal is not None:
            return
        self.signal = number
        patience = threading.Timer(SECONDS_TO_END, self._force)
        patience.daemon = True
        patience.start()
        self._app.end_soon()

    def watch(self, done: threading.Event) -> None:
        """End the app when its terminal has gone, also where a hang-up is not heard, as under nohup."""
        while not done.wait(SECONDS_PER_LOOK):
            if _is_gone(0) or _is_gone(2):
                self.handle(signal.SIGHUP, None)
                return

    def _force(self) -> None:
        """It hangs: nothing of it is waited for."""
        self.restore()
        os._exit(self.exit_code or 1)

    def restore(self) -> None:
        """The terminal as it was, whatever state it is in now."""
        with contextlib.suppress(OSError):
            os.set_blocking(2, False)  # a terminal that takes nothing must not keep us
            os.write(2, _RESET)
        with contextlib.suppress(OSError):
            os.set_blocking(2, True)
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._before)


@contextmanager
def terminal_restored(app: Endable) -> Iterator[Ending]:
    """While open, signals end the app in order; afterwards the terminal is as it was, also after an exception."""
    ending = Ending(app)
    taken = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, ending.handle) for number in taken}
    done = threading.Event()
    threading.Thread(target=ending.watch, args=(done,), name="terminal watcher", daemon=True).start()
    try:
        yield ending
    finally:
        done.set()
        if ending.signal is not None or sys.exc_info()[0] is not None or _attributes() != ending._before:
            ending.restore()
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_gone(descriptor: int) -> bool:
    """Whether it leads to a terminal that was closed at its other end."""
    try:
        termios.tcgetattr(descriptor)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False


def _attributes() -> list[Any] | None:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None
