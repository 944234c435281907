"""The drop-in inside the Trainer of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from client_samples import (
    MINIBATCH,
    MakeOptimizer,
    beside_adam,
    copies,
    data,
    loss_of,
    marks_for,
    net,
    train_by_hand,
)
from torch import Tensor, nn

pytestmark = marks_for("transformers", "accelerate")
STEPS = 12


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = net()

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.model(inputs)
        return {"loss": (outputs - labels).square().mean(), "logits": outputs}


def trainer(make: MakeOptimizer, folder: Path, **settings: Any) -> Any:
    import transformers

    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=MINIBATCH, report_to=[], disable_tqdm=True,
        use_cpu=True, max_steps=STEPS, save_steps=STEPS // 2, logging_strategy="no", seed=3, **settings,
    )  # fmt: skip
    rows = [{"inputs": x, "labels": y} for x, y in data()]
    model = Regression()
    return transformers.Trainer(
        model, arguments, train_dataset=rows, optimizers=(make(model.parameters()), None)
    )


@beside_adam
def test_clipping_and_accumulation_are_those_of_a_plain_loop(
    make: MakeOptimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    monkeypatch.setattr(Trainer, "_get_train_sampler", lambda *_: None)  # in order, as by hand
    fit = trainer(
        make, tmp_path, gradient_accumulation_steps=2, max_grad_norm=0.1, lr_scheduler_type="constant"
    )
    fit.train()
    expected = train_by_hand(make, 4, accumulate=2, clip=0.1)
    torch.testing.assert_close(copies(fit.model.model.parameters()), copies(expected.parameters()))


@beside_adam
@pytest.mark.parametrize("narrow", [False, True])
def test_a_checkpoint_is_gone_on_with_exactly(make: MakeOptimizer, narrow: bool, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"bf16": narrow, "lr_scheduler_type": "cosine", "warmup_steps": 2}
    straight = trainer(make, tmp_path, **settings)
    straight.train()
    again = trainer(make, tmp_path / "again", **settings)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{STEPS // 2}"))
    assert again.state.global_step == STEPS
    assert all(map(torch.equal, copies(straight.model.parameters()), copies(again.model.parameters())))
    assert loss_of(again.model.model) < loss_of(net())
