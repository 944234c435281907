"""Spec: what was asked, as it was written and with every default, and with what it ran."""

import json
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from rnnprop_cli.records import ExperimentInfo
from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.themes import Look
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, Lines
from rnnprop_cli.view.facts.log_lines import command_line
from rnnprop_cli.view.safe_text import safe_text


class SpecScreen(BaseScreen):
    """The spec file of the experiment in front."""

    TAB = "spec"
    KEYS: ClassVar[tuple[Key, ...]] = (
        keys.RESOLVED,
        keys.START,
        keys.COPY,
        keys.THEME,
    )
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.RESOLVED)
    DEFAULT_CSS = """
    SpecScreen {
        & #facts { height: 6; }
        & .-hidden { display: none !important; }
        &.-flat #facts { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._resolved = False

    def compose_body(self) -> Iterable[Widget]:
        yield Lines(id="facts")
        yield Lines(id="text", classes="boxed", can_focus=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#text").focus()

    def _text(self, experiment: ExperimentInfo) -> str:
        if not self._resolved:
            return experiment.facts.spec_toml
        return json.dumps(experiment.resolved, indent=2, ensure_ascii=False)

    def show_body(self) -> None:
        experiment = self.state.experiment
        if experiment is None:
            return
        facts, muted = experiment.facts, self.look.palette.muted
        pairs = {
            "name": f"{facts.name} ({facts.kind}, id {experiment.id})",
            "created": f"{experiment.created_utc} on {facts.host}",
            "commit": facts.git_sha or "unknown",
            "versions": "  ".join(f"{key} {value}" for key, value in experiment.versions.items()),
            "command": command_line(experiment.argv),
            "spec sha256": facts.spec_sha256,
        }
        self.query_one("#facts", Lines).show_lines(
            [[Part(f" {key:<12}", muted), Part(value)] for key, value in pairs.items()]
        )
        box = self.query_one("#text", Lines)
        lines = self._text(experiment).split("\n")
        box.show_lines([_colored(line, self.look) for line in lines])
        how = "resolved: every default filled in" if self._resolved else "as written"
        box.border_title = Content(safe_text(f"spec, {how}"))

    def action_resolved(self) -> None:
        self._resolved = not self._resolved
        self.show_state()

    def copy_text(self) -> str:
        return "" if self.state.experiment is None else self._text(self.state.experiment)


def _colored(line: str, look: Look) -> Line:
    """A line of TOML or JSON: comments dim, tables and keys told from values."""
    palette = look.palette
    code, mark, comment = line.partition(" #") if not line.lstrip().startswith("#") else ("", "", line)
    parts = []
    if code.lstrip().startswith("["):
        parts.append(Part(" " + code, palette.accent, bold=True))
    elif "=" in code or '":' in code:
        sign = "=" if "=" in code else '":'
        key, sign, value = code.partition(sign)
        parts += [Part(" " + key, palette.series_color(0)), Part(sign, palette.muted), Part(value)]
    else:
        parts.append(Part(" " + code))
    if mark or comment:
        parts.append(Part(mark + comment, palette.muted))
    return parts
