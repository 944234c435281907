"""The thread that watches the database, or several. It never touches a widget: it posts messages."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from textual.message import Message

from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.store.place import identity
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.several import open_readers
from rnnprop_cli.tui.holder import find_holder
from rnnprop_cli.tui.messages import StoreRead, StoreUnavailable
from rnnprop_cli.tui.reading import StoreReading, Wanted

_RETRY_S = 1.0  # how often an absent database is looked for


class StoreWatcher:
    """Polls the database a few times a second and posts a snapshot whenever it has changed."""

    def __init__(self, paths: Sequence[Path], post: Callable[[Message], object], polls_per_s: float) -> None:
        self.paths = [path.expanduser() for path in paths]
        self._post = post
        self._interval_s = 1 / polls_per_s
        self._wanted = Wanted()
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, but not for long: it may be reading from a slow disk."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def want(self, wanted: Wanted) -> None:
        """Ask for something else; answered by a `StoreRead` at once."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    def _run(self) -> None:
        last_reason = None
        while not self._stopped:
            try:
                with open_readers(self.paths) as reader:
                    last_reason = None
                    self._watch(reader)
                continue  # the file was replaced, or we were stopped
            except RnnpropError as error:
                reason = str(error)
            except Exception as error:  # whatever it is, the screen must not freeze in silence
                reason = f"{type(error).__name__}: {error}"
            if reason != last_reason:
                self._say(StoreUnavailable(reason))
                last_reason = reason
            self._pause(_RETRY_S)

    def _watch(self, reader: Reader) -> None:
        """Until a file at one of our paths is no longer the one that was opened."""
        reading = StoreReading(reader)
        opened = [identity(path) for path in self.paths]
        seen: object = None
        while (
            not self._stopped
            and [identity(path) for path in self.paths] == opened
            and not reader.is_outdated()
        ):
            wanted = self._wanted
            now = (reader.data_version(), find_holder(self.paths), wanted)
            if now != seen:
                self._say(StoreRead(reading.read(wanted)))
                seen = now
            self._pause(self._interval_s)

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _say(self, message: Message) -> None:
        if not self._stopped:
            with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
                self._post(message)
