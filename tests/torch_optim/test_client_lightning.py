"""The drop-in inside Lightning."""

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
from torch.utils.data import DataLoader

pytestmark = marks_for("lightning")
GAMMA = 0.7


def regression(make: MakeOptimizer, every_step: bool = False) -> Any:
    """A module with its own optimizer and scheduler."""
    import lightning

    class Regression(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = net()

        def training_step(self, minibatch: list[torch.Tensor], _: int) -> torch.Tensor:
            return (self.model(minibatch[0]) - minibatch[1]).square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = make(self.parameters())
            if every_step:
                one_cycle = torch.optim.lr_scheduler.OneCycleLR(
                    optimizer, max_lr=0.05, total_steps=4 * MINIBATCHES, cycle_momentum=False
                )
                return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, GAMMA)]

    return Regression()


def trainer(epochs: int, folder: Path, **options: Any) -> Any:
    import lightning

    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, enable_checkpointing=False, **options,
    )  # fmt: skip


def loader() -> DataLoader[Any]:
    return DataLoader(data(), MINIBATCH)


@beside_adam
def test_clipping_accumulation_and_schedulers_are_those_of_a_plain_loop(
    make: MakeOptimizer, tmp_path: Path
) -> None:
    module = regression(make)
    fit = trainer(4, tmp_path, gradient_clip_val=0.1, accumulate_grad_batches=2)
    fit.fit(module, loader())
    expected = train_by_hand(make, 4, accumulate=2, clip=0.1, gamma=GAMMA)
    torch.testing.assert_close(copies(module.model.parameters()), copies(expected.parameters()))


@beside_adam
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_a_checkpoint_is_gone_on_with_exactly(make: MakeOptimizer, precision: Any, tmp_path: Path) -> None:
    straight = regression(make, every_step=True)
    trainer(4, tmp_path, precision=precision).fit(straight, loader())
    first = regression(make, every_step=True)
    half = trainer(2, tmp_path, precision=precision)
    half.fit(first, loader())
    half.save_checkpoint(tmp_path / "half.ckpt")
    second = regression(make, every_step=True)
    trainer(4, tmp_path, precision=precision).fit(second, loader(), ckpt_path=tmp_path / "half.ckpt")
    assert all(map(torch.equal, copies(straight.parameters()), copies(second.parameters())))
    assert not all(map(torch.equal, copies(first.parameters()), copies(second.parameters())))
    if precision != "bf16-true":
        assert loss_of(second.model) < loss_of(net())


@beside_adam
def test_manual_optimization_with_a_closure_works(make: MakeOptimizer, tmp_path: Path) -> None:
    class Manual(type(regression(make))):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, minibatch: list[torch.Tensor], _: int) -> None:
            optimizer = self.optimizers()

            def closure() -> torch.Tensor:
                loss = (self.model(minibatch[0]) - minibatch[1]).square().mean()
                optimizer.zero_grad()
                self.manual_backward(loss)
                return loss

            optimizer.step(closure=closure)

    module = Manual()
    trainer(3, tmp_path).fit(module, loader())
    expected = train_by_hand(make, 3)
    torch.testing.assert_close(copies(module.model.parameters()), copies(expected.parameters()))
