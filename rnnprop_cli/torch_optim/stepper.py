"""Computes one step of many tensors, wherever they lie.

In one pass of the kernel where it has such (`FusedPasses.relative_steps`); else piece by piece with PyTorch: small
tensors are gathered side by side, a large one is cut, and what was computed is copied back.

Shape legend: n coordinates of a tensor, N of a piece, L LSTM layers, H hidden units.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.accelerate.learned import advance, fused_steps
from rnnprop_cli.components.learned.network import LearnedState, NetworkRule
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.network import Hidden
from rnnprop_cli.kernels.passes import MisfitError, TensorStep, TensorSteps
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.torch_optim.state import compute_dtype

# So many coordinates are gathered at a time: the memory that a step takes besides the state, against the cost of
# starting every operation.
COORDINATES_PER_PIECE: Final = 2**14
COORDINATES_PER_PIECE_ON_ACCELERATORS: Final = 2**18

IS_CPU: Final = attrgetter("is_cpu")
DTYPE: Final = attrgetter("dtype")
USUAL: Final = {torch.float32, torch.bfloat16, torch.float16}  # computed in float32

# The rule's state from the steps taken and what it accumulates per coordinate, [1, N] each; shares memory with these.
Features = Callable[[int, list[Tensor]], Any]


_Place = tuple[torch.device, torch.dtype]  # of parameters, and what they are computed in


class _Engine(NamedTuple):
    """What computes on one device."""

    kernel: Kernel
    meta_params_Q: Tensor
    one_1: Tensor


class _Part(NamedTuple):
    """Some coordinates of a tensor."""

    tensor: TensorStep
    start: int
    end: int


class Stepper:
    """A learned optimizer with its weights.

    Args:
        weights: meta-params and architecture.
        kernel_name: body of the kernel.
        features: how accumulators become the rule's state.
    """

    def __init__(self, weights: Weights, kernel_name: KernelName, features: Features) -> None:
        rule = weights.rule()
        assert isinstance(rule, NetworkRule), "the classes of this package are networks"
        self.rule = rule
        self._weights = weights
        self._kernel_name = kernel_name
        self._features = features
        self._engines: dict[_Place, _Engine] = {}

    def advance(self, tensors: TensorSteps) -> None:
        """One step of every tensor, in place, its count of steps too.

        Raises:
            MisfitError: a tensor does not lie in memory as it would have to; nothing has moved.
        """
        fused, plain = [], []
        for place, together in _by_place(tensors):
            engine = self._engine(*place)
            take = fused_steps(self.rule, engine.kernel.passes)
            if take is not None:
                fused.append((take, engine.meta_params_Q, together))
            else:
                rows = together.rows()
                _check(rows, self.rule.network.layers * self.rule.network.hidden)
                plain.append((engine, rows))
        for take, meta_params_Q, together in fused:  # at most one
            take(meta_params_Q, together)
        for engine, rows in plain:
            self._piecewise(engine, rows)

    def _piecewise(self, engine: _Engine, tensors: Sequence[TensorStep]) -> None:
        same_step: dict[int, list[TensorStep]] = {}
        for each in tensors:
            same_step.setdefault(int(each.step), []).append(each)
        for steps, together in same_step.items():
            for parts in _pieces(together, engine):
                self._piece(engine, steps, parts)
        torch._foreach_add_([each.step for each in tensors], 1)

    def _piece(self, engine: _Engine, steps: int, parts: list[_Part]) -> None:
        dtype, network = engine.meta_params_Q.dtype, self.rule.network
        tensors, sizes = [part.tensor for part in parts], [part.end - part.start for part in parts]
        grads_1N = _gathered([each.grad for each in tensors], parts, dtype)
        if any(each.sign != 1 for each in tensors):
            signs = [grads_1N.new_full((1, n), each.sign) for each, n in zip(tensors, sizes, strict=True)]
            grads_1N = grads_1N * torch.cat(signs, -1)
        sources = [*zip(*(each.accumulators for each in tensors), strict=True)]
        accumulators_1N = [_gathered(each, parts, dtype) for each in sources]
        states = [[each.h for each in tensors], [each.c for each in tensors]]
        hidden = [_gathered(each, parts, dtype) for each in states]
        asleep_N = grads_1N[0] == 0  # see FusedPasses.relative_steps
        for each_RN in (*accumulators_1N, *hidden):
            asleep_N &= torch.linalg.vector_norm(each_RN, torch.inf, dim=0) == 0

        updates_1N = torch.zeros_like(grads_1N)
        h_LHN, c_LHN = (each.view(network.layers, network.hidden, -1) for each in hidden)
        before = LearnedState(self._features(steps, accumulators_1N), Hidden(h_LHN, c_LHN))
        after = advance(
            self.rule, engine.kernel, engine.meta_params_Q, engine.one_1, grads_1N, before, updates_1N
        )
        updates_1N.masked_fill_(asleep_N, 0)
        for state_LHN, state in zip(after.hidden, states, strict=True):
            _scattered(state_LHN.flatten(0, 1).masked_fill_(asleep_N, 0), state, parts)
        for accumulator_1N, source in zip(accumulators_1N, sources, strict=True):
            _scattered(accumulator_1N, source, parts)
        for part, update_n in zip(parts, torch.split(updates_1N[0], sizes), strict=True):
            moved_n = part.tensor.param.view(-1)[part.start : part.end]
            if part.tensor.decay != 1:
                moved_n.mul_(part.tensor.decay)
            moved_n.add_(update_n, alpha=part.tensor.rate)

    def _engine(self, device: torch.device, dtype: torch.dtype) -> _Engine:
        if (device, dtype) not in self._engines:
            kernel, notice = select_kernel(self._kernel_name, device, dtype)
            if kernel.name == "reference" and self._kernel_name == "auto" and dtype == torch.float32:
                warnings.warn(f"{self._weights.architecture.kind}: {notice}", stacklevel=5)
            meta_params_Q = self._weights.meta_params(dtype, device)
            one_1 = torch.ones(1, dtype=dtype, device=device)
            self._engines[device, dtype] = _Engine(kernel, meta_params_Q, one_1)
        return self._engines[device, dtype]


def _by_place(tensors: TensorSteps) -> Iterator[tuple[_Place, TensorSteps]]:
    """The tensors of each device and dtype of computation; all of them as they are, where they are the usual ones."""
    if all(map(IS_CPU, tensors.params)) and {*map(DTYPE, tensors.params)} <= USUAL:
        if tensors.params:
            yield (torch.device("cpu"), torch.float32), tensors
        return
    indices: dict[_Place, list[int]] = {}
    for index, param in enumerate(tensors.params):
        indices.setdefault((param.device, compute_dtype(param)), []).append(index)
    for place, own in indices.items():
        yield place, tensors.of(own)


def _check(tensors: Sequence[TensorStep], rows: int) -> None:
    for each in tensors:
        narrow = (each.param, each.grad, *each.accumulators)
        for tensor in (*narrow, each.h, each.c):
            size = each.param.numel() * (rows if tensor is each.h or tensor is each.c else 1)
            fits = tensor.numel() == size and tensor.is_contiguous() and tensor.is_floating_point()
            if not fits or tensor.device != each.param.device:
                raise MisfitError(f"{tensor.dtype} of {tuple(tensor.shape)} on {tensor.device}")
        if each.step.numel() != 1 or not each.step.is_cpu:
            raise MisfitError(f"steps are counted on {each.step.device}")


def _pieces(tensors: Sequence[TensorStep], engine: _Engine) -> Iterator[list[_Part]]:
    """All coordinates, so many at a time; a large tensor that the kernel can take whole is a piece of its own."""
    on_cpu = engine.meta_params_Q.device.type == "cpu"
    size = COORDINATES_PER_PIECE if on_cpu else COORDINATES_PER_PIECE_ON_ACCELERATORS
    whole = engine.kernel.name != "reference"
    parts: list[_Part] = []
    room = size
    for each in tensors:
        n = each.param.numel()
        if whole and n >= size:
            yield [_Part(each, 0, n)]
            continue
        start = 0
        while start < n:
            end = min(n, start + room)
            parts.append(_Part(each, start, end))
            room -= end - start
            start = end
            if room == 0:
                yield parts
                parts, room = [], size
    if parts:
        yield parts


def _gathered(sources: Sequence[Tensor], parts: Sequence[_Part], dtype: torch.dtype) -> Tensor:
    """[R, N] the parts side by side, R numbers a coordinate; the source's own memory where that is all of it."""
    rows = [source.view(-1, part.tensor.param.numel()) for source, part in zip(sources, parts, strict=True)]
    cut = [row[:, part.start : part.end].to(dtype) for row, part in zip(rows, parts, strict=True)]
    if len(cut) == 1:
        return cut[0].contiguous()
    return torch.cat(cut, dim=1)


def _scattered(piece_RN: Tensor, targets: Sequence[Tensor], parts: Sequence[_Part]) -> None:
    """The inverse of `_gathered`."""
    rows = [
        target.view(-1, part.tensor.param.numel())[:, part.start : part.end]
        for target, part in zip(targets, parts, strict=True)
    ]
    sizes = [part.end - part.start for part in parts]
    if len(rows) > 1 or rows[0].data_ptr() != piece_RN.data_ptr() or rows[0].dtype != piece_RN.dtype:
        torch._foreach_copy_(rows, torch.split(piece_RN, sizes, dim=1))
