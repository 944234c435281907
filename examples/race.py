"""Optimizers that nobody tunes against AdamW with cosine, tuned: who wins at which number of steps?

    python examples/race.py                       # scikit-learn's digits, 100 and 1,000 steps
    python examples/race.py --steps 2000          # another number
    python examples/race.py --data-dir DATA       # MNIST, from DATA/mnist/ (or set RNNPROP_DATA_DIR)
    python examples/race.py --quick               # a few seconds, to see it work

Every one of ours is told how long the run will be and nothing else. AdamW's rate is searched anew for every number of
steps, on seeds of its own, and falls by a cosine. The network is a perceptron of two hidden layers of 32 ReLU units,
with the initial weights of PyTorch: none that any of them was meta-trained on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite

import torch
from compare import (
    MakeOptimizer,
    Options,
    Problem,
    Run,
    Tuned,
    exit_with_message,
    initial_model,
    mean_loss,
    option_parser,
    read_options,
    run,
    tune,
)
from images import add_data_option, load_images
from mlp import train
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from rnnprop_cli import LearnedOptimizer, Mixture, RNNprop
from rnnprop_cli.spec.bench import TuningSpec
from rnnprop_cli.statistics import mean_with_interval, paired_difference
from rnnprop_cli.view.numbers import format_loss, format_rate

RIVAL = "AdamW + cosine, tuned"


def racers(steps: int) -> dict[str, MakeOptimizer]:
    """What is not tuned, for a run of so many steps."""
    return {
        "Mixture": lambda params: Mixture(params, total_steps=steps),
        "Schedule-Free AdamW, law": lambda params: LearnedOptimizer(
            params, "schedule-free-law", total_steps=steps
        ),
        "RNNprop, law": lambda params: RNNprop(params, total_steps=steps),
        "AdamW, law": lambda params: LearnedOptimizer(params, "adamw-law", total_steps=steps),
        "RNNprop, alpha 0.1": RNNprop,
    }


def adamw(params: Iterable[nn.Parameter], lr: float, steps: int) -> Optimizer:
    """AdamW whose rate falls to zero by a cosine."""
    optimizer = AdamW(params, lr=lr)
    schedule = CosineAnnealingLR(optimizer, steps)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


def race(problem: Problem, options: Options) -> tuple[dict[str, dict[int, Run]], Tuned]:
    """The runs of all on the reported seeds, by name and seed, and the rival's search."""
    steps = options.steps
    with Console(stderr=True).status("") as status:

        def final_loss(lr: float, seed: int) -> float:
            status.update(f"{steps} steps: tuning {RIVAL}: rate {lr:.4g}, seed {seed}")
            model = initial_model(problem, seed)
            problem.train(model, adamw(model.parameters(), lr, steps), problem.minibatches(seed))
            return mean_loss(model, problem.minibatches(seed))[0]

        tuned = tune(final_loss, options.tuning_seeds, options.search)
        everybody = {RIVAL: lambda params: adamw(params, tuned.lr, steps), **racers(steps)}
        runs: dict[str, dict[int, Run]] = {name: {} for name in everybody}
        for seed in options.reported_seeds:
            for name, make in everybody.items():
                status.update(f"{steps} steps: {name}, seed {seed}")
                runs[name][seed] = run(problem, make, seed)
    return runs, tuned


def table(runs: Mapping[str, Mapping[int, Run]], tuned: Tuned) -> Table:
    """All of them, the best first."""
    losses = {
        name: {seed: each.score.training_loss for seed, each in own.items()} for name, own in runs.items()
    }
    rows = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("optimizer", "training loss", "% to the tuned", "held-out loss", "accuracy", "ms a step"):
        rows.add_column(column, justify="left" if column == "optimizer" else "right", no_wrap=True)
    for name in sorted(losses, key=lambda each: sum(losses[each].values())):
        own = list(runs[name].values())
        loss = mean_with_interval([each for each in losses[name].values() if isfinite(each)])
        heldout = mean_with_interval([each.score.heldout_loss for each in own])
        accuracy = mean_with_interval([100 * each.score.heldout_accuracy for each in own])
        percent = paired_difference(losses[name], losses[RIVAL]).percent
        rows.add_row(
            f"{name}, {format_rate(tuned.lr)}" if name == RIVAL else name,
            format_loss(loss.centre, loss.half_width),
            ""
            if name == RIVAL or percent.half_width is None
            else f"{percent.centre:+.1f} ±{percent.half_width:.1f}",
            format_loss(heldout.centre, heldout.half_width),
            f"{accuracy.centre:.1f} %",
            f"{1e3 * sorted(each.step_s for each in own)[len(own) // 2]:.2f}",
        )
    return rows


def main() -> None:
    parser = option_parser(__doc__, steps=0, seeds=10)
    add_data_option(parser)
    given = parser.parse_args()
    options = read_options(given, search=TuningSpec())
    images = load_images(given.data_dir)
    out = Console(highlight=False, markup=False, emoji=False)
    for steps in (options.steps,) if options.steps else (100, 1000):
        own = replace(options, steps=steps)
        problem = Problem(
            title=images.name,
            build_model=lambda: nn.Sequential(
                nn.Flatten(),
                nn.Linear(images.side**2, 32),
                nn.ReLU(),
                nn.Linear(32, 32),
                nn.ReLU(),
                nn.Linear(32, 10),
            ),
            minibatches=lambda seed, steps=steps: images.minibatches(seed, steps),  # type: ignore[misc]
            heldout=images.heldout,
            train=train,
        )
        runs, tuned = race(problem, own)
        out.print(
            f"\n{images.name} · {steps:,} steps · {own.seeds} seeds · {torch.get_num_threads()} threads\n"
        )
        out.print(table(runs, tuned))
    out.print(
        "\n± is half of the 95 % t-interval over seeds; differences are paired by seed. Training loss: the final "
        "weights on all minibatches of the run.\n"
        "The tuned rate has the lowest training loss of those that were searched, on other seeds."
    )


if __name__ == "__main__":
    exit_with_message(main)
