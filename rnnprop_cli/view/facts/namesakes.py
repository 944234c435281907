"""Runs of one name that nobody should mix up, told apart: of weights that were trained anew, of another device, of a
spec that was edited."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.table.grouping import settings_of
from rnnprop_cli.view.table.rows import Problem

WEIGHTS: Final = "environment.weights_sha256"
_DIGITS: Final = 8  # of a SHA-256
_CHARACTERS: Final = 16  # of any other value
_TOLD: Final = 2  # settings at most that a name tells
# What says most comes first: a new kernel comes with a new device.
_TELLING: Final = tuple(
    f"environment.{name}"
    for name in ("weights_sha256", "device", "gpu", "numerics", "cuda_numerics", "instructions", "kernel")
)
_ABSENT: Final = "none"

Settings = dict[str, str]  # by their path in a run's config


def tell_apart(runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs, those of older settings renamed to `name (what is different)`; the settings used last keep the name.

    What differs between two rows that would have one name on one problem counts on all problems, and weights count
    wherever they differ: a name means the same optimizer throughout a benchmark.

    Args:
        runs: of one benchmark, in the order in which they were planned.
    """
    kinds = [settings_of(run) for run in runs]
    settings = {kind: dict(_flat(run.config)) for run, kind in zip(runs, kinds, strict=True)}
    of_name: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        of_name.setdefault(run.facts.optimizer, []).append(index)
    renamed = list(runs)
    for name, indices in of_name.items():
        keys = _telling_keys([runs[i] for i in indices], [kinds[i] for i in indices], settings)
        if not keys:
            continue
        told = [tuple(settings[kinds[i]].get(key, _ABSENT) for key in keys) for i in indices]
        suffixes = _suffixes(keys, told)
        for i, values in zip(indices, told, strict=True):
            if suffix := suffixes.get(values):
                renamed[i] = replace(runs[i], facts=replace(runs[i].facts, optimizer=f"{name} ({suffix})"))
    return renamed


def _telling_keys(runs: list[RunInfo], kinds: list[str], settings: Mapping[str, Settings]) -> list[str]:
    """The settings by which runs of one name are told apart, those that say most first."""
    rows: dict[Hashable, dict[str, None]] = {}  # kinds that would stand in rows of one name
    for run, kind in zip(runs, kinds, strict=True):
        rows.setdefault((Problem.of(run.facts), run.facts.phase, run.facts.lr_source), {})[kind] = None
    keys: set[str] = set()
    for found in {tuple(row): None for row in rows.values() if len(row) > 1}:
        for a, b in combinations(found, 2):
            keys |= _different(settings[a], settings[b])
    if len({settings[kind].get(WEIGHTS) for kind in kinds} - {None}) > 1:
        keys.add(WEIGHTS)
    return sorted(keys, key=lambda key: (_TELLING.index(key) if key in _TELLING else len(_TELLING), key))


def _different(a: Settings, b: Settings) -> set[str]:
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def _suffixes(keys: Sequence[str], told: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """What each combination of values but the last is called besides."""
    order = list(dict.fromkeys(reversed(list(told))))  # the last one first
    newest, *older = order
    found: dict[tuple[str, ...], str] = {}
    for values in reversed(older):
        different = [(key, v) for key, v, new in zip(keys, values, newest, strict=True) if v != new]
        text = ", ".join(_words(key, value) for key, value in different[:_TOLD])
        if different[0][0] == WEIGHTS and different[0][1] != _ABSENT:
            text = _short(*different[0])
        found[values] = text if text not in found.values() else f"{text}, {len(found) + 1}"
    return found


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All settings by their path, but for what runs of one row differ in."""
    for key, value in config.items():
        if key not in ("seed", "lr", "phase"):
            yield from _leaves(key, value)


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{path}.{key}", part)
    else:
        yield path, str(value)


def _words(key: str, value: str) -> str:
    """A setting in a few words."""
    return f"{key.rpartition('.')[2].removesuffix('_sha256')} {_short(key, value)}"


def _short(key: str, value: str) -> str:
    return value[: _DIGITS if key.endswith("sha256") else _CHARACTERS]
