"""From a spec to an optimizee: the one visible table."""

from collections.abc import Sequence

import torch

from rnnprop_cli.data.datasets import Dataset
from rnnprop_cli.data.minibatches import ImageMinibatches, SineMinibatches
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.optimizees.base import Optimizee
from rnnprop_cli.optimizees.conv import Conv
from rnnprop_cli.optimizees.lstm import LSTM
from rnnprop_cli.optimizees.mlp import MLP
from rnnprop_cli.optimizees.quadratic import Quadratic
from rnnprop_cli.spec.base import Sampling
from rnnprop_cli.spec.optimizees import ConvSpec, LSTMSpec, MLPSpec, OptimizeeSpec


def build_optimizee(
    spec: OptimizeeSpec,
    dataset: Dataset | None,
    seeds: Sequence[int],
    minibatch: int,
    dtype: torch.dtype,
    device: torch.device,
    passes: FusedPasses | None = None,
    sampling: Sampling = "epochs",
) -> Optimizee:
    """The optimizee that `spec` describes, bound to its data and seeds.

    Args:
        spec: what to build.
        dataset: the one that the spec names, where it names one.
        seeds: S seeds; each fixes theta_0 and all minibatches of its cells.
        minibatch: M, examples per step.
        dtype: of params and data.
        device: of params and data.
        passes: take gradients in one pass where they can.
        sampling: how minibatches are drawn from the dataset.

    Raises:
        UsageError: an epoch of the dataset is smaller than a minibatch.
    """
    if isinstance(spec, LSTMSpec):
        sines = SineMinibatches(seeds, minibatch, spec.noise, spec.length, device, dtype)
        return LSTM(spec, sines, passes)
    if isinstance(spec, MLPSpec | ConvSpec):
        assert dataset is not None, f"{spec.kind} needs its dataset"
        images = ImageMinibatches(dataset, seeds, minibatch, device, dtype, sampling)
        return MLP(spec, images, passes) if isinstance(spec, MLPSpec) else Conv(spec, images, passes)
    return Quadratic(spec.dimension, seeds, dtype, device)
