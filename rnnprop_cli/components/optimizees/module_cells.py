"""A module from outside for every cell of a batch: all at once where `torch.func.vmap` can, else one after the other.

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rnnprop_cli.components.optimizees.base import Base, Given, Heldout, Tensors
from rnnprop_cli.components.optimizees.module_loss import loss_of, made, seeded
from rnnprop_cli.components.plugins import told
from rnnprop_cli.errors import CodeError
from rnnprop_cli.lazy import no_grad, torch
from rnnprop_cli.numerics.layout import Layout, MatrixBlock, usual_fan_ins
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import ImageMinibatches
    from rnnprop_cli.components.optimizees.module import ModuleSpec

HELDOUT_EXAMPLES: Final = 1000  # of a dataset, at a time
AGREEMENT: Final = 1e-4  # of losses and gradients, batched against one by one, relative to the largest
Batch = tuple[Any, ...]  # of tensors


class ModuleOptimizee(Base):
    """The loss of a module for every cell.

    Args:
        spec: which module.
        given: data and seeds.
        probe: whether it is looked at whether cells can be batched; without, they are not.

    Attributes:
        notice: one line that says why cells are not batched; None where they are.
    """

    def __init__(self, spec: ModuleSpec, given: Given, *, probe: bool = True) -> None:
        self.code = spec.source
        self.seeds = tuple(given.seeds)
        self._size, self._dtype, self._device = given.minibatch, given.dtype, given.device
        modules = [made(spec, seed).to(given.device, given.dtype) for seed in self.seeds]
        self.module = modules[0]
        named = dict(self.module.named_parameters())
        self._names = list(named)
        shapes = [tuple(each.shape) for each in named.values()]
        self.layout = Layout(shapes, usual_fan_ins(shapes))
        rows = [torch.cat([each.detach().reshape(-1) for each in module.parameters()]) for module in modules]
        if len({len(row) for row in rows}) > 1:
            raise CodeError(f"{self.code.source}: has other parameters for other seeds")
        self._theta_0_SP = torch.stack(rows)
        self._buffers = {name: each.detach().clone() for name, each in self.module.named_buffers()}
        self.images = _images(given)
        self._loss = loss_of(self.module, self.images)
        if self.images is None and not hasattr(self.module, "minibatch"):
            raise CodeError(
                f"{self.code.source}: has no minibatch(generator, size), and the spec names no dataset: add one of them"
            )
        self._drawn: tuple[int, Batch] | None = None
        self._loaded: tuple[int, Batch] | None = None
        self.batched = False
        self.notice: str | None = None
        if probe:
            self._probe()

    @property
    def n_coordinates(self) -> int:
        """P."""
        return self.layout.n_coordinates

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Optimizee`."""
        return tuple(self.layout.shapes)

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """See `Optimizee`."""
        return tuple(self.layout.fan_ins)

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`."""
        return self.layout.matrices()

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return self._theta_0_SP.clone()

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        batch = self.batch(step)
        if self.batched:
            return self._together(params_CP, batch)
        per_seed = len(params_CP) // len(self.seeds)
        return torch.stack(
            [
                self._alone(params_P, tuple(part[cell // per_seed] for part in batch), cell // per_seed, step)
                for cell, params_P in enumerate(params_CP)
            ]
        )

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.batched:
            with told(self.code):
                return super().loss_and_grad(params_CP, step)
        batch = self.batch(step)
        per_seed = len(params_CP) // len(self.seeds)
        losses, grads = [], []
        for cell, params_P in enumerate(params_CP):
            seed = cell // per_seed
            leaf = params_P.detach().requires_grad_()
            with torch.enable_grad(), told(self.code):
                loss = self._alone(leaf, tuple(part[seed] for part in batch), seed, step)
                (grad_P,) = torch.autograd.grad(loss, leaf)
            losses.append(loss.detach())
            grads.append(grad_P)
        return torch.stack(losses), torch.stack(grads)

    def batch(self, step: int) -> Batch:
        """The minibatches of a step, [S, ...] each."""
        if self._loaded is not None and 0 <= step - self._loaded[0] < self._loaded[1][0].shape[1]:
            return tuple(part[:, step - self._loaded[0]] for part in self._loaded[1])
        if self.images is not None:
            minibatch = self.images.at(step)
            return minibatch.inputs_SMD.reshape(
                *minibatch.targets_SM.shape, *self.images.shape
            ), minibatch.targets_SM
        if self._drawn is None or self._drawn[0] != step:
            self._drawn = step, self._draw(step)
        return self._drawn[1]

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        each = zip(*(self.batch(step) for step in range(first, first + steps)), strict=True)
        return tuple(torch.stack(parts, dim=1) for parts in each)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self._loaded = first, tensors

    @no_grad
    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """See `Optimizee`. The module is in eval mode, unless that would need statistics that nobody has kept."""
        batches = list(self._heldout_batches())
        if not batches:
            return None
        loss_C = torch.zeros(len(params_CP), dtype=torch.float64, device=params_CP.device)
        accuracy_C = torch.zeros_like(loss_C)
        examples = sum(count for count, _ in batches)
        knows = self._loss.knows_accuracy
        with self._evaluating():
            for count, batch in batches:
                for cell, params_P in enumerate(params_CP):
                    loss_C[cell] += self._alone(params_P, batch, 0, 0).double() * count
                    if knows:
                        told_P = self._alone(params_P, batch, 0, 0, accuracy=True)
                        accuracy_C[cell] += told_P.double() * count
        return Heldout(loss_C / examples, accuracy_C / examples if knows else None)

    def _heldout_batches(self) -> Iterator[tuple[int, Batch]]:
        if self.images is not None:
            test = self.images.heldout()
            n_test = 0 if test is None else test.targets_SM.shape[1]
            for start in range(0, n_test, HELDOUT_EXAMPLES):
                assert test is not None
                part = slice(start, start + HELDOUT_EXAMPLES)
                targets = test.targets_SM[0, part]
                inputs = test.inputs_SMD[0, part].reshape(len(targets), *self.images.shape)
                yield len(targets), (inputs, targets)
        elif hasattr(self.module, "heldout"):
            with told(self.code):
                yield 1, self._moved(self._own("heldout")())

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        keeps = any(getattr(each, "track_running_stats", False) for each in self.module.modules())
        self.module.train(keeps)
        try:
            yield
        finally:
            self.module.train()

    def _together(self, params_CP: Tensor, batch: Batch) -> Tensor:
        n_seeds = len(self.seeds)

        def cell(params_P: Tensor, *parts: Tensor) -> Tensor:
            return self._call(params_P, parts)

        def seed(params_KP: Tensor, *parts: Tensor) -> Tensor:
            return torch.vmap(cell, in_dims=(0, *[None] * len(parts)))(params_KP, *parts)

        with told(self.code):
            loss_SK: Tensor = torch.vmap(seed)(params_CP.view(n_seeds, -1, self.n_coordinates), *batch)
        return loss_SK.flatten()

    def _alone(
        self, params_P: Tensor, batch: Batch, seed: int, step: int, *, accuracy: bool = False
    ) -> Tensor:
        with told(self.code), seeded(derive_seed(self.seeds[seed], "module", "inside", step), self._device):
            loss = self._call(params_P, batch, accuracy=accuracy)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            what = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise CodeError(f"{self.code.source}: its loss must be one floating-point number, not {what}")
        return loss.reshape(())

    def _call(self, params_P: Tensor, batch: Batch, *, accuracy: bool = False) -> Tensor:
        tensors = dict(zip(self._names, (each[0] for each in self.layout.split(params_P[None])), strict=True))
        if not self.batched:
            tensors |= {name: each.clone() for name, each in self._buffers.items()}
        prefixed = {f"module.{name}": each for name, each in tensors.items()}
        result: Tensor = torch.func.functional_call(self._loss, prefixed, (accuracy, *batch))
        return result

    def _draw(self, step: int) -> Batch:
        drawn = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "module", "minibatch", step))
            with told(self.code):
                drawn.append(self._moved(self._own("minibatch")(generator, self._size)))
        if len({tuple(part.shape for part in parts) for parts in drawn}) > 1:
            raise CodeError(f"{self.code.source}: minibatches of two seeds have different shapes")
        return tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))

    def _own(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.module, name)
        return method

    def _moved(self, batch: Any) -> Batch:
        """Tensors as the cells need them: floating-point ones in the dtype of the params."""
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        if not parts or not all(isinstance(part, torch.Tensor) for part in parts):
            raise TypeError("a minibatch is a tensor or a tuple of tensors")
        return tuple(
            part.to(self._device, self._dtype if part.is_floating_point() else part.dtype) for part in parts
        )

    def _probe(self) -> None:
        """Whether cells can be batched: then a batch gives what they give one by one, and leaves buffers alone."""
        per_seed = 2 if len(self.seeds) == 1 else 1
        params_CP = self._theta_0_SP[:2].repeat_interleave(per_seed, dim=0)
        seeds, self.seeds = self.seeds, self.seeds[:2]
        self._drawn = None
        try:
            truth = self.loss_and_grad(params_CP, 0)
            if not all(bool(each.isfinite().all()) for each in truth):
                raise CodeError(f"{self.code.source}: loss or gradient at the start are not finite")
            self.batched = True
            try:
                found = self._batched_probe(params_CP)
            except (CodeError, RuntimeError, NotImplementedError) as error:
                self.batched = False
                reason = str(error).splitlines()[0]
                self.notice = f"{self.code.name}: runs cell by cell, which is slower: {reason}"
                return
            buffers = dict(self.module.named_buffers())
            same = all(torch.equal(buffers[name], each) for name, each in self._buffers.items())
            if not same or not all(map(_agree, truth, found)):
                self.batched = False
                why = "a batch of cells gives other numbers" if same else "a forward pass writes into buffers"
                self.notice = f"{self.code.name}: runs cell by cell, which is slower: {why}"
        finally:
            self.seeds, self._drawn = seeds, None

    def _batched_probe(self, params_CP: Tensor) -> tuple[Tensor, Tensor]:
        batch = tuple(part[:2] for part in self.batch(0))
        leaf = params_CP.detach().requires_grad_()
        with torch.enable_grad():
            loss_C = self._together(leaf, batch)
            (grad_CP,) = torch.autograd.grad(loss_C.sum(), leaf)
        return loss_C.detach(), grad_CP


def _agree(truth: Tensor, found: Tensor) -> bool:
    return bool((truth - found).abs().max() <= AGREEMENT * truth.abs().max())


def _images(given: Given) -> ImageMinibatches | None:
    if given.dataset is None:
        return None
    from rnnprop_cli.components.minibatches import ImageMinibatches

    return ImageMinibatches.of(given)
