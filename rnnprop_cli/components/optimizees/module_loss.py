"""What the user's class makes, as a module, and that module's loss and accuracy as a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rnnprop_cli.components.plugins import told
from rnnprop_cli.errors import CodeError
from rnnprop_cli.lazy import torch
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import ImageMinibatches
    from rnnprop_cli.components.optimizees.module import ModuleSpec


def made(spec: ModuleSpec, seed: int) -> torch.nn.Module:
    """The module with theta_0 of a seed.

    Raises:
        CodeError: the class is no module, or cannot be made.
    """
    cls = spec.source.load()
    with told(spec.source), seeded(derive_seed(seed, "module", "theta_0")):
        module = cls(**dict(spec.settings))
    if not isinstance(module, torch.nn.Module):
        raise CodeError(f"{spec.source.source}: gives a {type(module).__name__}, not a torch.nn.Module")
    if not any(True for _ in module.parameters()):
        raise CodeError(f"{spec.source.source}: the module has no parameters")
    return module


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Randomness of PyTorch that follows from a seed, here and on a GPU; what it was before comes back."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def loss_of(module: torch.nn.Module, images: ImageMinibatches | None) -> Any:
    """A module whose forward is the loss of another one, or its accuracy; and whether there is an accuracy."""
    own_loss: Callable[..., Tensor] | None = getattr(module, "loss", None)
    own_accuracy: Callable[..., Tensor] | None = getattr(module, "accuracy", None)
    has_classes = images is not None and images.n_classes is not None

    def loss(*batch: Tensor) -> Tensor:
        if own_loss is not None:
            return own_loss(*batch)
        if images is None:
            whole: Tensor = module(*batch)
            return whole
        outputs, targets = module(batch[0]), batch[1]
        if has_classes:
            return torch.nn.functional.cross_entropy(outputs, targets)
        return torch.nn.functional.mse_loss(outputs.reshape(targets.shape), targets)

    def accuracy(*batch: Tensor) -> Tensor:
        if own_accuracy is not None:
            return own_accuracy(*batch)
        right: Tensor = module(batch[0]).argmax(-1) == batch[1]
        return right.double().mean()

    class LossOf(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.knows_accuracy = own_accuracy is not None or (own_loss is None and has_classes)

        def forward(self, wants_accuracy: bool, *batch: Tensor) -> Tensor:
            return accuracy(*batch) if wants_accuracy else loss(*batch)

    return LossOf()
