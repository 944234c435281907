"""A mixture of classical directions and what a small network adds to it, at a size of one in every tensor.

The first half of "direction x scale": which way, never how far. That a law says (`learned.law`).

Shape legend: C cells, P coordinates, G tensors, B directions, F inputs of the network, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.learned.base import Architecture, ArchitectureSpec, Context, Shapes
from rnnprop_cli.fields import PositiveFloat
from rnnprop_cli.lazy import torch

Share = Annotated[float, Field(gt=0, lt=1)]

if TYPE_CHECKING:
    from torch import Tensor

MOMENTS: Final = 3  # first moments, by how long they remember
DIRECTIONS: Final = MOMENTS + 2
INPUTS: Final = MOMENTS + 4
TINY: Final = 1e-30  # what is divided by is never less
RELATIVE: Final = 1e-8  # of a tensor's root mean square, added to what its coordinates are divided by


class MixtureSpec(ArchitectureSpec):
    """Adam's direction with three memories, the momentum and its sign, mixed; and a small network."""

    kind: Literal["mixture"] = "mixture"
    alpha: PositiveFloat = 0.01  # root mean square of a tensor's step
    hidden: Annotated[int, Field(ge=0, le=64)] = 8  # units of the network; 0: the mixture alone
    # where training begins: of the first moments and of the second
    decays: Annotated[tuple[Share, Share, Share, Share], Field(strict=False)] = (0.9, 0.99, 0.999, 0.999)

    def build(self) -> MixtureRule:
        """See `ArchitectureSpec`."""
        return MixtureRule(self)


class Averages(NamedTuple):
    """Moving averages of the gradient: four numbers a coordinate."""

    m_KCP: Tensor  # [MOMENTS, C, P] first moments
    v_CP: Tensor  # [C, P] second raw moment


class MixtureRule(Architecture):
    """theta <- theta - alpha d / RMS(d), RMS over each tensor.

    m_k <- beta_k m_k + (1 - beta_k) g, v <- beta_v v + (1 - beta_v) g^2, all divided by 1 - beta^t;
    b = (m_1 / sqrt(v), m_2 / sqrt(v), m_3 / sqrt(v), sign(m_1), m_1 / RMS(m_1));
    x = (b_1, b_2, b_3, g / sqrt(v), m_1 / RMS(m_1), theta / RMS(theta), s / (s + RMS(s))), s = sqrt(v);
    d = sum_k w_k b_k + w_out tanh(W x + c).

    With w = (1, 0, 0, 0, 0) and w_out = 0, where training begins, it is Adam at a step size of its own.
    """

    def __init__(self, spec: MixtureSpec) -> None:
        self.hidden, self.decays = spec.hidden, spec.decays

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """See `Architecture`."""
        hidden = self.hidden
        mixture = [("mixture", (DIRECTIONS,)), ("decays", (MOMENTS + 1,))]  # these as logits
        network = [("weight", (hidden, INPUTS)), ("bias", (hidden,)), ("out", (hidden,))]
        return mixture + [(f"network.{name}", shape) for name, shape in network if hidden]

    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """See `Architecture`."""
        generator = torch.Generator().manual_seed(seed)
        mixture_B = torch.zeros(DIRECTIONS)
        mixture_B[0] = 1
        network = {
            "network.weight": torch.randn(self.hidden, INPUTS, generator=generator) / INPUTS**0.5,
            "network.bias": torch.zeros(self.hidden),
            "network.out": torch.zeros(self.hidden),
        }
        mixture = {"mixture": mixture_B, "decays": torch.tensor(self.decays).logit()}
        return mixture | network if self.hidden else mixture

    def init(self, params_CP: Tensor, shapes: Shapes) -> Averages:
        """See `Architecture`."""
        return Averages(params_CP.new_zeros(MOMENTS, *params_CP.shape), torch.zeros_like(params_CP))

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: Averages,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, Averages]:
        """See `Architecture`."""
        tensors = Segments(context.shapes, params_CP)
        d_CP, state = self.direction(meta_params, state, grads_CP, params_CP, context.t, tensors.rms)
        return -context.rate_C[:, None] * d_CP, state

    def direction(
        self,
        meta_params: Mapping[str, Tensor],
        state: Averages,
        grads_CP: Tensor,
        params_CP: Tensor,
        t: int,
        rms: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Averages]:
        """d / RMS(d) at step t, and the next averages; `rms` is that of the tensor of each coordinate."""
        decays_K = meta_params["decays"].sigmoid()
        own_K11, of_v = decays_K[:MOMENTS, None, None], decays_K[MOMENTS]
        m_KCP = own_K11 * state.m_KCP + (1 - own_K11) * grads_CP
        v_CP = of_v * state.v_CP + (1 - of_v) * grads_CP.square()
        seen_CP = v_CP > 0  # elsewhere the root's slope is infinite, and its value 0
        root_CP = torch.where(seen_CP, (torch.where(seen_CP, v_CP, 1.0) / (1 - of_v**t)).sqrt(), v_CP)
        usual_CP = rms(root_CP)
        root_CP = root_CP + (RELATIVE * usual_CP + TINY)
        unbiased_KCP = m_KCP / (1 - own_K11**t)
        relative_KCP = unbiased_KCP / root_CP
        plain_CP = unbiased_KCP[0] / rms(unbiased_KCP[0])
        b_BCP = torch.cat([relative_KCP, unbiased_KCP[:1].sign(), plain_CP[None]])
        d_CP = torch.tensordot(meta_params["mixture"], b_BCP, 1)
        if self.hidden:
            further = [
                grads_CP / root_CP,
                plain_CP,
                params_CP / rms(params_CP),
                root_CP / (root_CP + usual_CP + TINY),
            ]
            x_FCP = torch.cat([relative_KCP, torch.stack(further)])
            hidden_HCP = torch.tensordot(meta_params["network.weight"], x_FCP, 1)
            hidden_HCP = (hidden_HCP + meta_params["network.bias"][:, None, None]).tanh()
            d_CP = d_CP + torch.tensordot(meta_params["network.out"], hidden_HCP, 1)
        return d_CP / rms(d_CP), Averages(m_KCP, v_CP)


class Segments:
    """The tensors side by side in a flat vector.

    Args:
        shapes: of the tensors.
        like: a tensor on the same device.
    """

    def __init__(self, shapes: Shapes, like: Tensor) -> None:
        sizes = torch.tensor([prod(shape) for shape in shapes], device=like.device)
        self.numbers_P = torch.repeat_interleave(torch.arange(len(sizes), device=like.device), sizes)
        self.sizes_G = sizes.clamp(min=1).to(like.dtype)

    def rms(self, values_CP: Tensor) -> Tensor:
        """[C, P] the root mean square of each coordinate's tensor, never zero."""
        zero_CG = values_CP.new_zeros(len(values_CP), len(self.sizes_G))
        sums_CG = zero_CG.index_add(1, self.numbers_P, values_CP.square())
        roots_CG = (sums_CG / self.sizes_G).clamp(min=TINY).sqrt()
        return roots_CG.index_select(1, self.numbers_P)
