"""A terminal that is a test's own."""

import contextlib
import os
import pty
import select
import termios
import threading
import time
from typing import Final

SHOW_CURSOR: Final = b"\x1b[?25h"
HIDE_CURSOR: Final = b"\x1b[?25l"
OTHER_SCREEN: Final = b"\x1b[?1049h"
FIRST_SCREEN: Final = b"\x1b[?1049l"


class Terminal:
    """A pseudo-terminal whose every byte is kept."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.name = os.ttyname(self.slave)
        self.before = termios.tcgetattr(self.slave)
        self.shown = bytearray()
        self._open = True
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while self._open:
            if select.select([self.master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.master, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def drain(self) -> None:
        """Waits until nothing more comes."""
        length = -1
        while length != len(self.shown):
            length = len(self.shown)
            time.sleep(0.06)

    def close(self) -> None:
        self._open = False
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)

    def assert_as_before(self) -> None:
        """Modes, screen and cursor are what a shell expects, and nobody has shown a traceback."""
        self.drain()
        assert termios.tcgetattr(self.slave) == self.before
        shown = bytes(self.shown)
        assert shown.rfind(FIRST_SCREEN) >= shown.rfind(OTHER_SCREEN)
        assert shown.rfind(SHOW_CURSOR) >= shown.rfind(HIDE_CURSOR)
        assert b"Traceback" not in shown, shown[-3000:]
        assert b"Exception ignored" not in shown, shown[-3000:]
