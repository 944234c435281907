"""The paper's published numbers beside ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnprop_cli.records import ExperimentInfo, RunInfo
from rnnprop_cli.view.table.problem_groups import optimizee_settings
from rnnprop_cli.view.table.rows import PaperNumber


@dataclass(frozen=True)
class Published:
    """A final loss that the paper prints, and for what."""

    where: tuple[tuple[str, tuple[Any, ...]], ...]  # settings of the optimizee, each with the values that fit
    horizon: int | None  # None: any
    optimizer: str  # label
    number: PaperNumber

    def is_about(self, run: RunInfo) -> bool:
        """Whether a run does what the paper did."""
        facts = run.facts
        if self.optimizer != facts.optimizer or self.horizon not in (None, facts.horizon):
            return False
        settings = optimizee_settings(run)
        return all(settings.get(name) in values for name, values in self.where)


def published_numbers(experiment: ExperimentInfo) -> list[Published]:
    """The numbers that the experiment's spec brings along; none if it brings none, or is of another version."""
    try:
        numbers = experiment.spec.get("paper") or ()
        return [
            Published(
                tuple((name, _any_of(values)) for name, values in (number.get("where") or {}).items()),
                number.get("horizon"),
                number["optimizer"],
                PaperNumber(float(number["final_loss"]), str(number.get("source") or "the paper")),
            )
            for number in numbers
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _any_of(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def find_published(numbers: Sequence[Published], run: RunInfo) -> PaperNumber | None:
    """The number for a run: the one that names most settings, None if there is none. Untuned runs have none."""
    if run.facts.phase != "final":
        return None
    fitting = [number for number in numbers if number.is_about(run)]
    best = max(fitting, key=lambda number: (number.horizon is not None, len(number.where)), default=None)
    return None if best is None else best.number
