"""The paper's published numbers beside ours."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rnnprop_cli.records import ExperimentInfo, RunFacts
from rnnprop_cli.view.table.problem_groups import optimizee_settings
from rnnprop_cli.view.table.rows import SummaryRow

_ROUNDING: Final = 0.005  # the paper prints two decimals


@dataclass(frozen=True)
class Published:
    """A final loss that the paper prints, and for what."""

    where: tuple[tuple[str, tuple[Any, ...]], ...]  # settings of the optimizee, each with the values that fit
    horizon: int | None  # None: any
    optimizer: str  # label
    final_loss: float
    source: str

    def is_about(self, facts: RunFacts) -> bool:
        """Whether a run does what the paper did."""
        if self.optimizer != facts.optimizer or self.horizon not in (None, facts.horizon):
            return False
        settings = optimizee_settings(facts)
        return all(settings.get(name) in values for name, values in self.where)


def published_numbers(experiment: ExperimentInfo) -> list[Published]:
    """The numbers that the experiment's spec brings along; none if it brings none, or is of another version."""
    try:
        numbers = json.loads(experiment.facts.spec_json)["spec"]["paper"]
        return [
            Published(
                tuple((name, _any_of(values)) for name, values in (number.get("where") or {}).items()),
                number.get("horizon"),
                number["optimizer"],
                float(number["final_loss"]),
                str(number.get("source") or "the paper"),
            )
            for number in numbers
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _any_of(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def find_published(numbers: Sequence[Published], facts: RunFacts) -> Published | None:
    """The number for a run: the one that names most settings, None if there is none. Untuned runs have none."""
    if facts.phase != "final":
        return None
    fitting = [number for number in numbers if number.is_about(facts)]
    return max(fitting, key=lambda number: (number.horizon is not None, len(number.where)), default=None)


def paper_sentence(row: SummaryRow) -> str | None:
    """How a row stands to the paper's number, in words; None if there is none.

    "agrees" means that the paper's number, rounded as it is, touches the 95 % interval of ours.
    """
    paper, mean = row.paper_final_loss, row.final_loss_mean
    if paper is None:
        return None
    about = f"{row.label}: the paper has {paper:.2f} ({row.paper_source})"
    if mean is None:
        return f"{about}, here it gave no finite loss"
    low = mean if row.final_loss_low is None else row.final_loss_low
    high = mean if row.final_loss_high is None else row.final_loss_high
    if low - _ROUNDING <= paper <= high + _ROUNDING:
        return f"{about}, which agrees with {mean:.3f} here"
    percent = 100 * (mean - paper) / paper if paper else 0.0
    return f"{about}, here {mean:.3f} is {abs(percent):.1f} % {'higher' if percent > 0 else 'lower'}"
