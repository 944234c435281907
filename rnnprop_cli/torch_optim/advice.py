"""Looks at parameters and gradients before a step."""

import warnings
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.torch_optim.sharding import local

# A step of this many times the size of a tensor's numbers replaces them by noise. A linear layer of 784 inputs, which
# trains well at the default rate, is initialised to 1/5 of it.
LARGEST_FIRST_STEP: Final = 10.0


def first_step_warning(rate: float, params: list[Tensor]) -> str | None:
    """What to tell somebody whose rate dwarfs the initial values of a parameter; None if all is well.

    Args:
        rate: the longest step of a coordinate.
        params: of one group, before their first step. Those that are zero altogether are left out: nothing is lost.
    """
    held = [each.detach() for each in map(local, params) if each.numel() > 1 and not each.is_meta]
    if not held or rate == 0:
        return None
    norms = [norm.float().cpu() for norm in torch._foreach_norm(held)]
    sizes = [float(norm) / each.numel() ** 0.5 for norm, each in zip(norms, held, strict=True)]
    ratio, index = max(
        ((rate / size, index) for index, size in enumerate(sizes) if size > 0), default=(0.0, 0)
    )
    if not ratio > LARGEST_FIRST_STEP:
        return None
    return (
        f"lr = {rate:g} is {ratio:.3g} times the root mean square ({sizes[index]:.2g}) of a parameter of shape "
        f"{tuple(held[index].shape)}, and a first step moves every coordinate by up to lr: its initial values will be "
        f"lost. Unless that is meant, go down with lr, here to {2 * sizes[index]:.1g} or so, for this parameter at "
        "least (a param group of its own)"
    )


def any_nonfinite(grads: Iterable[Tensor]) -> Tensor:
    """[] whether any number of any gradient is NaN or infinite."""
    found = [local(grad).isfinite().logical_not_().any() for grad in grads]
    return torch.stack([flag.to(found[0].device) for flag in found]).any() if found else torch.tensor(False)


def warn(text: str) -> None:
    """A warning that points to the caller of `step`."""
    warnings.warn(text, stacklevel=7)  # behind the wrappers that PyTorch puts around `step`
