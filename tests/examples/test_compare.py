"""What the examples' table rests on: Adam has a fair search, and both optimizers start and train alike."""

from collections.abc import Iterable, Iterator
from math import inf, log2, nan

import pytest
import torch
from compare import (
    Minibatch,
    Options,
    Problem,
    StepTimer,
    classification_loss,
    compare,
    mean_loss,
    option_parser,
    read_options,
    tune,
)
from table import show, verdict
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from rnnprop_cli import RNNprop
from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.spec.bench import TuningSpec

SEARCH = TuningSpec(seeds=2, points=3, extend_by=2, max_rounds=20, confirm_seeds=None)
STEPS = 5


def _minibatches(seed: int) -> Iterator[Minibatch]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        inputs = torch.randn(8, 4, generator=generator)
        yield inputs, (inputs.sum(1) > 0).long()


def _train(model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch]) -> None:
    for inputs, classes in minibatches:
        optimizer.zero_grad()
        classification_loss(model(inputs), classes).backward()
        optimizer.step()


def _problem(train=_train, minibatches=_minibatches) -> Problem:
    return Problem("toy", lambda: nn.Linear(4, 2), minibatches, list(_minibatches(99)), train)


def _options(seeds: int = 3) -> Options:
    return Options(steps=STEPS, seeds=seeds, weights="rnnprop", search=SEARCH)


@pytest.mark.parametrize("best_k", [2, 10, 12, 14, 23])
def test_search_grows_until_the_best_rate_is_inside(best_k: int) -> None:
    """Its first three rates are 2^(-k/2) for k = 11, 12, 13."""
    tuned = tune(lambda lr, _: abs(-2 * log2(lr) - best_k), range(2), SEARCH)
    assert tuned.lr == pytest.approx(2 ** (-best_k / 2))
    assert not tuned.at_edge
    assert min(tuned.losses) < tuned.lr < max(tuned.losses)


def test_search_that_ends_at_an_edge_says_so() -> None:
    short = TuningSpec(seeds=1, points=3, extend_by=2, max_rounds=2, confirm_seeds=None)
    assert tune(lambda lr, _: lr, range(1), short).at_edge


def test_search_takes_the_mean_over_its_seeds_and_shuns_rates_that_diverge() -> None:
    def final_loss(lr: float, seed: int) -> float:
        return inf if lr > 0.02 and seed == 1 else 1 - lr + 10 * seed

    tuned = tune(final_loss, range(2), SEARCH)
    assert tuned.lr == pytest.approx(2 ** (-12 / 2))
    assert tuned.losses[tuned.lr] == pytest.approx(6 - tuned.lr)


def test_search_without_any_result_is_an_error() -> None:
    with pytest.raises(RnnpropError, match="every rate"):
        tune(
            lambda *_: inf,
            range(1),
            TuningSpec(seeds=1, points=3, extend_by=1, max_rounds=2, confirm_seeds=None),
        )


def test_rates_are_tuned_on_other_seeds_than_are_reported() -> None:
    asked: list[int] = []
    trained: list[int] = []

    def minibatches(seed: int) -> Iterator[Minibatch]:
        asked.append(seed)
        return _minibatches(seed)

    def train(model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch]) -> None:
        trained.append(asked[-1])
        _train(model, optimizer, minibatches)

    options = _options()
    compared = compare(_problem(train, minibatches), RNNprop, lambda ps, lr: Adam(ps, lr), options)
    in_search = len(compared.tuned.losses) * SEARCH.seeds
    assert set(trained[:in_search]) == set(options.tuning_seeds)
    assert trained[in_search:] == [seed for seed in options.reported_seeds for _ in ("RNNprop", "Adam")]
    assert not set(options.tuning_seeds) & set(options.reported_seeds)
    assert set(compared.rnnprop) == set(compared.adam) == set(compared.start) == set(options.reported_seeds)


def test_both_optimizers_get_the_same_weights_and_minibatches() -> None:
    begun: dict[str, list[Tensor]] = {"rnnprop": [], "adam": []}

    def train(model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch]) -> None:
        met = list(minibatches)
        name = "rnnprop" if isinstance(optimizer, RNNprop) else "adam"
        begun[name].append(
            torch.cat([nn.utils.parameters_to_vector(model.parameters()), *(x.flatten() for x, _ in met)])
        )
        _train(model, optimizer, met)

    compare(_problem(train), RNNprop, lambda params, lr: Adam(params, lr), _options())
    adam = begun["adam"][-3:]  # behind those of the search
    assert len(begun["rnnprop"]) == 3
    assert all(torch.equal(a, b) for a, b in zip(begun["rnnprop"], adam, strict=True))
    assert not torch.equal(adam[0], adam[1])


def test_an_optimizer_does_not_differ_from_itself() -> None:
    compared = compare(
        _problem(), lambda params: SGD(params, lr=0.1), lambda params, _: SGD(params, lr=0.1), _options()
    )
    assert [run.score for run in compared.rnnprop.values()] == [run.score for run in compared.adam.values()]
    assert all(
        run.score.training_loss < compared.start[seed].training_loss for seed, run in compared.adam.items()
    )


def test_table_counts_runs_that_diverged(capsys: pytest.CaptureFixture[str]) -> None:
    def diverging(params: Iterable[nn.Parameter]) -> Optimizer:
        return SGD(params, lr=nan)

    options = _options()
    problem = _problem()
    compared = compare(problem, diverging, lambda params, lr: Adam(params, lr), options)
    show(problem, compared, options)
    shown = " ".join(capsys.readouterr().out.split())
    assert "(3 diverged)" in shown
    assert "Training loss: Adam (tuned) is better: RNNprop diverged on 3 of 3 seeds." in shown


@pytest.mark.parametrize(
    ("rnnprop", "said"),
    [
        ((1.0, 1.2, 1.1), "RNNprop is better: its loss is 47.6"),
        ((3.0, 3.1, 3.2), "Adam (tuned) is better: RNNprop's loss is 47.6"),
        ((2.0, 2.2, 2.1), "no difference within the interval (RNNprop's is +0.0"),
        ((2.0, 2.1, 2.3), "no difference within the interval (RNNprop's is +1.6"),
        ((0.1, inf, 0.1), "Adam (tuned) is better: RNNprop diverged on 1 of 3 seeds"),
    ],
)
def test_verdict_says_only_what_the_interval_allows(rnnprop: tuple[float, ...], said: str) -> None:
    adam = {0: 2.0, 1: 2.2, 2: 2.1}
    assert verdict(dict(enumerate(rnnprop)), adam).startswith(said)


def test_one_seed_gives_no_verdict() -> None:
    assert verdict({0: 1.0}, {0: 2.0}).startswith("no verdict")


def test_mean_loss_weighs_examples_alike_and_calls_nan_infinite() -> None:
    model = nn.Identity()
    sure, unsure = torch.tensor([[20.0, 0.0]]), torch.zeros(3, 2)
    minibatches = [(sure, torch.tensor([0])), (unsure, torch.tensor([1, 1, 1]))]
    loss, right = mean_loss(model, minibatches)
    assert loss == pytest.approx(0.75 * torch.log(torch.tensor(2.0)).item())
    assert right == pytest.approx(0.25)
    assert mean_loss(model, [(torch.full((1, 2), nan), torch.tensor([0]))])[0] == inf


def test_timer_sees_every_step() -> None:
    param = nn.Parameter(torch.zeros(3))
    optimizer = SGD([param], lr=0.1)
    timer = StepTimer(optimizer)
    for _ in range(4):
        param.grad = torch.ones(3)
        optimizer.step()
    assert 0 < timer.update_s <= timer.step_s


def test_what_is_given_goes_before_quick() -> None:
    given = option_parser("", steps=100, seeds=10).parse_args(["--quick", "--steps", "7"])
    options = read_options(given, TuningSpec())
    assert options.steps == 7
    assert options.seeds < 10
    assert options.search.points < TuningSpec().points
