"""A benchmark that was run again from another root seed: other tuning seeds, other fresh seeds, the same question."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rnnprop_cli.records import ExperimentInfo
from rnnprop_cli.view.table.rows import Confirmation, SummaryRow
from rnnprop_cli.view.table.seed_groups import Summary


def confirmations(experiment: ExperimentInfo, others: Iterable[ExperimentInfo]) -> dict[int, ExperimentInfo]:
    """The newest experiment of the same question from every other root seed.

    The same question is the same spec, its root seed aside, computed by the same numerics: what another version
    computed is not mixed in.

    Args:
        experiment: what is reported.
        others: experiments of its name, oldest first.
    """
    asked = _question(experiment)
    found = {}
    for other in others:
        question = _question(other)
        if asked and question and question[0] != asked[0] and question[1:] == asked[1:]:
            found[question[0]] = other
    return found


def with_confirmations(summary: Summary, again: Sequence[tuple[int, Summary]]) -> Summary:
    """The rows, each with what came of it from the other root seeds.

    Args:
        summary: of the experiment that is reported.
        again: root seed and summary of every confirmation.
    """
    found: dict[tuple[object, ...], list[Confirmation]] = {}
    for root, other in again:
        for row in other.rows:
            one = Confirmation(root, row.counts.seeds, row.learning_rate, row.final.mean)
            found.setdefault(_place(row), []).append(one)
    groups = (
        replace(group, row=replace(group.row, confirmed=tuple(found.get(_place(group.row), ()))))
        for group in summary.groups
    )
    return replace(summary, groups=tuple(groups))


def _place(row: SummaryRow) -> tuple[object, ...]:
    return row.problem, row.optimizer, row.phase


def _question(experiment: ExperimentInfo) -> tuple[Any, ...] | None:
    """Root seed, the rest of the spec, and the version of the numerics; None where that is not recorded."""
    spec, numerics = dict(experiment.spec), experiment.environment.get("numerics")
    if "seed" not in spec or numerics is None:
        return None
    return spec.pop("seed"), spec, numerics
