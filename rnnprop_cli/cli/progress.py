"""Progress on stderr: live bars on a terminal; off it, one plain line every half minute."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rnnprop_cli.runs.interrupt import forget_lost_terminal
from rnnprop_cli.view.safe_text import safe_text

SECONDS_PER_LINE: Final = 30.0


class ProgressDisplay:
    """One bar with a status text, or plain lines."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console = console
        self.quiet = quiet
        self.live: Progress | None = None
        self._task: TaskID | None = None
        self._started = self._last_line = time.monotonic()
        self._done, self._total = 0.0, 0.0
        self._work_at_start = 0.0
        self._title = ""

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """A terminal that has gone ends the display, not the work."""
        try:
            yield
        except OSError:
            forget_lost_terminal()

    def begin(self, title: str, total: float, done: float) -> None:
        """The work is known."""
        self._title, self._total, self._done, self._work_at_start = title, total, done, done
        self._started = self._last_line = time.monotonic()
        if self.live is not None:
            with self._shown():
                self._task = self.live.add_task(safe_text(title), total=total, completed=int(done), status="")
        else:
            self.line(f"{title}: {done:,.0f} of {total:,.0f} done, started")

    def grow(self, more: float) -> None:
        """More work has turned up."""
        self._total += more
        if self.live is not None and self._task is not None:
            with self._shown():
                self.live.update(self._task, total=self._total)

    def update(self, done: float, status: str) -> None:
        """How far it is. Plain lines appear at most every `SECONDS_PER_LINE` seconds."""
        self._done = done
        if self.live is not None and self._task is not None:
            with self._shown():
                self.live.update(self._task, completed=done, status=safe_text(status))
        elif time.monotonic() - self._last_line >= SECONDS_PER_LINE:
            self._last_line = time.monotonic()
            self.line(f"{self._title}: {done:,.0f}/{self._total:,.0f} {status}, {self._eta()}")

    def line(self, text: str) -> None:
        """A line of its own that stays."""
        if self.quiet:
            return
        with self._shown():
            (self.live.console if self.live is not None else self.console).print(
                safe_text(text), soft_wrap=True
            )

    def _eta(self) -> str:
        gained = self._done - self._work_at_start
        if gained <= 0:
            return "eta unknown"
        seconds = (time.monotonic() - self._started) * (self._total - self._done) / gained
        return f"eta {duration(seconds)}"


@contextmanager
def progress_display(console: Console, quiet: bool) -> Iterator[ProgressDisplay]:
    """A display that leaves the terminal as it found it."""
    display = ProgressDisplay(console, quiet)
    if quiet or not console.is_terminal:
        yield display
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4, transient=True) as live:
        display.live = live
        try:
            yield display
        finally:
            if not sys.stderr.isatty():
                forget_lost_terminal()  # before the display is taken down


def duration(seconds: float) -> str:
    """e.g. 45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
