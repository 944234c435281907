"""A direction, Adam's or a meta-trained network's, under a horizon law (see `components.law`).

Shape legend: C cells, P coordinates, K numbers of the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.averaging import NUMBERS as AVERAGING_NUMBERS
from rnnprop_cli.components.averaging import Averaging, Shares, averaged
from rnnprop_cli.components.law import NUMBERS, SHAPE_NUMBERS, Law, NetworkShape, initial_sizes, spread
from rnnprop_cli.components.learned.base import Architecture, ArchitectureSpec, Context, Shapes
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.mixture import MixtureSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import RuleState
from rnnprop_cli.fields import Decay, PositiveFloat, Spec
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

LAW: Final = "law"  # names of its numbers among the meta-params
SHAPE: Final = "law.shape"
AVERAGING: Final = "averaging"
BASE: Final = "base."  # before the names of the direction's


class BeginSpec(Spec):
    """The numbers of a law before it is fitted; see `components.law`."""

    log_rate: float | None = None  # None: the direction's own rate
    log_rate_slope: float = 0.0
    cooldown: float = 0.0
    cooldown_slope: float = 0.0
    warmup: float = -3.0
    share: float = 1.0
    log_decay: float = -9.2
    decay_slope: float = 0.0


class ShapeSpec(Spec):
    """The numbers of a law for the shape of the network before they are fitted."""

    inputs: float = 0.2
    matrices: float = 0.3


class AveragingSpec(Spec):
    """The numbers of averages of iterates before they are fitted; see `components.averaging`."""

    place: float = 2.2
    recency: float = 0.0
    landing: float = -2.2


class AdamBaseSpec(Spec):
    """Adam's direction; with weight decay, which the law has, AdamW's."""

    kind: Literal["adamw"] = "adamw"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    rate: PositiveFloat = 0.01  # where the law begins

    def build(self) -> AdamBase:
        """See `ArchitectureSpec`."""
        return AdamBase(self)


class LawSpec(ArchitectureSpec):
    """A direction whose steps are as long as a law of horizon and progress says."""

    kind: Literal["law"] = "law"
    alpha: PositiveFloat = 1.0  # times the law
    base: Annotated[AdamBaseSpec | RNNpropSpec | DMSpec | MixtureSpec, Field(discriminator="kind")] = (
        AdamBaseSpec()
    )
    begin: BeginSpec = BeginSpec()
    shape: ShapeSpec | None = None  # None: the shape of the network has no part in it
    averaging: AveragingSpec | None = None  # None: none

    @property
    def name(self) -> str:
        """See `ArchitectureSpec`."""
        return f"{self.base.kind}-law" if self.averaging is None else f"{self.base.kind}-averaged-law"

    @property
    def classical(self) -> bool:
        """See `ArchitectureSpec`."""
        return isinstance(self.base, AdamBaseSpec)

    def build(self) -> LawRule:
        """See `ArchitectureSpec`."""
        return LawRule(self)


class LawState(NamedTuple):
    """State of a direction under a law."""

    base: Any  # the direction's
    sizes_CG: Tensor  # of the initial values, see `initial_sizes`
    iterates: tuple[Tensor, ...]  # z [C, P] of the averages, where there are any


class Parts(NamedTuple):
    """What the meta-params of cells are made of."""

    law: Law
    averaging: Averaging | None
    inner_CQ: Tensor  # the direction's


class LawRule(Architecture):
    """theta <- (1 - rate decay) theta + rate share u, where u is the direction at a rate of one.

    With averages that is the step of z.
    """

    def __init__(self, spec: LawSpec) -> None:
        self.base: Architecture = spec.base.build()
        rate = spec.base.rate if isinstance(spec.base, AdamBaseSpec) else spec.base.alpha
        begin = spec.begin.model_dump()
        if begin["log_rate"] is None:
            begin["log_rate"] = log(rate)
        self._own = {LAW: [begin[name] for name in NUMBERS]}  # numbers of its own before they are fitted
        if spec.shape is not None:
            self._own[SHAPE] = [getattr(spec.shape, name) for name in SHAPE_NUMBERS]
        if spec.averaging is not None:
            self._own[AVERAGING] = [getattr(spec.averaging, name) for name in AVERAGING_NUMBERS]

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """See `Architecture`."""
        inner = [(f"{BASE}{name}", shape) for name, shape in self.base.named_shapes()]
        return [(name, (len(numbers),)) for name, numbers in self._own.items()] + inner

    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """See `Architecture`."""
        own = {name: torch.tensor(numbers) for name, numbers in self._own.items()}
        inner = self.base.init_meta_params(seed)
        return own | {f"{BASE}{name}": value for name, value in inner.items()}

    def parts(self, meta_params_CQ: Tensor) -> Parts:
        """Of flat meta-params of cells, or [Q] of all."""
        n_law = len(NUMBERS) + len(self._own.get(SHAPE, ()))
        law, rest_CQ = Law.of(meta_params_CQ[..., :n_law]), meta_params_CQ[..., n_law:]
        if AVERAGING not in self._own:
            return Parts(law, None, rest_CQ)
        n = len(AVERAGING_NUMBERS)
        return Parts(law, Averaging.of(rest_CQ[..., :n]), rest_CQ[..., n:])

    def init(self, params_CP: Tensor, shapes: Shapes) -> LawState:
        """See `Architecture`."""
        iterates = (params_CP.clone(),) if AVERAGING in self._own else ()
        return LawState(self.base.init(params_CP, shapes), initial_sizes(params_CP, shapes), iterates)

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: LawState,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, LawState]:
        """See `Architecture`."""
        law, averaging, _ = self.parts(torch.cat([meta_params[name] for name in self._own]))
        inner = {
            name.removeprefix(BASE): value for name, value in meta_params.items() if name.startswith(BASE)
        }
        unit = context._replace(rate_C=torch.ones_like(context.rate_C))
        updates_CP, base = self.base.step(inner, state.base, grads_CP, params_CP, unit)
        rate_C1 = (context.rate_C * law.rate(context.t, context.horizon))[:, None]
        shares_CG = law.shares(state.sizes_CG, NetworkShape.of(context.shapes, context.fan_ins))
        shares_CP = spread(shares_CG, context.shapes)
        decay_C1 = law.decay(context.t, context.horizon)[..., None] + context.decay
        updates_CP = rate_C1 * (shares_CP * updates_CP - decay_C1 * params_CP)
        iterates = state.iterates
        if averaging is not None:
            shares = Shares(*(share[..., None] for share in averaging.shares(context.t, context.horizon)))
            after_CP, z_CP = averaged(params_CP, iterates[0], updates_CP, shares)
            updates_CP, iterates = after_CP - params_CP, (z_CP,)
        return updates_CP, LawState(base, state.sizes_CG, iterates)


class AdamBase(Architecture):
    """Adam's direction as a learned optimizer that has nothing to learn."""

    reads_params = False

    def __init__(self, spec: AdamBaseSpec) -> None:
        self.rule = Adam(spec.beta1, spec.beta2, spec.eps)

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """See `Architecture`."""
        return []

    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """See `Architecture`."""
        return {}

    def init(self, params_CP: Tensor, shapes: Shapes) -> RuleState:
        """See `Architecture`."""
        return RuleState(0, self.rule.slots(params_CP))

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: RuleState,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, RuleState]:
        """See `Architecture`."""
        slots = tuple(slot.clone() for slot in state.slots_CP)
        direction_CP, scalar = self.rule.direction(grads_CP, state._replace(slots_CP=slots), params_CP)
        return -context.rate_C[:, None] * direction_CP, RuleState(state.steps + 1, slots, scalar)
