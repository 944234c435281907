"""Every body of the kernel interface gives the same training, within rounding."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.spec.train import CheckpointSpec, ConvexSpec, TrainSpec, TruncationSpec, ValidationSpec

META_ITERATIONS = 50


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec(optimizer: RNNpropSpec | DMSpec, **changes: Any) -> TrainSpec:
    """Small, but with all that a recipe can have."""
    settings = {
        "name": "small",
        "optimizer": optimizer,
        "optimizee": MLPSpec(dataset="digits", hidden=4),
        "minibatch": 32,
        "meta_iterations": META_ITERATIONS,
        "random_scaling": 3.0,
        "convex": ConvexSpec(dimension=5),
        "truncation": TruncationSpec(horizon=20, unroll=10),
        "validation": ValidationSpec(every=25, seeds=2),
        "checkpoint": CheckpointSpec(every=1000, rolling=1000),
    }
    return TrainSpec(**(settings | changes))


def curve(
    train: TrainSpec, kernel: str, device: str = "cpu"
) -> tuple[list[float], list[float], torch.Tensor]:
    """Train losses and validation losses, and the meta-params at the end."""
    training = MetaTraining(train, Engine(device, 1, None, kernel))  # type: ignore[arg-type]
    results = [event.result for event in training.run()]
    validation = [result.validation_loss for result in results if result.validation_loss is not None]
    return [result.train_loss for result in results], validation, training.state.meta_params_Q.cpu()


@pytest.mark.parametrize("optimizer", [RNNpropSpec(), DMSpec()], ids=["rnnprop", "dm"])
def test_cpu_body_and_reference_give_the_same_training_curve(optimizer: RNNpropSpec | DMSpec) -> None:
    try:
        CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))
    recipe = spec(optimizer, meta_loss="last" if isinstance(optimizer, RNNpropSpec) else "mean")
    losses, validation, meta_params_Q = curve(recipe, "reference")
    fast_losses, fast_validation, fast_meta_params_Q = curve(recipe, "cpu")
    assert len(losses) == META_ITERATIONS
    assert len(validation) == 2
    assert fast_losses == pytest.approx(losses, rel=1e-3)
    assert fast_validation == pytest.approx(validation, rel=1e-3)
    assert (fast_meta_params_Q - meta_params_Q).norm() < 1e-3 * meta_params_Q.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [RNNpropSpec(), DMSpec()], ids=["rnnprop", "dm"])
def test_cuda_body_and_reference_give_the_same_training_curve(optimizer: RNNpropSpec | DMSpec) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    recipe = spec(optimizer)
    losses, validation, meta_params_Q = curve(recipe, "reference")
    fast_losses, fast_validation, fast_meta_params_Q = curve(recipe, "cuda", "cuda")
    assert fast_losses == pytest.approx(losses, rel=1e-3)
    assert fast_validation == pytest.approx(validation, rel=1e-3)
    assert (fast_meta_params_Q - meta_params_Q).norm() < 1e-3 * meta_params_Q.norm()
