"""The drop-in inside ignite."""

from pathlib import Path
from typing import Any

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
)
from torch.utils.data import DataLoader

pytestmark = marks_for("ignite")


def engine(make: MakeOptimizer) -> tuple[Any, dict[str, Any]]:
    """An engine with a schedule of ignite's own, and what its checkpoints hold."""
    from ignite.engine import Events, create_supervised_trainer
    from ignite.handlers.param_scheduler import PiecewiseLinear

    model = net()
    optimizer = make(model.parameters())
    trainer = create_supervised_trainer(
        model, optimizer, torch.nn.functional.mse_loss, gradient_accumulation_steps=2
    )
    schedule = PiecewiseLinear(optimizer, "lr", milestones_values=[(0, 0.05), (4 * MINIBATCHES, 0.001)])
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    return trainer, {"model": model, "optimizer": optimizer, "trainer": trainer, "schedule": schedule}


@beside_adam
def test_a_checkpoint_is_gone_on_with_exactly(make: MakeOptimizer, tmp_path: Path) -> None:
    from ignite.engine import Events
    from ignite.handlers import Checkpoint, DiskSaver

    loader = DataLoader(data(), MINIBATCH)
    trainer, parts = engine(make)
    saver = Checkpoint(parts, DiskSaver(str(tmp_path), require_empty=False), n_saved=None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), saver)
    trainer.run(loader, max_epochs=4)
    assert loss_of(parts["model"]) < loss_of(net())
    (saved,) = tmp_path.glob("*.pt")
    again, others = engine(make)
    Checkpoint.load_objects(others, torch.load(saved, weights_only=True))
    assert not any(
        map(torch.equal, copies(others["model"].parameters()), copies(parts["model"].parameters()))
    )
    again.run(loader, max_epochs=4)
    assert again.state.epoch == 4
    assert all(map(torch.equal, copies(others["model"].parameters()), copies(parts["model"].parameters())))
