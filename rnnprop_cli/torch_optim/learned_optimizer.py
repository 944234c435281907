"""What RNNprop and DMOptimizer share: a coordinatewise network."""

from abc import abstractmethod
from array import array
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.passes import MisfitError, TensorSteps
from rnnprop_cli.torch_optim.find import direction
from rnnprop_cli.torch_optim.sharding import is_sharded, local, redistributed
from rnnprop_cli.torch_optim.state import STATE_DTYPES, Layout
from rnnprop_cli.torch_optim.stepper import Stepper
from rnnprop_cli.torch_optim.weights_optimizer import PLAIN, Moving, Params, WeightsOptimizer


class CoordinatewiseOptimizer(WeightsOptimizer):
    """A coordinatewise network with trained weights, as `torch.optim.Optimizer`.

    Args:
        params: parameters, or dicts that define param groups with their own `lr`, `weight_decay` and `maximize`.
        lr: alpha, which the network's output is multiplied with (equation 7 of the paper); None takes what the weights
            were trained with, 0.1 by the paper's recipe. Schedulers may change it. Any number >= 0.
        weights: name of weights that come with the package (`rnnprop weights list`), a `.safetensors` file, the name or
            id of a finished meta-training in `database` (`NAME@N`: its checkpoint after N meta-iterations, also of an
            unfinished one), or a `Weights`. None: the shipped "rnnprop" for RNNprop, "dm" for DMOptimizer, and with
            `total_steps` the shipped law over them ("rnnprop-law").
        total_steps: T, how many steps there will be. A horizon law then says how long each is, for every tensor, and
            `lr` is a factor of it, 1 if it is None. None: `lr` is all, or with weights that have a law, what the law
            says of a run whose end is not known; `cool_down` ends such a run.
        weight_decay: decoupled, as in AdamW: params are multiplied with 1 - lr * weight_decay before the step.
        maximize: go up instead of down.
        skip_nonfinite: leave out a step in which any gradient is NaN or infinite, and count it in the param groups'
            `skipped_steps`. Otherwise such a gradient makes its coordinate NaN for good, as in AdamW.
        state_dtype: of the LSTM's state, 80 of the 82 numbers that RNNprop keeps per coordinate; torch.bfloat16 halves
            it. None: float32 (float64 for float64 parameters).
        kernel: "auto" takes the fast body of each device; "reference" is plain PyTorch. "cpu" and "cuda" insist.
        database: where to look for meta-trainings; None: `$RNNPROP_DB`, or results/rnnprop.db if that exists.
        elsewhere: arguments of other optimizers, taken where they mean the same here: `foreach` and `fused` in any
            case, `betas` and `eps` if they are the weights' own.

    Raises:
        UsageError: there are no such weights, they are another optimizer's, or a meta-training that is not finished.
        CheckpointError: their file is damaged, or they hold NaN.
        ValueError: a setting is out of range.
        TypeError: a parameter is not a real floating-point tensor, or there is no such argument.
    """

    accumulators: ClassVar[tuple[str, ...]]  # what the rule accumulates per coordinate

    _stepper: Stepper

    def __init__(
        self,
        params: Params,
        lr: float | Tensor | None = None,
        *,
        weights: str | Path | Weights | None = None,
        total_steps: int | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        skip_nonfinite: bool = False,
        state_dtype: torch.dtype | None = None,
        kernel: KernelName = "auto",
        database: str | Path | None = None,
        **elsewhere: Any,
    ) -> None:
        if state_dtype is not None and state_dtype not in STATE_DTYPES:
            raise ValueError(
                f"state_dtype must be one of {', '.join(map(str, STATE_DTYPES))}, not {state_dtype}"
            )
        self._state_dtype = state_dtype
        super().__init__(
            params,
            lr,
            weights=weights,
            total_steps=total_steps,
            weight_decay=weight_decay,
            maximize=maximize,
            skip_nonfinite=skip_nonfinite,
            kernel=kernel,
            database=database,
            **elsewhere,
        )

    @abstractmethod
    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> Any:
        """The rule's state from what it accumulates, after `steps` steps; shares memory with it."""

    def _advance(self, moving: Sequence[Moving], params: list[Tensor], states: list[Any]) -> None:
        """See `WeightsOptimizer`."""
        tensors = self._tensors(moving, states)
        try:
            self._stepper.advance(tensors)
        except MisfitError:
            # Somebody has changed the state, or parameters do not lie in memory row by row.
            for param, state in zip(params, states, strict=True):
                self._layout.complete(param, state)
            tensors = self._tensors(moving, states)
            plain = tensors._replace(
                params=[each.contiguous() for each in tensors.params],
                grads=[each.contiguous() for each in tensors.grads],
            )
            self._stepper.advance(plain)
            for held, moved in zip(tensors.params, plain.params, strict=True):
                if moved is not held:
                    held.copy_(moved)

    def _tensors(self, moving: Sequence[Moving], states: Sequence[Any]) -> TensorSteps:
        """What the step is about, of a sharded parameter this process's part."""
        params = [*chain.from_iterable(each.params for each in moving)]
        grads = [*chain.from_iterable(each.grads for each in moving)]
        columns = self._layout.columns(params, states)  # which makes what is missing
        rates, decays, signs = array("d"), array("d"), array("d")
        for each in moving:
            rates += array("d", [self._stepper.rule.signed(length) for length in each.lengths])
            decays += array("d", each.kept)
            signs += array("d", [-1.0 if each.group["maximize"] else 1.0]) * len(each.params)
        steps, *accumulators, h, c = columns
        if not {*map(type, params)} <= PLAIN and any(map(is_sharded, params)):
            grads = [local(redistributed(grad, param)) for grad, param in zip(grads, params, strict=True)]
            params, h, c = ([*map(local, column)] for column in (params, h, c))
            accumulators = [tuple(map(local, column)) for column in accumulators]
        return TensorSteps(params, grads, steps, accumulators, h, c, rates, decays, signs)

    def _prepare(self) -> None:
        super()._prepare()
        self._stepper = Stepper(direction(self.weights), self._kernel_name, self._features)
        self._layout = Layout(
            self._stepper.rule.network, self.accumulators, self._state_dtype, self._averaged
        )
