"""The child process that the app started, and the questions around it. One at a time: a database has one writer."""

import shlex
from pathlib import Path

from textual.timer import Timer

from rnnprop_cli.errors import RunError, SpecError
from rnnprop_cli.store.lock import both_at_once
from rnnprop_cli.tui.holder import find_holder
from rnnprop_cli.tui.host import Host, Severity
from rnnprop_cli.tui.launch import Child, SpecFile, command_of, find_specs, read_spec
from rnnprop_cli.tui.screens.ask import Ask, Choose
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, wrapped
from rnnprop_cli.tui.widgets.table import Column, Row
from rnnprop_cli.view.facts.log_lines import LogLine
from rnnprop_cli.view.safe_text import safe_text

_POLL_S = 0.5
_COLUMNS = 70
_LEFT_OUT_SHOWN = 2


class Work:
    """Starts, watches and interrupts."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._timer: Timer | None = None
        self.child: Child | None = None

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def note(self) -> str:
        """For the footer: what runs; empty if nothing does."""
        if self.child is None or not self.is_running:
            return ""
        stopping = " stopping" if self.child.interrupts else ""
        return safe_text(f"{self.child.spec.kind} {self.child.spec.name}{stopping}: i interrupts")

    def log(self) -> list[LogLine]:
        """What the last child said, newest first."""
        return (
            []
            if self.child is None
            else [LogLine("", "output", line) for line in reversed(self.child.output())]
        )

    # Starting

    def start(self) -> None:
        """Ask what, ask whether, start it."""
        if self.is_running:
            self._host.tell("one is running already: i interrupts it", "warning")
            return
        found, left_out = find_specs(Path())
        specs = {str(spec.path): spec for spec in found}
        rows = [Row(path, (spec.kind, spec.name, path)) for path, spec in specs.items()]

        def about(key: object) -> list[Line]:
            spec = specs.get(str(key))
            lines = wrapped(spec.description, 90, indent=" ") if spec else []
            shown = left_out[:_LEFT_OUT_SHOWN]
            more = len(left_out) - len(shown)
            said = [*shown, f"and {more} more"] if more else shown
            return lines + [line for text in said for line in wrapped(f"left out: {text}", 90, indent=" ")]

        self._host.ask(
            Choose(
                "start a bench or a train",
                [
                    Column("", 5, priority=1),
                    Column("name", 24, names=True),
                    Column("file", least=24, names=True),
                ],
                rows,
                placeholder="tab: or type the path of a spec",
                about=about,
            ),
            lambda chosen: self._confirm(specs, chosen),
        )

    def _confirm(self, specs: dict[str, SpecFile], chosen: object) -> None:
        if chosen is None:
            return
        try:
            spec = specs.get(str(chosen)) or read_spec(Path(str(chosen)).expanduser())
        except (SpecError, RuntimeError) as error:  # RuntimeError: the home of a user that is not known
            self._host.tell(str(error).splitlines()[0], "error")
            return
        words = command_of(self._host.database, spec)
        text = [*wrapped(f"rnnprop {shlex.join(words)}", _COLUMNS), []]
        text += wrapped("It runs as a process of its own and goes on if this app is closed.", _COLUMNS)
        holder = find_holder([self._host.database])
        if holder is not None and holder.alive:
            refused = f"Process {holder.pid} is writing here, so this one will be refused. "
            text += [[], *wrapped(refused + both_at_once(self._host.database), _COLUMNS)]

        def answered(answer: object) -> None:
            if answer == "start":
                self._launch(spec, words)

        self._host.ask(Ask(f"start this {spec.kind}?", text, [("y", "start it", "start")]), answered)

    def _launch(self, spec: SpecFile, words: list[str]) -> None:
        if self.child is not None:
            self.child.close()
        try:
            self.child = Child(spec, words)
        except RunError as error:
            self._host.tell(str(error), "error")
            return
        self._host.tell(f"started {spec.kind} {spec.name}")
        self._host.state.look_at_newest(spec.kind)
        self._host.show_tab("runs" if spec.kind == "bench" else "train")
        self._timer = self._host.every(_POLL_S, self._look)
        self._host.show_front()

    def _look(self) -> None:
        if self.child is None:
            return
        code = self.child.poll()
        if code is None:
            return
        if self._timer is not None:
            self._timer.stop()
        said = self.child.output()
        last = said[-1] if said else ""
        words = {0: "done", 1: "ended with failed runs", 130: "interrupted", 143: "terminated"}
        what = words.get(code, f"ended with exit code {code}")
        severity: Severity = "information" if code in (0, 130) else "error"
        self._host.tell(f"{self.child.spec.name} {what}. {last}", severity, timeout=10)
        self._host.show_front()

    # Interrupting

    def interrupt(self) -> None:
        """Ask, then interrupt as Ctrl+C would."""
        child = self.child
        if child is None or not self.is_running:
            self._host.tell("nothing that was started here is running")
            return
        first = "It finishes its step, keeps what it has, and the same command goes on from there."
        again = "It was asked before. Once more, and it is out at once; a batch that has not ended is lost."
        text = wrapped(again if child.interrupts else first, _COLUMNS)

        def answered(answer: object) -> None:
            if answer == "interrupt":
                child.interrupt()
                self._host.show_front()

        title = f"interrupt {child.spec.kind} {child.spec.name}?"
        self._host.ask(Ask(title, text, [("y", "interrupt it", "interrupt")]), answered)

    def quit(self) -> None:
        """Leave; what runs is left running or interrupted, as the reader says."""
        child = self.child
        if child is None or not self.is_running:
            self._host.end()
            return

        def answered(answer: object) -> None:
            if answer == "interrupt":
                child.interrupt()
            if answer is not None:
                self._host.end()

        choices = [("l", "leave it running and quit", "leave"), ("i", "interrupt it and quit", "interrupt")]
        text: list[Line] = [
            [Part(safe_text(f"{child.spec.kind} {child.spec.name} is running (pid {child.pid})."))]
        ]
        self._host.ask(Ask("quit?", text, choices), answered)

    def close(self) -> None:
        """The app ends."""
        if self.child is not None:
            self.child.close()
