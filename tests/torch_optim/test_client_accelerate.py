"""The drop-in inside accelerate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from client_samples import (
    MINIBATCH,
    MINIBATCHES,
    MakeOptimizer,
    beside_adam,
    copies,
    data,
    loss_of,
    marks_for,
    net,
    train_by_hand,
)
from torch import nn
from torch.utils.data import DataLoader

pytestmark = marks_for("accelerate")
CLIP = 0.1


class Prepared:
    """Everything that accelerate prepares."""

    def __init__(self, make: MakeOptimizer, precision: str, accumulate: int) -> None:
        import accelerate

        accelerate.state.AcceleratorState._reset_state(
            reset_partial_state=True
        )  # what it chose for the last test
        self.accelerator = accelerate.Accelerator(
            cpu=True, mixed_precision=precision, gradient_accumulation_steps=accumulate
        )
        model = net()
        optimizer = make(model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6 * MINIBATCHES)
        self.model, self.optimizer, self.scheduler, self.loader = self.accelerator.prepare(
            model, optimizer, scheduler, DataLoader(data(), MINIBATCH)
        )

    def train(self, epochs: int, *, scheduled: bool = True) -> None:
        for _ in range(epochs):
            for x, y in self.loader:
                with self.accelerator.accumulate(self.model):
                    self.accelerator.backward((self.model(x) - y).square().mean())
                    if self.accelerator.sync_gradients:
                        self.accelerator.clip_grad_norm_(self.model.parameters(), CLIP)
                    self.optimizer.step()
                    if scheduled:
                        self.scheduler.step()
                    self.optimizer.zero_grad()

    @property
    def plain(self) -> nn.Module:
        module: Any = self.accelerator.unwrap_model(self.model)
        return module


@beside_adam
def test_clipping_and_accumulation_are_those_of_a_plain_loop(make: MakeOptimizer) -> None:
    prepared = Prepared(make, "no", accumulate=2)
    prepared.train(4, scheduled=False)
    expected = train_by_hand(make, 4, accumulate=2, clip=CLIP)
    torch.testing.assert_close(copies(prepared.plain.parameters()), copies(expected.parameters()))


@beside_adam
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_saved_state_is_gone_on_with_exactly(make: MakeOptimizer, precision: str, tmp_path: Path) -> None:
    straight = Prepared(make, precision, accumulate=2)
    straight.train(2)
    straight.accelerator.save_state(str(tmp_path))
    at_save = copies(straight.plain.parameters())
    straight.train(4)
    expected = copies(straight.plain.parameters())
    resumed = Prepared(make, precision, accumulate=2)
    resumed.accelerator.load_state(str(tmp_path))
    assert all(map(torch.equal, copies(resumed.plain.parameters()), at_save))
    resumed.train(4)
    assert all(map(torch.equal, copies(resumed.plain.parameters()), expected))
    assert not any(map(torch.equal, at_save, expected))
    assert loss_of(resumed.plain) < loss_of(net())
