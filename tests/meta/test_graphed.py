"""Recorded windows give what plain windows give. The recorder of the tests repeats the work by doing it."""

from collections.abc import Callable, Iterator

import pytest
import torch

from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.meta.graphed import RecordedWindows, record_nothing
from rnnprop_cli.spec.optimizees import LSTMSpec, MLPSpec, OptimizeeSpec
from rnnprop_cli.spec.optimizers import DMSpec, RNNpropSpec
from rnnprop_cli.spec.train import ConvexSpec, TrainSpec, TruncationSpec

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
        run.estimator = estimator
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


def test_trajectories_of_several_blocks_of_minibatches_are_not_recorded() -> None:
    spec_losses, _ = training(None, RNNpropSpec(), MLP, horizon=104)
    estimator = RecordedWindows(record_nothing)
    losses, _ = training(estimator, RNNpropSpec(), MLP, horizon=104)
    assert losses == spec_losses
    assert "longer than 100 steps" in (estimator.notice or "")


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
