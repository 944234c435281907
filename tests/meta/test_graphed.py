"""Recorded windows give what plain windows give. The recorder of the tests repeats the work by doing it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.base import Base, OptimizeeSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.graphed import CudaGraphs, RecordedWindows, record_nothing, tensors_of
from rnnprop_cli.meta.meta_gradient import Estimator, known_output_gradient
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.spec.train import ConvexSpec, MetaOptimizerSpec, TrainSpec, TruncationSpec

MLP = MLPSpec(dataset="digits", hidden=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def training(
    estimator: RecordedWindows | None,
    optimizer: RNNpropSpec | DMSpec,
    optimizee: OptimizeeSpec = MLP,
    horizon: int = 12,
    device: str = "cpu",
) -> tuple[list[float], torch.Tensor]:
    """Train losses and the meta-params at the end."""
    spec = TrainSpec(
        name="small",
        optimizer=optimizer,
        optimizee=optimizee,
        minibatch=8,
        meta_iterations=4,
        meta_batch=2,
        meta_loss="mean",
        random_scaling=2.0,
        convex=ConvexSpec(dimension=3),
        truncation=TruncationSpec(horizon=horizon, unroll=4),
    )
    run = MetaTraining(spec, Engine(device, 1, None, "auto" if device == "cuda" else "reference"))
    if estimator is not None:
        run.estimators = [estimator]
    losses = [event.result.train_loss for event in run.run()]
    return losses, run.state.meta_params_Q


@pytest.mark.parametrize("optimizer", [RNNpropSpec(), DMSpec()], ids=["rnnprop", "dm"])
@pytest.mark.parametrize("optimizee", [MLP, LSTMSpec(hidden=3)], ids=["mlp", "lstm"])
def test_replayed_windows_train_bit_for_bit_as_plain_ones(
    optimizer: RNNpropSpec | DMSpec, optimizee: OptimizeeSpec
) -> None:
    estimator = RecordedWindows(record_nothing)
    losses, meta_params_Q = training(None, optimizer, optimizee)
    replayed_losses, replayed_Q = training(estimator, optimizer, optimizee)
    assert estimator.notice is None
    assert replayed_losses == losses
    assert torch.equal(replayed_Q, meta_params_Q)


def refuse(work: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("capture is not permitted\nmore lines")


def forget(work: Callable[[], None]) -> Callable[[], None]:
    return lambda: None


def stumble(work: Callable[[], None]) -> Callable[[], None]:
    work()
    raise RuntimeError("out of memory half way")


class Third:
    """Fails at the third window, which begins in the memory of the recordings."""

    def __init__(self, fault: Callable[..., Callable[[], None]]) -> None:
        self.fault, self.calls = fault, 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.calls += 1
        return work if self.calls < 3 else self.fault(work)


def broken(work: Callable[[], None]) -> Callable[[], None]:
    def replay() -> None:
        work()
        raise RuntimeError("a replay that stops")

    return replay


@pytest.mark.parametrize("fault", [refuse, forget, stumble, broken])
def test_a_window_that_cannot_be_recorded_amid_a_trajectory_costs_nothing(
    fault: Callable[..., Callable[[], None]],
) -> None:
    estimator = RecordedWindows(Third(fault))
    assert training(estimator, RNNpropSpec())[0] == training(None, RNNpropSpec())[0]
    assert estimator.notice is not None


@pytest.mark.parametrize(("record", "reason"), [(refuse, "not permitted"), (forget, "a replay did not give")])
def test_a_recording_that_fails_leaves_the_training_to_plain_windows(record: object, reason: str) -> None:
    estimator = RecordedWindows(record)  # type: ignore[arg-type]
    losses, meta_params_Q = training(None, RNNpropSpec())
    other_losses, other_Q = training(estimator, RNNpropSpec())
    assert estimator.notice is not None
    assert reason in estimator.notice
    assert "\n" not in estimator.notice
    assert other_losses == losses
    assert torch.equal(other_Q, meta_params_Q)


def test_trajectories_of_several_blocks_of_minibatches_are_recorded_too() -> None:
    spec_losses, _ = training(None, RNNpropSpec(), MLP, horizon=104)
    estimator = RecordedWindows(record_nothing)
    losses, _ = training(estimator, RNNpropSpec(), MLP, horizon=104)
    assert losses == spec_losses
    assert estimator.notice is None


class Bowl(Base):
    """An optimizee from outside rnnprop_cli, whose data lie in an object of its own."""

    def __init__(self, seed: int, tells: bool = True) -> None:
        self.data = SimpleNamespace(centre=torch.randn(1, 3, generator=torch.Generator().manual_seed(seed)))
        self.tells = tells

    @property
    def n_coordinates(self) -> int:
        return 3

    def init_params(self) -> torch.Tensor:
        return torch.zeros(1, 3)

    def loss(self, params_CP: torch.Tensor, step: int) -> torch.Tensor:
        return (params_CP - self.data.centre).square().mean(1)

    def tensors(self, first: int, steps: int) -> tuple[torch.Tensor, ...]:
        return (self.data.centre,) if self.tells else (torch.zeros(1),)

    def load(self, first: int, tensors: tuple[torch.Tensor, ...]) -> None:
        if self.tells:
            (self.data.centre,) = tensors


class Slow(NamedTuple):
    """Accumulators of other names, number and depth than the built-in ones."""

    average_CP: torch.Tensor
    counters: tuple[int, torch.Tensor]


class Outside(NetworkRule):
    """A learned rule from outside: a gradient and its slow average."""

    network = Network(features=2, embedding=0, hidden=3, layers=1, bounded=True)
    sign = -1.0

    def accumulators(self, params_CP: torch.Tensor) -> Slow:
        return Slow(torch.zeros_like(params_CP), (0, torch.ones(1)))

    def features(self, grads_CP: torch.Tensor, state: Slow, *, donate: bool) -> tuple[torch.Tensor, Slow]:
        steps, decay = state.counters
        decay = decay * 0.9
        average_CP = decay * state.average_CP + grads_CP
        return torch.stack([grads_CP, average_CP]).flatten(1), Slow(average_CP, (steps + 1, decay))


def outside(estimator: Estimator, bowls: list[Bowl]) -> tuple[list[float], torch.Tensor]:
    """Meta-trains on these optimizees in turn."""
    spec = TrainSpec(
        name="outside",
        optimizer=RNNpropSpec(),
        optimizee=MLP,
        meta_optimizer=MetaOptimizerSpec(lr=0.01),
        truncation=TruncationSpec(horizon=6, unroll=3),
    )
    rule, kernel = Outside(), ReferenceKernel()
    meta_params_Q = 0.3 * torch.randn(rule.n_meta_params, generator=torch.Generator().manual_seed(1))
    optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
    state, losses = MetaState(meta_params_Q, optimizer), []
    for bowl in bowls:
        state, loss = meta_iteration(spec, state, bowl, rule, kernel, draw(spec, 0), estimator)
        losses.append(float(loss))
    return losses, state.meta_params_Q


def test_optimizees_and_rules_from_outside_are_recorded() -> None:
    estimator = RecordedWindows(record_nothing)
    first = Bowl(0)
    losses, meta_params_Q = outside(estimator, [first, Bowl(1), Bowl(2), first, Bowl(3)])
    assert estimator.notice is None
    first = Bowl(0)
    plain_losses, plain_Q = outside(known_output_gradient, [first, Bowl(1), Bowl(2), first, Bowl(3)])
    assert losses == plain_losses
    assert torch.equal(meta_params_Q, plain_Q)


def test_an_optimizee_that_hides_its_data_is_found_out_and_trained_on_without_recordings() -> None:
    estimator = RecordedWindows(record_nothing)
    losses, _ = outside(estimator, [Bowl(seed, tells=False) for seed in range(4)])
    assert "a replay did not give" in (estimator.notice or "")
    assert losses == outside(known_output_gradient, [Bowl(seed) for seed in range(4)])[0]


def test_an_optimizee_that_says_nothing_of_its_data_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bowl, "tensors", Base.tensors)
    estimator = RecordedWindows(record_nothing)
    losses, _ = outside(estimator, [Bowl(0), Bowl(1)])
    assert "does not tell" in (estimator.notice or "")
    assert losses == outside(known_output_gradient, [Bowl(0), Bowl(1)])[0]


def test_a_state_of_other_things_than_tensors_and_numbers_is_refused() -> None:
    with pytest.raises(RuntimeError, match="dict"):
        tensors_of((torch.zeros(1), {"m": torch.zeros(1)}))


def test_a_fall_back_releases_the_recordings_and_is_told_once() -> None:
    class Held:
        def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
            return lambda: None  # holds nothing, does nothing

    estimator = RecordedWindows(Held())
    spec = TrainSpec(
        name="small",
        optimizer=RNNpropSpec(),
        optimizee=MLP,
        minibatch=8,
        meta_iterations=3,
        truncation=TruncationSpec(horizon=4, unroll=2),
    )
    run = MetaTraining(spec, Engine("cpu", 1, None, "reference"))
    run.estimators = [estimator]
    notices = [event.notice for event in run.run()]
    assert notices[0] is not None
    assert notices[0].startswith("windows are not recorded: a replay did not give")
    assert notices[1:] == [None, None]
    assert estimator._stage is None


def test_recordings_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    pools, replayed = [], []

    class Graph:
        def replay(self) -> None:
            replayed.append(self)

    @contextmanager
    def capture(graph: Graph, pool: object) -> Iterator[None]:
        pools.append(pool)
        yield

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    record, work = CudaGraphs(), []
    replays = [record(lambda: work.append(1)) for _ in range(5)]
    assert len(pools) == len(work) == 5
    assert len(set(map(id, pools))) == 1
    replays[3]()
    assert len(replayed) == 1


@pytest.mark.gpu
def test_cuda_graphs_train_as_plain_windows_do() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    estimator = RecordedWindows()
    losses, meta_params_Q = training(None, RNNpropSpec())
    graphed_losses, graphed_Q = training(estimator, RNNpropSpec(), device="cuda")
    assert estimator.notice is None
    assert graphed_losses == pytest.approx(losses, rel=1e-3)
    assert (graphed_Q.cpu() - meta_params_Q).norm() < 1e-3 * meta_params_Q.norm()
