"""What the watcher's thread tells the app."""

from textual.message import Message

from rnnprop_cli.tui.reading import Snapshot


class StoreRead(Message):
    """The store changed, or more of it was wanted."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class StoreUnavailable(Message):
    """The database cannot be read; the watcher goes on trying."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason
