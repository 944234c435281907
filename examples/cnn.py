"""A small convolutional network: RNNprop, trained on perceptrons alone, against tuned Adam.

    python examples/cnn.py                    # scikit-learn's digits, which need no download
    python examples/cnn.py --data-dir DATA    # MNIST, from DATA/mnist/ (or set RNNPROP_DATA_DIR)
    python examples/cnn.py --quick            # a few seconds, to see it work

Two 3x3 convolutions, a max-pool and a linear layer, ReLU between them; minibatches of 128, 100 steps. RNNprop has met
neither convolutions nor ReLU when its weights were trained: this shows how far they carry.
"""

from collections.abc import Iterable

from compare import (
    Minibatch,
    Problem,
    classification_loss,
    compare,
    exit_with_message,
    option_parser,
    read_options,
)
from images import add_data_option, load_images
from table import show
from torch import nn
from torch.optim import Adam, Optimizer

from rnnprop_cli import RNNprop
from rnnprop_cli.spec.bench import TuningSpec

CHANNELS = 8


def build_model(side: int) -> nn.Module:
    """From images [M, 1, side, side] to logits [M, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(CHANNELS * (side // 2) ** 2, 10),
    )


def train(model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch]) -> None:
    """A plain training loop: nothing in it knows which optimizer it has."""
    for images, labels in minibatches:
        optimizer.zero_grad()
        loss = classification_loss(model(images), labels)
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = option_parser(__doc__, steps=100, seeds=10)
    add_data_option(parser)
    given = parser.parse_args()
    options = read_options(given, search=TuningSpec(seeds=2, points=5, confirm_seeds=4))
    images = load_images(given.data_dir)
    problem = Problem(
        title=f"{images.name} · CNN conv-conv-pool-linear, ReLU",
        build_model=lambda: build_model(images.side),
        minibatches=lambda seed: images.minibatches(seed, options.steps),
        heldout=images.heldout,
        train=train,
    )
    comparison = compare(
        problem,
        make_rnnprop=lambda params: RNNprop(params, weights=options.weights),
        make_adam=lambda params, lr: Adam(params, lr=lr),
        options=options,
    )
    show(problem, comparison, options)


if __name__ == "__main__":
    exit_with_message(main)
