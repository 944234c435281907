"""Computes the steps of a block of parameters, on whatever device it lies."""

import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels.base import Hidden, Kernel
from rnnprop_cli.kernels.select import KernelName, select_kernel
from rnnprop_cli.optimizers.build import build_learned_rule
from rnnprop_cli.optimizers.learned import LearnedRule, LearnedState, advance
from rnnprop_cli.torch_optim.block import Block

# With a narrow state dtype so many coordinates are widened at a time (40 MB of float32).
COORDINATES_PER_CHUNK: Final = 2**16

# The rule's state from the steps taken and what it accumulates per coordinate, [1, N] each; shares memory with these.
Features = Callable[[int, list[Tensor]], Any]


class _Engine(NamedTuple):
    """What computes on one device."""

    kernel: Kernel
    meta_params_Q: Tensor
    rate_1: Tensor  # sign of the rule's output


class Stepper:
    """A learned optimizer with its weights.

    Args:
        weights: meta-params and architecture.
        kernel_name: body of the kernel.
        features: how accumulators become the rule's state.
    """

    def __init__(self, weights: Weights, kernel_name: KernelName, features: Features) -> None:
        self.rule: LearnedRule = build_learned_rule(weights.architecture)
        self._weights = weights
        self._kernel_name = kernel_name
        self._features = features
        self._engines: dict[tuple[torch.device, torch.dtype], _Engine] = {}

    def advance(self, block: Block) -> None:
        """Computes the block's updates of one step for lr = 1 from its gradients, and the state after it."""
        engine = self._engine(block.device, block.dtype)
        block.updates_1N.zero_()
        if block.hidden.h_LHN.dtype == block.dtype:
            hidden = self._compute(engine, block, slice(None), block.hidden)
            if hidden.h_LHN is not block.hidden.h_LHN:
                block.store_hidden(slice(None), hidden)
        else:
            for part in block.chunks(COORDINATES_PER_CHUNK):
                block.store_hidden(part, self._compute(engine, block, part, block.hidden_part(part)))
        block.count_step()

    def _compute(self, engine: _Engine, block: Block, part: slice, hidden: Hidden) -> Hidden:
        features = self._features(block.steps, [each[:, part] for each in block.accumulators_1N])
        state = advance(
            self.rule,
            engine.kernel,
            engine.meta_params_Q,
            engine.rate_1,
            block.grads_1N[:, part],
            LearnedState(features, hidden),
            block.updates_1N[:, part],
        )
        return state.hidden

    def _engine(self, device: torch.device, dtype: torch.dtype) -> _Engine:
        if (device, dtype) not in self._engines:
            kernel, notice = select_kernel(self._kernel_name, device, dtype)
            if kernel.name == "reference" and self._kernel_name == "auto" and dtype == torch.float32:
                warnings.warn(f"{self._weights.architecture.kind}: {notice}", stacklevel=5)
            meta_params_Q = self._weights.meta_params(dtype, device)
            rate_1 = torch.tensor([self.rule.sign], dtype=dtype, device=device)
            self._engines[device, dtype] = _Engine(kernel, meta_params_Q, rate_1)
        return self._engines[device, dtype]
