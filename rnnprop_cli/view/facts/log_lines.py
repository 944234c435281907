"""The log of an experiment: what was recorded as an event, and what its runs tell of themselves."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rnnprop_cli.records import ExperimentInfo, Status
from rnnprop_cli.view.facts.progress import FINISHED, is_settled
from rnnprop_cli.view.facts.weights_facts import WEIGHTS_EVENT, parse_weights_events
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import SeedGroup

_BAD: tuple[Status, ...] = ("failed", "diverged", "interrupted")


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
        LogLine(
            experiment.created_utc,
            "created",
            f"{facts.name}: {command_line(experiment.argv)} on {facts.host}",
        )
    ]
    for time_utc, kind, text in events:
        if kind != WEIGHTS_EVENT:
            lines.append(LogLine(time_utc, kind, _start(text) if kind == "continued" else text))
        else:
            weights = parse_weights_events([(time_utc, kind, text)])
            lines += [LogLine(time_utc, kind, one.sentence) for one in weights.values()]
    searches: dict[tuple[Problem, str], list[SeedGroup]] = {}
    for group in groups:
        if group.facts.phase == "tuning":
            searches.setdefault((group.problem, group.facts.optimizer), []).append(group)
        else:
            label = f"{group.row.label} on {group.problem.short_title}"
            lines += _group_lines(group, label, f"{len(group.runs)} seeds")
    for (problem, optimizer), members in searches.items():
        label = f"{optimizer} on {problem.short_title}, search"
        started = max((_started(group) for group in members), default="")
        if started:
            lines.append(LogLine(started, "search", f"{label} over {_rounds(members)}"))
        for group in members:
            at = "" if group.facts.lr is None else f" at {group.facts.lr:.3g}"
            lines += _group_lines(group, label + at, None)
    lines += _finished(experiment, groups, lines)
    lines.reverse()  # of lines of one second the one written last comes first
    return sorted(lines, key=lambda line: line.time_utc, reverse=True)


def _finished(
    experiment: ExperimentInfo, groups: Sequence[SeedGroup], lines: Sequence[LogLine]
) -> list[LogLine]:
    """That all is settled, where no event says so: of an earlier version, listed under the time of the last start."""
    last = max((line.time_utc for line in lines if line.kind in ("created", "continued")), default="")
    statuses = sum((group.statuses for group in groups), Counter[Status]())
    if not is_settled(statuses) or any(line.kind == FINISHED and line.time_utc >= last for line in lines):
        return []
    started = max((_started(group) for group in groups), default="")
    text = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
    return [LogLine(max(started, last), FINISHED, f"{experiment.facts.name}: {text}")]


def _group_lines(group: SeedGroup, label: str, begun: str | None) -> list[LogLine]:
    """That a group started, and how the runs of it that ended badly did."""
    started = _started(group)
    lines = [LogLine(started, "started", f"{label}: {begun}")] if started and begun else []
    bad = [status for status in _BAD if group.statuses[status]]
    return lines + [LogLine(started, status, f"{label}: {group.reason}") for status in bad]


def _started(group: SeedGroup) -> str:
    return max((run.started_utc for run in group.runs if run.started_utc), default="")


def _start(text: str) -> str:
    """What a continuation recorded about itself, in words."""
    try:
        facts = json.loads(text)
        return f"{command_line(map(str, json.loads(facts['argv'])))} on {facts['host']}"
    except (ValueError, KeyError, TypeError):
        return text


def command_line(argv: Iterable[str]) -> str:
    """A stored command line as one would type it."""
    words = list(argv)
    if words and words[0].replace("\\", "/").rsplit("/", 1)[-1] in ("rnnprop", "__main__.py"):
        words = words[1:]
    return shlex.join(["rnnprop", *words])


def _rounds(rates: Sequence[SeedGroup]) -> str:
    """How many rates a search tried on how many seeds, and how many of them it confirmed on more."""
    fewest, most = (pick(len(group.runs) for group in rates) for pick in (min, max))
    confirmed = sum(len(group.runs) == most for group in rates)
    more = "" if most == fewest else f", {confirmed} of them on {most - fewest} more"
    return f"{len(rates)} rates, {fewest} seeds each{more}"
