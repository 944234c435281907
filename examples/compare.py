"""What the examples share: the search for Adam's learning rate, paired runs, and their timing.

Adam gets the search that `rnnprop bench` gives every classical optimizer: the grid 2^(-k/2), widened for as long as the
best rate lies at its edge, on seeds of its own. RNNprop gets no search at all. Both then run on fresh seeds, each from
the same initial weights and on the same minibatches. Every number is measured while the example runs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Final, NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.plan.tuning import Round, best_k, first_round, grid_rate, mean_or_inf, next_round
from rnnprop_cli.spec.bench import TuningSpec

CENTRE_K: Final = 12  # the search for Adam's rate starts around 2^-6
QUICK_STEPS: Final = 30
QUICK_SEEDS: Final = 2
QUICK_SEARCH: Final = TuningSpec(seeds=1, points=3, extend_by=2, max_rounds=3, confirm_seeds=None)

Minibatch = tuple[Tensor, Tensor]  # inputs, and the number of the right class for each row of logits
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeAtRate = Callable[[Iterable[nn.Parameter], float], Optimizer]


@dataclass(frozen=True)
class Problem:
    """What both optimizers are given."""

    title: str
    build_model: Callable[[], nn.Module]  # with weights from PyTorch's random numbers
    minibatches: Callable[[int], Iterable[Minibatch]]  # of a seed: the same ones whenever they are asked for
    heldout: Sequence[Minibatch]
    train: Callable[[nn.Module, Optimizer, Iterable[Minibatch]], None]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    steps: int
    seeds: int
    weights: str
    search: TuningSpec

    @property
    def tuning_seeds(self) -> range:
        """Seeds that Adam's rate is searched on: those of the grid, then those that confirm its best rates."""
        return range(self.search.seeds + (self.search.confirm_seeds or 0))

    @property
    def reported_seeds(self) -> range:
        """Seeds of the table; none of them is a tuning seed."""
        return range(len(self.tuning_seeds), len(self.tuning_seeds) + self.seeds)


class Score(NamedTuple):
    """How good some weights are."""

    training_loss: float  # mean over all minibatches of a run, the weights as they are; infinite: diverged
    heldout_loss: float
    heldout_accuracy: float  # 0 to 1


class Run(NamedTuple):
    """One training."""

    score: Score
    lr: float  # at the start
    step_s: float  # median of a whole training step: minibatch, forward, backward, update
    update_s: float  # median of the optimizer's part of it


class Tuned(NamedTuple):
    """What a search for the learning rate has found."""

    lr: float
    losses: Mapping[float, float]  # rate → mean final training loss over its tuning seeds
    runs: int  # trainings of the search

    @property
    def at_edge(self) -> bool:
        """Whether a rate that was not tried may be better still."""
        return self.lr in (min(self.losses), max(self.losses))


class Comparison(NamedTuple):
    """All that was measured on the reported seeds, by seed."""

    start: Mapping[int, Score]  # of the initial weights
    rnnprop: Mapping[int, Run]
    adam: Mapping[int, Run]
    tuned: Tuned


class StepTimer:
    """Times the steps of a training loop from the hooks of its optimizer, so that the loop stays plain."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._starts: list[float] = []
        self._ends = [time.perf_counter()]  # of the preparations, then of every update
        optimizer.register_step_pre_hook(lambda *_: self._starts.append(time.perf_counter()))
        optimizer.register_step_post_hook(lambda *_: self._ends.append(time.perf_counter()))

    @property
    def step_s(self) -> float:
        """Median time from the end of an update to the end of the next one."""
        return statistics.median(after - before for before, after in pairwise(self._ends))

    @property
    def update_s(self) -> float:
        """Median time of an update."""
        return statistics.median(b - a for a, b in zip(self._starts, self._ends[1:], strict=True))


def option_parser(description: str | None, *, steps: int, seeds: int) -> argparse.ArgumentParser:
    """The options that all examples have; the arguments are an example's defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=_positive, help=f"training steps of every run (default: {steps})")
    parser.add_argument(
        "--seeds", type=_positive, help=f"runs of each optimizer in the table (default: {seeds})"
    )
    parser.add_argument("--threads", type=_positive, help="to compute with (default: PyTorch's choice)")
    parser.add_argument(
        "--weights", default="rnnprop", help="RNNprop's, a name or a .safetensors file (default: rnnprop)"
    )
    parser.add_argument("--quick", action="store_true", help="few steps, seeds and rates, to see it work")
    parser.set_defaults(default_steps=steps, default_seeds=seeds)
    return parser


def read_options(given: argparse.Namespace, search: TuningSpec) -> Options:
    """What was given, with the defaults filled in; sets PyTorch's number of threads.

    Args:
        given: as `option_parser` has parsed it.
        search: of Adam's rate, unless it must be quick.
    """
    if given.threads:
        torch.set_num_threads(given.threads)
    return Options(
        steps=given.steps or (QUICK_STEPS if given.quick else given.default_steps),
        seeds=given.seeds or (QUICK_SEEDS if given.quick else given.default_seeds),
        weights=given.weights,
        search=QUICK_SEARCH if given.quick else search,
    )


def classification_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy of logits [..., C] for classes [...]."""
    return cross_entropy(logits.flatten(0, -2), classes.flatten())


def compare(
    problem: Problem, make_rnnprop: MakeOptimizer, make_adam: MakeAtRate, options: Options
) -> Comparison:
    """Tunes Adam, then runs both optimizers in turns on the reported seeds.

    Raises:
        RnnpropError: there are no such weights, or Adam diverged at every rate.
    """
    make_rnnprop(problem.build_model().parameters())  # wrong weights are refused now, not after the search
    with Console(stderr=True).status("tuning Adam") as status:

        def adam_at(lr: float) -> MakeOptimizer:
            return lambda params: make_adam(params, lr)

        def final_loss(lr: float, seed: int) -> float:
            status.update(f"tuning Adam: rate {lr:.4g}, seed {seed}")
            model = initial_model(problem, seed)
            problem.train(model, adam_at(lr)(model.parameters()), problem.minibatches(seed))
            return mean_loss(model, problem.minibatches(seed))[0]

        tuned = tune(final_loss, options.tuning_seeds, options.search)
        start: dict[int, Score] = {}
        rnnprop: dict[int, Run] = {}
        adam: dict[int, Run] = {}
        for seed in options.reported_seeds:
            status.update(f"RNNprop and Adam in turns: seed {seed}")
            start[seed] = score(problem, initial_model(problem, seed), seed)
            rnnprop[seed] = run(problem, make_rnnprop, seed)
            adam[seed] = run(problem, adam_at(tuned.lr), seed)
    return Comparison(start, rnnprop, adam, tuned)


def tune(final_loss: Callable[[float, int], float], seeds: Sequence[int], search: TuningSpec) -> Tuned:
    """The rate of the grid 2^(-k/2) with the lowest mean final loss, searched as `rnnprop bench` does.

    Args:
        final_loss: of a rate and a seed; infinite where the run diverged.
        seeds: those of the grid, then those that confirm its best rates.
        search: sizes of the rounds.

    Raises:
        RnnpropError: every rate diverged.
    """
    tried: dict[int, list[float]] = {}
    part: Round | None = first_round(search, CENTRE_K)
    while part is not None:
        for k in part.ks:
            found = [final_loss(grid_rate(k), seeds[number]) for number in part.seeds]
            tried.setdefault(k, []).extend(found)
        part = next_round(search, tried)
    best = best_k(tried)
    if best is None:
        raise RnnpropError(f"Adam diverged at every rate down to {grid_rate(max(tried)):.2g}")
    return Tuned(
        grid_rate(best),
        {grid_rate(k): mean_or_inf(losses) for k, losses in tried.items()},
        runs=sum(map(len, tried.values())),
    )


def initial_model(problem: Problem, seed: int) -> nn.Module:
    """The model with the initial weights of a seed."""
    torch.manual_seed(seed)
    return problem.build_model()


def run(problem: Problem, make_optimizer: MakeOptimizer, seed: int) -> Run:
    """A training from the initial weights of a seed, timed and scored."""
    model = initial_model(problem, seed)
    optimizer = make_optimizer(model.parameters())
    lr = float(optimizer.param_groups[0]["lr"])
    timer = StepTimer(optimizer)
    problem.train(model, optimizer, problem.minibatches(seed))
    return Run(score(problem, model, seed), lr, timer.step_s, timer.update_s)


def score(problem: Problem, model: nn.Module, seed: int) -> Score:
    """The weights as they are, on the minibatches of a seed and on what no training sees."""
    training_loss, _ = mean_loss(model, problem.minibatches(seed))
    return Score(training_loss, *mean_loss(model, problem.heldout))


@torch.no_grad()
def mean_loss(model: nn.Module, minibatches: Iterable[Minibatch]) -> tuple[float, float]:
    """Mean loss over all examples, infinite where it is no number, and the share that is classified right."""
    model.eval()
    loss = right = n = 0.0
    for inputs, classes in minibatches:
        logits = model(inputs)
        loss += float(classification_loss(logits, classes)) * classes.numel()
        right += float((logits.argmax(-1) == classes).sum())
        n += classes.numel()
    model.train()
    return (loss / n if isfinite(loss) else inf), right / n


def exit_with_message(main: Callable[[], Any]) -> None:
    """Runs a program; what rnnprop refuses becomes a line on stderr."""
    try:
        main()
    except RnnpropError as error:
        sys.exit(f"error: {error}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
