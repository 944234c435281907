"""The log of an experiment: what was recorded as an event, and what its runs tell of themselves."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rnnprop_cli.records import ExperimentInfo
from rnnprop_cli.view.seed_groups import SeedGroup, short_title

_BAD = ("failed", "diverged", "interrupted")


class LogLine(NamedTuple):
    """One thing that happened."""

    time_utc: str  # ISO 8601; empty if unknown
    kind: str  # created | continued | started | failed | diverged | interrupted | ...
    text: str


def log_lines(
    experiment: ExperimentInfo, groups: Sequence[SeedGroup], events: Iterable[tuple[str, str, str]]
) -> list[LogLine]:
    """Newest first: the start, every continuation, every group of runs that started, and how the bad ones ended.

    A bad end is listed under the time at which its run started: the store keeps no time of ends.
    """
    facts = experiment.facts
    lines = [
        LogLine(experiment.created_utc, "created", f"{facts.name}: {_command(facts.argv)} on {facts.host}")
    ]
    for time_utc, kind, text in events:
        lines.append(LogLine(time_utc, kind, _start(text) if kind == "continued" else text))
    for group in groups:
        started = max((run.started_utc for run in group.runs if run.started_utc), default="")
        label = f"{group.row.label} on {short_title(group.problem)}"
        if group.facts.phase == "tuning":
            label += f", search at {group.facts.lr:.3g}" if group.facts.lr is not None else ", search"
        if started:
            lines.append(LogLine(started, "started", f"{label}: {len(group.runs)} seeds"))
        for status in _BAD:
            if group.statuses[status]:  # type: ignore[index]
                lines.append(LogLine(started, status, f"{label}: {group.reason}"))
    return sorted(lines, key=lambda line: line.time_utc, reverse=True)


def _start(text: str) -> str:
    """What a continuation recorded about itself, in words."""
    try:
        facts = json.loads(text)
        return f"{_command(facts['argv'])} on {facts['host']}"
    except (ValueError, KeyError, TypeError):
        return text


def _command(argv: str) -> str:
    """A stored command line as one would type it, without the path to the program."""
    try:
        words = json.loads(argv)
        first = str(words[0]).replace("\\", "/").rsplit("/", 1)[-1]
        return " ".join(["rnnprop" if first in ("__main__.py", "rnnprop") else first, *map(str, words[1:])])
    except (ValueError, IndexError, TypeError):
        return argv
