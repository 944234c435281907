"""What a reader of a learned optimizer's results must know of its weights.

The interval of a result is over the seeds of the runs. It holds nothing of the meta-training: another seed of that, or
the checkpoint before, would have given other weights and other results.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from rnnprop_cli.records import RunInfo
from rnnprop_cli.spec.stored import upgraded_train

WEIGHTS_EVENT: Final = "weights"  # kind of the event that holds these facts in a benchmark's log
NEIGHBOURHOOD: Final = 0.1  # of the meta-iterations done, on either side
FEWEST: Final = 5  # validations that a spread is taken over


@dataclass(frozen=True)
class WeightsFacts:
    """Where weights come from."""

    name: str  # as the benchmark called them
    sha256: str  # of the numbers
    meta_iterations: int | None
    seed: int | None  # of the meta-training
    sampling: str | None  # of its minibatches
    spread: float | None  # see `neighbour_spread`

    @classmethod
    def of(cls, name: str, sha256: str, made: Mapping[str, Any]) -> "WeightsFacts":
        """From the record of the meta-training."""
        spec = upgraded_train(made["spec"]) if isinstance(made.get("spec"), Mapping) else {}
        done = made.get("meta_iteration")
        curve = made.get("curve", {})
        spread = None
        if done is not None and {"meta_iteration", "validation_loss"} <= curve.keys():
            spread = neighbour_spread(curve["meta_iteration"], curve["validation_loss"], done)
        return cls(name, sha256, done, spec.get("seed"), spec.get("sampling"), spread)

    def as_json(self) -> str:
        """For the log."""
        return json.dumps(asdict(self))

    @property
    def sentence(self) -> str:
        """For people."""
        parts = [self.name]
        parts += [] if self.meta_iterations is None else [f"after {self.meta_iterations:,} meta-iterations"]
        parts += [] if self.seed is None else [f"(seed {self.seed})"]
        how = {"epochs": "by epochs", "replacement": "with replacement"}.get(self.sampling or "")
        parts += [f"on minibatches drawn {how}"] if how else []
        told = " ".join(parts)
        if self.spread is None:
            return told
        return (
            f"{told}: neighbouring checkpoints differ by {self.spread:.2g} (standard deviation of the validation "
            "loss), which no interval here holds"
        )


def neighbour_spread(steps: Sequence[int], losses: Sequence[float], chosen: int) -> float | None:
    """Standard deviation of the validation loss among checkpoints beside the chosen one, its trend taken out.

    Args:
        steps: meta-iterations of the validations.
        losses: what they gave.
        chosen: meta-iterations of the checkpoint.
    """
    at, values = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    near = (np.abs(at - chosen) <= NEIGHBOURHOOD * chosen) & np.isfinite(values)
    if near.sum() < FEWEST:
        return None
    line = np.polyfit(at[near] - chosen, values[near], 1)
    residual = values[near] - np.polyval(line, at[near] - chosen)
    return float(np.sqrt((residual**2).sum() / (near.sum() - 2)))


def parse_weights_events(events: Iterable[tuple[str, str, str]]) -> dict[str, WeightsFacts]:
    """By the SHA-256 of the numbers, from a benchmark's log; what cannot be read is left out."""
    found = {}
    for _, kind, text in events:
        if kind == WEIGHTS_EVENT:
            try:
                facts = WeightsFacts(**json.loads(text))
            except (ValueError, TypeError):
                continue
            found[facts.sha256] = facts
    return found


def weights_sha256(run: RunInfo) -> str | None:
    """Of the weights that a run used; None for classical rules."""
    found = run.environment.get("weights_sha256")
    return found if isinstance(found, str) else None


def weights_sentences(runs: Sequence[RunInfo], events: Iterable[tuple[str, str, str]]) -> list[str]:
    """One for each set of weights that the runs used and the log knows of."""
    known = parse_weights_events(events)
    used = dict.fromkeys(sha256 for run in runs if (sha256 := weights_sha256(run)) is not None)
    return [known[sha256].sentence for sha256 in used if sha256 in known]
