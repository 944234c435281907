"""The mixture of directions as `torch.optim.Optimizer`.

Shape legend: n coordinates of a parameter, or of this process's part of it.
"""

from collections.abc import Callable, Sequence
from ctypes import CDLL
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from rnnprop_cli.accelerate.mixtures import compiled_mixture
from rnnprop_cli.components.learned.mixture import TINY, Averages, MixtureRule
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.cpu_mixture import MixtureNumbers, MixtureTensors, step_tensors
from rnnprop_cli.kernels.passes import MisfitError
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.torch_optim.advice import warn
from rnnprop_cli.torch_optim.find import direction
from rnnprop_cli.torch_optim.sharding import is_flat_shard, is_sharded, local, redistributed, summed
from rnnprop_cli.torch_optim.state import Layout, compute_dtype
from rnnprop_cli.torch_optim.weights_optimizer import Moving, WeightsOptimizer

MOMENTS: Final = ("exp_avg_fast", "exp_avg", "exp_avg_slow")


class Mixture(WeightsOptimizer):
    """A mixture of classical directions and a small network, every tensor's step as long as a horizon law says.

    theta <- theta - lr rate(t, T) share d / RMS(d), RMS over the tensor (`MixtureRule` gives d, `Law` the rate and the
    share). Without anything to tune: give `total_steps`, the number of steps that there will be, as to a scheduler.
    `state` holds per parameter three first moments and a second one, 16 bytes a coordinate, and `step`.

    Args:
        params: parameters, or dicts that define param groups with their own `lr`, `weight_decay` and `maximize`.
        lr: factor of the law; None: 1. Schedulers may change it, but the law has a schedule of its own.
        weights: as of `RNNprop`; None: the shipped "mixture".
        total_steps: T; None: not known, the rate then falls slowly by itself and `cool_down` ends the run.
        weight_decay: decoupled, besides the law's own.
        maximize: go up instead of down.
        skip_nonfinite: as of `RNNprop`.
        kernel: as of `RNNprop`.
        database: as of `RNNprop`.
        elsewhere: likewise.

    Raises:
        UsageError, CheckpointError, ValueError, TypeError: as of `RNNprop`.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = Mixture(model.parameters(), total_steps=100)
        >>> model(torch.ones(1, 4)).square().sum().backward()
        >>> optimizer.step()
    """

    kind = "mixture"
    advises: ClassVar[bool] = False  # steps are shares of what a tensor was at first

    @classmethod
    def shipped(cls, total_steps: int | None) -> str:
        """See `WeightsOptimizer`."""
        return cls.kind

    def _prepare(self) -> None:
        super()._prepare()
        weights = direction(self.weights)
        rule = weights.rule()
        assert isinstance(rule, MixtureRule), "weights of another kind are refused"
        self._rule = rule
        self._layout = Layout(None, (*MOMENTS, "exp_avg_sq"), None, self._averaged)
        self._named = rule.named(weights.meta_params(torch.float64, torch.device("cpu")))
        self._numbers = MixtureNumbers.of([self._named])
        self._placed: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}
        self._room = _memory(0)  # for the directions
        self._body: Kernel | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the new parameters start a trajectory of their own."""
        super().add_param_group(param_group)
        if any(map(is_flat_shard, self.param_groups[-1]["params"])):
            self.param_groups.pop()
            raise TypeError(
                "Mixture needs to know tensors from one another, which FSDP1 melts: use fully_shard"
            )

    def _advance(self, moving: Sequence[Moving], params: list[Tensor], states: list[Any]) -> None:
        """See `WeightsOptimizer`."""
        steps, *averages = self._layout.columns(params, states)
        rows = [*zip(*averages, strict=True)]
        lengths: list[float] = []
        kept: list[float] = []
        grads: list[Tensor] = []
        for each in moving:
            lengths, kept = [*lengths, *each.lengths], [*kept, *each.kept]
            grads += [-grad for grad in each.grads] if each.group["maximize"] else each.grads
        t = [round(float(step)) + 1 for step in steps]
        together = [
            j
            for j, (param, grad) in enumerate(zip(params, grads, strict=True))
            if self._library(param) is not None and param.is_contiguous() and grad.is_contiguous()
        ]
        if together and self._compiled(params, grads, averages, t, lengths, kept, together):
            rest = sorted({*range(len(params))} - {*together})
        else:
            rest = [*range(len(params))]
        for j in rest:
            self._by_torch(params[j], grads[j], rows[j], t[j], lengths[j], kept[j])
        torch._foreach_add_([*steps], 1)

    def _compiled(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        averages: Sequence[Sequence[Tensor]],
        t: Sequence[int],
        lengths: Sequence[float],
        kept: Sequence[float],
        chosen: Sequence[int],
    ) -> bool:
        """One step of the chosen parameters in one call; whether there was one."""
        library = self._library(params[chosen[0]])
        assert library is not None, "see who is chosen"
        alike = list(dict.fromkeys((t[j], kept[j]) for j in chosen))
        numbers = self._numbers.repeated(len(alike)).packed(
            np.array([each[0] for each in alike]), np.ones(len(alike)), np.array([each[1] for each in alike])
        )
        sizes = [params[j].numel() for j in chosen]
        if len(self._room) != sum(sizes):
            self._room = _memory(sum(sizes))
        tensors = MixtureTensors(
            [params[j].detach() for j in chosen],
            [grads[j] for j in chosen],
            [[column[j] for j in chosen] for column in averages],
            torch.split(self._room, sizes),
            [alike.index((t[j], kept[j])) for j in chosen],
            [lengths[j] for j in chosen],
        )
        try:
            step_tensors(library, numbers, self._rule.hidden, tensors)
        except MisfitError:  # some do not lie in memory row by row
            return False
        return True

    def _by_torch(
        self, param: Tensor, grad: Tensor, averages: Sequence[Tensor], t: int, length: float, kept: float
    ) -> None:
        """Step t of one parameter."""
        held = local(param).detach()
        dtype = compute_dtype(param)
        *moments, second = (local(each).reshape(1, -1) for each in averages)
        grad_1n = local(redistributed(grad, param)).reshape(1, -1).to(dtype)
        param_1n = held.reshape(1, -1).to(dtype)
        if (held.device, dtype) not in self._placed:
            placed = {name: value.to(held.device, dtype) for name, value in self._named.items()}
            self._placed[held.device, dtype] = placed
        named = self._placed[held.device, dtype]
        state = Averages(torch.stack(moments), second)
        direction_1n, after = self._rule.direction(named, state, grad_1n, param_1n, t, _rms_of(param))
        for entry, value in zip(averages, (*after.m_KCP, after.v_CP), strict=True):
            local(entry).copy_(value.view_as(local(entry)))
        held.copy_((kept * param_1n - length * direction_1n).view_as(held))

    def _library(self, param: Tensor) -> CDLL | None:
        usual = param.is_cpu and compute_dtype(param) == torch.float32 and not is_sharded(param)
        if not usual or self._kernel_name == "reference":
            return None
        if self._body is None:
            self._body, notice = select_kernel(self._kernel_name, torch.device("cpu"), torch.float32)
            if self._body.name == "reference" and self._kernel_name == "auto":
                warn(f"Mixture: {notice}")
        return compiled_mixture(self._body, self._room)


def _memory(n: int) -> Tensor:
    return torch.empty(n, dtype=torch.float32, device="cpu")  # whatever the defaults are


def _rms_of(param: Tensor) -> Callable[[Tensor], Tensor]:
    """The root mean square over a whole parameter, of which this process may hold a part."""
    count = max(1, param.numel())

    def rms(values_1n: Tensor) -> Tensor:
        sum_1 = summed(values_1n.square().sum(1), param)
        return (sum_1 / count).clamp(min=TINY).sqrt()[:, None]

    return rms
