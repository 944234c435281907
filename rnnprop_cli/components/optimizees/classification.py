"""What networks on a dataset share: cross-entropy on labels, squared error where the targets are numbers.

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D pixels, O classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rnnprop_cli.components.optimizees.base import Heldout, Layered, TensorFacts, Tensors, per_cell
from rnnprop_cli.lazy import no_grad, torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import ImageMinibatches

# Where the number of examples per forward pass is ours to choose (final loss, held-out data): at most this many, and
# at most so many activations of all cells together that a pass stays below some hundred MB.
EVALUATION_EXAMPLES: Final = 2000
EVALUATION_NUMBERS: Final = 2**25


class Classifier(Layered):
    """Mean loss over a minibatch of a dataset; subclasses give `logits`."""

    def __init__(self, minibatches: ImageMinibatches, tensors: Sequence[TensorFacts], init: str) -> None:
        super().__init__(tensors, minibatches.seeds, init, minibatches.dtype, minibatches.device)
        self.minibatches = minibatches

    @abstractmethod
    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """[C, M, O] scores of the classes, or [C, M, 1] predictions where there are none."""

    @property
    @abstractmethod
    def widest(self) -> int:
        """Numbers per example in the widest layer."""

    @property
    def examples_meet(self) -> bool:
        """Whether examples of a minibatch change each other's scores, so that only whole ones can be evaluated."""
        return False

    def evaluation_chunk(self, n_cells: int) -> int:
        """Examples per forward pass that fit; where examples meet, those of a minibatch."""
        if self.examples_meet:
            return self.minibatches.size
        return max(1, min(EVALUATION_EXAMPLES, EVALUATION_NUMBERS // (n_cells * self.widest)))

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        return self.minibatches.tensors(first, steps)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self.minibatches.load(first, tensors)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        minibatch = self.minibatches.at(step)
        return self.example_losses(params_CP, minibatch.inputs_SMD, minibatch.targets_SM).mean(1)

    def example_losses(self, params_CP: Tensor, inputs_SMD: Tensor, targets_SM: Tensor) -> Tensor:
        """[C, M] cross-entropy, or squared error, of every example."""
        logits_CMO = self.logits(params_CP, inputs_SMD)
        return self.losses_of(logits_CMO, per_cell(targets_SM, len(params_CP)))

    def losses_of(self, logits_CMO: Tensor, targets_CM: Tensor) -> Tensor:
        """[C, M] loss of every example."""
        if self.minibatches.n_classes is None:
            return (logits_CMO[..., 0] - targets_CM).square()
        log_p_CMO = torch.log_softmax(logits_CMO, dim=-1)
        return -log_p_CMO.gather(-1, targets_CM[..., None]).squeeze(-1)

    @no_grad
    def mean_loss(self, params_CP: Tensor, horizon: int) -> Tensor:
        """See `Optimizee`.

        An image that was met n times weighs n times: for long horizons one pass over the dataset does the work of
        `horizon` minibatches, and the sum is the same up to rounding.
        """
        source = self.minibatches
        n_images = source.n_images
        if horizon * source.size <= n_images or self.examples_meet:
            return super().mean_loss(params_CP, horizon)
        count_SN = torch.zeros(len(source.seeds), n_images, dtype=torch.float64, device=params_CP.device)
        for step in range(horizon):
            index_SM = source.indices(step).to(params_CP.device)
            count_SN.scatter_add_(1, index_SM, torch.ones_like(index_SM, dtype=torch.float64))
        count_CN = per_cell(count_SN, len(params_CP))
        total_C = torch.zeros(len(params_CP), dtype=torch.float64, device=params_CP.device)
        chunk = self.evaluation_chunk(len(params_CP))
        for start in range(0, n_images, chunk):
            stop = min(start + chunk, n_images)
            images = source.images(slice(start, stop))
            losses_CM = self.example_losses(params_CP, images.inputs_SMD, images.targets_SM)
            total_C += (losses_CM * count_CN[:, start:stop]).sum(1)
        return total_C / (horizon * source.size)

    @no_grad
    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """See `Optimizee`."""
        test = self.minibatches.heldout()
        if test is None:
            return None
        n_test = test.targets_SM.shape[1]
        loss_C = torch.zeros(len(params_CP), dtype=torch.float64, device=params_CP.device)
        correct_C = torch.zeros_like(loss_C)
        chunk = self.evaluation_chunk(len(params_CP))
        for start in range(0, n_test, chunk):
            part = slice(start, start + chunk)
            logits_CMO = self.logits(params_CP, test.inputs_SMD[:, part])
            targets_CM = test.targets_SM[:, part].expand(len(params_CP), -1)
            loss_C += self.losses_of(logits_CMO, targets_CM).sum(1)
            correct_C += (logits_CMO.argmax(-1) == targets_CM).sum(1)
        has_classes = self.minibatches.n_classes is not None
        return Heldout(loss_C / n_test, correct_C / n_test if has_classes else None)
