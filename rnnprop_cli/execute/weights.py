"""Meta-params as a plain value that can travel to a worker."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from rnnprop_cli.components.learned import AnyArchitecture
from rnnprop_cli.components.learned.base import Architecture, ArchitectureSpec
from rnnprop_cli.errors import CheckpointError


@dataclass(frozen=True)
class Weights:
    """Meta-params with the architecture that they belong to.

    Raises:
        CheckpointError: they do not fit it, or hold other than finite floating-point numbers.
    """

    architecture: ArchitectureSpec
    tensors: dict[str, NDArray[Any]]  # named as `Architecture.named_shapes` names them
    sha256: str  # of the file that they came from
    source: str  # where they came from, for the reader
    made: dict[str, Any] = field(default_factory=dict)  # how: recipe, seed, meta-iterations, versions, commit

    def __post_init__(self) -> None:
        expected = dict(self.rule().named_shapes())
        found = {name: np.shape(value) for name, value in self.tensors.items()}
        wrong = sorted(name for name in expected if found.get(name) != expected[name])
        if wrong:
            raise CheckpointError(
                f"{self.source}: {', '.join(wrong)} absent or of another shape than its architecture says"
            )
        for name in expected:
            value = np.asarray(self.tensors[name])
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                what = "NaN or infinity" if value.dtype.kind == "f" else str(value.dtype)
                raise CheckpointError(
                    f"{self.source}: {name} holds {what}, not finite floating-point numbers"
                )

    def rule(self) -> Architecture:
        """The learned optimizer, but for these meta-params."""
        return self.architecture.build()

    @property
    def tensors_sha256(self) -> str:
        """Of the meta-params alone, as little-endian float32 in the order of `named_shapes`: the same for a checkpoint,
        which holds more, and for what was exported of it."""
        digest = hashlib.sha256()
        for name, _ in self.rule().named_shapes():
            digest.update(np.asarray(self.tensors[name], dtype="<f4").tobytes())
        return digest.hexdigest()

    def meta_params(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """[Q] the flat vector."""
        named = {name: torch.from_numpy(np.asarray(value)) for name, value in self.tensors.items()}
        return self.rule().flatten(named).to(device=device, dtype=dtype)


def weights_from(
    tensors: dict[str, NDArray[Any]], metadata: dict[str, Any], sha256: str, source: str
) -> Weights:
    """Checks that tensors and architecture belong together.

    Raises:
        CheckpointError: the file is not one of ours, its shapes are not those of its architecture, or a number in it is
            not finite.
    """
    try:
        architecture: ArchitectureSpec = TypeAdapter(AnyArchitecture).validate_python(metadata["optimizer"])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(
            f"{source}: its metadata names no learned optimizer that this version knows"
        ) from error
    own = {key: value for key, value in metadata.items() if key not in ("optimizer", "made")}
    made = metadata.get("made", own)
    names = [name for name, _ in architecture.build().named_shapes()]
    return Weights(
        architecture, {name: tensors[name] for name in names if name in tensors}, sha256, source, made
    )
