"""RNNprop in other people's training loops: Lightning, accelerate and the Trainer of transformers, ten lines each.

    pip install 'rnnprop[clients]'            # all three; one of them is enough for its own lines
    python examples/clients.py lightning      # or accelerate, or transformers

Each trains the same small perceptron on scikit-learn's digits, which need no download (on MNIST where RNNPROP_DATA_DIR
has it). In all three, RNNprop stands where torch.optim.Adam stood: their schedulers, clipping, gradient accumulation,
mixed precision and checkpoints work on as they did.
"""

import argparse
from collections.abc import Callable

import torch
from compare import classification_loss, exit_with_message
from images import load_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rnnprop_cli import RNNprop
from rnnprop_cli.errors import UsageError

EPOCHS = 5
MINIBATCH = 128


def with_lightning(model: nn.Module, data: TensorDataset) -> None:
    """`configure_optimizers` returns RNNprop."""
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, minibatch: list[Tensor], _: int) -> Tensor:
            return classification_loss(self.model(minibatch[0]), minibatch[1])

        def configure_optimizers(self) -> RNNprop:
            return RNNprop(self.parameters())

    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", gradient_clip_val=1.0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(), DataLoader(data, MINIBATCH, shuffle=True))


def with_accelerate(model: nn.Module, data: TensorDataset) -> None:
    """`prepare` takes RNNprop as it takes any optimizer."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, loader = accelerator.prepare(
        model, RNNprop(model.parameters()), DataLoader(data, MINIBATCH, shuffle=True)
    )
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            accelerator.backward(classification_loss(model(images), labels))
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def with_transformers(model: nn.Module, data: TensorDataset) -> None:
    """The Trainer takes RNNprop in `optimizers`, and makes its scheduler for it."""
    from transformers import Trainer, TrainingArguments

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(images)
            return {"loss": classification_loss(logits, labels), "logits": logits}

    settings = TrainingArguments(
        num_train_epochs=EPOCHS, per_device_train_batch_size=MINIBATCH, lr_scheduler_type="constant",
        save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    rows = [{"images": images, "labels": label} for images, label in data]
    Trainer(
        Classifier(), settings, train_dataset=rows, optimizers=(RNNprop(model.parameters()), None)
    ).train()


CLIENTS: dict[str, Callable[[nn.Module, TensorDataset], None]] = {
    "lightning": with_lightning,
    "accelerate": with_accelerate,
    "transformers": with_transformers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("client", choices=CLIENTS)
    given = parser.parse_args()
    digits = load_images(None)
    ((heldout, heldout_labels), *_) = digits.heldout
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(digits.side**2, 20), nn.Sigmoid(), nn.Linear(20, 10))

    def heldout_loss() -> float:
        with torch.no_grad():
            return float(classification_loss(model(heldout), heldout_labels))

    before = heldout_loss()
    try:
        CLIENTS[given.client](model, TensorDataset(digits.train_images, digits.train_labels))
    except ModuleNotFoundError as error:
        if error.name != given.client:
            raise
        raise UsageError(f"{given.client} is not installed: pip install 'rnnprop[clients]'") from error
    print(f"{given.client}: held-out loss {before:.2f} before, {heldout_loss():.2f} after {EPOCHS} epochs")


if __name__ == "__main__":
    exit_with_message(main)
