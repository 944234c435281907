"""AdamW and NadamW as somebody runs them who does not tune: with cosine at one setting for every task and horizon, and
AdamW under the horizon law that was fitted to it.

The settings were fixed once, by `docs/calibrate.py` on the tasks of `bench_specs/calibrate.toml`, none of which is a
task of the paper: those with the lowest mean over tasks and horizons of ln(final loss / lowest final loss of the rule),
at most 1 each. That mean was 0.34 for AdamW and 0.26 for NadamW: one setting for all tasks costs that much.
The law knows the horizon and the size of the tensors; `bench_specs/train_adamw_law.toml` made it, on none of them.
An optimizer without tuning must beat these, not only library defaults (Kasimbeg et al. 2025).
"""

from typing import Final

from rnnprop_cli.components.optimizers.adam import AdamWSpec
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.optimizers.nadam import NAdamWSpec

CALIBRATED: Final[tuple[OptimizerSpec, ...]] = (
    AdamWSpec(lr=0.0625, schedule="linear-warmup-cosine", weight_decay=0.001, label="adamw calibrated"),
    NAdamWSpec(lr=0.03125, schedule="linear-warmup-cosine", weight_decay=0.001, label="nadamw calibrated"),
    LearnedSpec(weights="adamw-law", label="adamw-law"),
)
