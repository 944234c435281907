"""Blocks of inner steps recorded once and replayed: on CUDA a step of a batch of cells is bound by its launches.

What changes from block to block lies in memory: the minibatches' numbers and a table of the optimizer's numbers, a row
a step. Both are made for the next block while the device works on this one. The first block is taken launch by launch,
which compiles everything; the first replay is compared with a block that was.

Shape legend: C cells, P coordinates, T steps of a block, K numbers.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.accelerate.table import Table, Tabled
from rnnprop_cli.components.learned.base import SeesLoss
from rnnprop_cli.components.optimizees.base import Optimizee, Tensors
from rnnprop_cli.components.optimizers.base import Optimizer
from rnnprop_cli.meta.graphed import TOLERANCE, CudaGraphs, Record, cloned, tensors_of

BLOCK: Final = 20  # steps of a recording
MIN_BLOCKS: Final = 4  # fewer are not worth one


class NotRecordedError(Exception):
    """A block could not be recorded; its steps have not been taken."""


class Steps:
    """The inner steps of a batch of cells.

    Args:
        optimizee: its loss.
        optimizer: updates the params.
        params_CP: overwritten.
        record: how blocks are recorded; None: as CUDA graphs on a GPU, and not at all elsewhere. Only optimizers
            whose numbers lie on the device are: others count their steps in Python.

    Attributes:
        state: of the optimizer, after the steps done.
        notice: one line that says why steps are not recorded; None while they are, or never were to be.
    """

    def __init__(
        self,
        optimizee: Optimizee,
        optimizer: Optimizer[Any],
        params_CP: Tensor,
        record: Record | None = None,
    ) -> None:
        self.optimizee, self.optimizer, self.params_CP = optimizee, optimizer, params_CP
        self.state = optimizer.init(params_CP)
        self.record = CudaGraphs() if record is None and params_CP.is_cuda else record
        self.notice: str | None = None

    def take(self, horizon: int) -> Iterator[Tensor]:
        """All steps; yields losses [T, C] of one step or several, taken before the updates."""
        done = 0
        many = horizon >= MIN_BLOCKS * BLOCK
        if self.record is not None and many and isinstance(self.optimizer, Tabled):
            for losses_TC in self._recorded(self.optimizer, self.record, horizon):
                done += len(losses_TC)
                yield losses_TC
        for step in range(done, horizon):
            loss_C, grads_CP = self.optimizee.loss_and_grad(self.params_CP, step)
            if isinstance(self.optimizer, SeesLoss):
                self.optimizer.loss_C = loss_C
            self.state = self.optimizer.advance(grads_CP, self.state, self.params_CP)
            yield loss_C[None]

    def _recorded(self, optimizer: Tabled, record: Record, horizon: int) -> Iterator[Tensor]:
        """As many whole blocks as there are, or as can be replayed."""
        if self.optimizee.tensors(0, 1) is None:
            self.notice = "steps are not recorded: the optimizee does not tell what its losses are made of"
            return
        table, data = self._next(optimizer, 0)
        block = _Block(self, optimizer, table, data)
        try:
            yield block.take()
            self.state = table.after
            replay: Callable[[], None] | None = None
            table, data = self._next(optimizer, BLOCK)
            for first in range(BLOCK, horizon - BLOCK + 1, BLOCK):
                block.load(table, data)
                if replay is None:
                    replay = block.recorded(record)
                else:
                    replay()
                losses_TC = block.losses_TC.clone()
                self.state = table.after
                if first + 2 * BLOCK <= horizon:
                    table, data = self._next(optimizer, first + BLOCK)
                yield losses_TC
        except NotRecordedError as error:
            self.notice = f"steps are not recorded: {(str(error).splitlines() or [''])[0]}"
        finally:
            block.release()

    def _next(self, optimizer: Tabled, first: int) -> tuple[Table, Tensors]:
        data = self.optimizee.tensors(first, BLOCK)
        assert data is not None, "it told of the first step"
        return optimizer.table(self.state, BLOCK), data


class _Block:
    """Memory of a block, and the work on it. Its steps are to the optimizee those of the first block."""

    def __init__(self, steps: Steps, optimizer: Tabled, table: Table, data: Tensors) -> None:
        self.steps, self.optimizer = steps, optimizer
        self.state = table.after  # its tensors are the memory
        self.numbers_TK = table.numbers_TK.to(steps.params_CP.device)
        self.own_data, self.data = data, cloned(data)
        steps.optimizee.load(0, self.data)
        self.losses_TC = steps.params_CP.new_empty(BLOCK, len(steps.params_CP))

    def load(self, table: Table, data: Tensors) -> None:
        """What another block is made of."""
        self.numbers_TK.copy_(table.numbers_TK, non_blocking=True)
        for own, given in zip(tensors_of(self.data), tensors_of(data), strict=True):
            own.copy_(given)

    def work(self) -> None:
        """The block's steps."""
        params_CP = self.steps.params_CP
        for t in range(BLOCK):
            self.losses_TC[t], grads_CP = self.steps.optimizee.loss_and_grad(params_CP, t)
            self.optimizer.advance_by(self.numbers_TK[t], grads_CP, self.state, params_CP)

    def take(self) -> Tensor:
        """Does the work launch by launch."""
        self.work()
        return self.losses_TC.clone()

    def recorded(self, record: Record) -> Callable[[], None]:
        """Records the work and replays it once, held to what it gives launch by launch.

        Raises:
            NotRecordedError: that was not possible, or the replay gave other numbers. The memory is as it was before.
        """
        memory = [self.steps.params_CP, *tensors_of(self.state)]
        before = [tensor.clone() for tensor in memory]
        expected = [self.take().T, *(tensor.clone() for tensor in memory)]
        _restore(memory, before)
        try:
            replay = record(self.work)
            _restore(memory, before)
            replay()
        except RuntimeError as error:
            _restore(memory, before)
            raise NotRecordedError(str(error)) from error
        for truth, found in zip(expected, (self.losses_TC.T, *memory), strict=True):
            if not _equal(truth, found):
                _restore(memory, before)
                raise NotRecordedError("a replay did not give what the plain steps gave")
        return replay

    def release(self) -> None:
        """The optimizee reads its own data again."""
        self.steps.optimizee.load(0, self.own_data)


def _restore(memory: list[Tensor], values: list[Tensor]) -> None:
    for own, value in zip(memory, values, strict=True):
        own.copy_(value)


def _equal(truth_CN: Tensor, found_CN: Tensor) -> bool:
    """Whether these are the same but for rounding, cell by cell: one that has diverged would hide the others."""
    finite = truth_CN.isfinite()
    if not torch.equal(finite, found_CN.isfinite()):
        return False
    truth, found = (each.double().masked_fill(~finite, 0.0) for each in (truth_CN, found_CN))
    difference_C = torch.linalg.vector_norm(truth - found, dim=1)
    return bool((difference_C <= TOLERANCE * torch.linalg.vector_norm(truth, dim=1)).all())
