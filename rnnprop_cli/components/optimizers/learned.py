"""A learned optimizer as a row of a benchmark; what it is, its weights say (`components.learned`)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.fields import PositiveFloat


class LearnedSpec(OptimizerSpec):
    """A meta-trained optimizer, by the name of shipped weights, a meta-training's name or id, or a file."""

    kind: Literal["learned"] = "learned"
    weights: Annotated[str, Field(min_length=1, max_length=400)]
    # alpha of equation 7. None: the value it was meta-trained with; tuned: searched as for the classical rules
    lr: PositiveFloat | Literal["tuned"] | None = None

    learned: ClassVar[bool] = True
    centre_k: ClassVar[int] = 6  # 0.125, beside the paper's 0.1

    @property
    def name(self) -> str:
        """Label for tables: the user's, or the weights' name."""
        name = self.weights.rsplit("/", 1)[-1].removesuffix(".safetensors")
        return self.label or (f"{name} tuned" if self.lr == "tuned" else name)
