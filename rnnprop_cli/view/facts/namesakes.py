"""Runs of one name that nobody should mix up, told apart: of weights that were trained anew, of another device, of a
spec that was edited."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.table.grouping import settings_of
from rnnprop_cli.view.table.rows import Problem

WEIGHTS: Final = "weights_sha256"
_DIGITS: Final = 8  # of a SHA-256
_TOLD: Final = 2  # settings at most that a name tells
# What says most comes first: a new kernel comes with a new device.
_TELLING: Final = (WEIGHTS, "device", "gpu", "numerics", "cuda_numerics", "instructions", "kernel")


def tell_apart(runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs, those of older settings renamed to `name (what is different)`; the settings used last keep the name.

    Args:
        runs: of one benchmark, in the order in which they were planned.
    """
    kinds = [settings_of(run) for run in runs]
    kinds_of: dict[Hashable, dict[str, RunInfo]] = {}  # of each name, in the order of their last runs
    rows: dict[tuple[Hashable, ...], set[str]] = {}  # kinds that would stand in rows of one name
    for run, kind in zip(runs, kinds, strict=True):
        seen = kinds_of.setdefault(_name(run), {})
        seen.pop(kind, None)
        seen[kind] = run
        rows.setdefault((_name(run), run.facts.phase, run.facts.lr_source), set()).add(kind)
    twice = {row[0] for row, found in rows.items() if len(found) > 1}
    suffixes = {(name, kind): text for name in twice for kind, text in _suffixes(kinds_of[name]).items()}
    return [
        replace(run, facts=replace(run.facts, optimizer=f"{run.facts.optimizer} ({suffix})"))
        if (suffix := suffixes.get((_name(run), kind)))
        else run
        for run, kind in zip(runs, kinds, strict=True)
    ]


def _name(run: RunInfo) -> Hashable:
    return Problem.of(run.facts), run.facts.optimizer


def _suffixes(kinds: Mapping[str, RunInfo]) -> dict[str, str]:
    """What each kind but the last is called besides."""
    *older, (_, last) = kinds.items()
    newest = _flat(last.config)
    found: dict[str, str] = {}
    for kind, run in older:
        settings = _flat(run.config)
        different = [key for key in sorted(settings.keys() | newest) if settings.get(key) != newest.get(key)]
        different.sort(key=lambda key: _TELLING.index(key) if key in _TELLING else len(_TELLING))
        text = ", ".join(_told(key, settings.get(key)) for key in different[:_TOLD])
        if WEIGHTS in different and settings.get(WEIGHTS):
            text = str(settings[WEIGHTS])[:_DIGITS]
        found[kind] = text if text not in found.values() else f"{text}, {len(found) + 1}"
    return found


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their own name, whatever part of the config they stand in; without what every row has."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value)
        elif key not in ("seed", "lr", "phase"):
            flat[key] = value
    return flat


def _told(key: str, value: object) -> str:
    """A setting in a few words."""
    short = str(value)[:_DIGITS] if key.endswith("sha256") else str(value)
    return f"{key.removesuffix('_sha256')} {'none' if value is None else short}"
