"""A small perceptron: RNNprop against tuned Adam on the kind of network that RNNprop was trained on.

    python examples/mlp.py                    # scikit-learn's digits, which need no download
    python examples/mlp.py --data-dir DATA    # MNIST, from DATA/mnist/ (or set RNNPROP_DATA_DIR)
    python examples/mlp.py --quick            # a few seconds, to see it work

One hidden layer of 20 sigmoid units and minibatches of 128, for 100 steps: on MNIST, this is what the shipped weights
were trained on; the digits are new to them. RNNprop takes the place of Adam in the loop; there is nothing to tune.
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


def build_model(side: int) -> nn.Module:
    """From images [M, 1, side, side] to logits [M, 10]."""
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, 20), nn.Sigmoid(), nn.Linear(20, 10))


def train(model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch]) -> None:
    """A plain training loop: nothing in it knows which optimizer it has."""
    for images, labels in minibatches:
        optimizer.zero_grad()
        loss = classification_loss(model(images), labels)
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = option_parser(__doc__, steps=100, seeds=20)
    add_data_option(parser)
    given = parser.parse_args()
    options = read_options(given, search=TuningSpec())
    images = load_images(given.data_dir)
    problem = Problem(
        title=f"{images.name} · MLP {images.side**2}-20-10, sigmoid",
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
