"""A few small examples of every kind of optimizee, for the suites that hold for all of them."""

from dataclasses import replace

import torch

from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.datasets.text import characters_of
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizees.transformer import TransformerSpec

Case = tuple[OptimizeeSpec, Dataset | None]


def images(channels: int, size: int, n: int = 60) -> Dataset:
    """Random pictures in the form of a dataset."""
    generator = torch.Generator().manual_seed(channels)
    pixels = torch.randint(0, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (n,), generator=generator)
    return Dataset(
        name="random",
        train_images=pixels[: n - 20],
        train_labels=labels[: n - 20],
        test_images=pixels[n - 20 :],
        test_labels=labels[n - 20 :],
        scale=1 / 255,
        shift=-0.5,
        classes=10,
        sha256="0" * 64,
        note="",
    )


def numbers(dataset: Dataset) -> Dataset:
    """The same inputs as floating numbers, and numbers to predict."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(dataset.train_images.shape, generator=generator)
    targets = torch.randn(len(inputs), generator=generator, dtype=torch.float64)
    return replace(
        dataset,
        train_images=inputs,
        train_labels=targets,
        test_images=inputs[:9],
        test_labels=targets[:9],
        scale=1.0,
        shift=0.0,
        classes=None,
    )


def written(n: int = 200) -> Dataset:
    """A text of 28 different characters, as the made sentences have."""
    generator = torch.Generator().manual_seed(5)
    codes = torch.cat([torch.arange(28), torch.randint(28, (n - 28,), generator=generator)])
    return characters_of("".join(chr(97 + code) for code in codes.tolist())).dataset("random", "")


DIGITS, MNIST, CIFAR = images(1, 8), images(1, 28), images(3, 32)

# Examples by kind, each with its data. A dataset need only have the shape and the classes of the one that it names.
CASES: dict[str, dict[str, Case]] = {
    "mlp": {
        "softmax": (MLPSpec(dataset="digits", depth=0), DIGITS),
        "mlp": (MLPSpec(dataset="digits"), DIGITS),
        "mlp relu": (MLPSpec(dataset="digits", activation="relu", hidden=7), DIGITS),
        "mlp elu deep": (MLPSpec(dataset="digits", activation="elu", depth=3), DIGITS),
        "mlp tanh torch": (MLPSpec(dataset="digits", activation="tanh", depth=2, init="torch"), DIGITS),
        "mlp gelu": (MLPSpec(dataset="digits", activation="gelu", depth=2), DIGITS),
        "mlp silu": (MLPSpec(dataset="digits", activation="silu", depth=2), DIGITS),
    },
    "conv": {
        "conv": (ConvSpec(), MNIST),
        "conv deep": (ConvSpec(layout="c-c-p-c-c-p-f-f", dataset="cifar10"), CIFAR),
        "conv batch": (
            ConvSpec(layout="c-c-p-f", dataset="digits", norm="batch", residual=True, init="torch"),
            DIGITS,
        ),
        "conv group": (
            ConvSpec(
                layout="c-c-p-c-c-f-f", dataset="digits", norm="group", residual=True, activation="gelu"
            ),
            DIGITS,
        ),
        "conv residual": (
            ConvSpec(layout="c-c-f", dataset="digits", residual=True, activation="silu"),
            DIGITS,
        ),
    },
    "lstm": {
        "lstm": (LSTMSpec(), None),
        "lstm 2": (LSTMSpec(layers=2, hidden=5, length=4), None),
    },
    "quadratic": {"quadratic": (QuadraticSpec(), None)},
    "transformer": {
        "transformer sort": (TransformerSpec(length=4, symbols=5, width=8, layers=1), None),
        "transformer text": (
            TransformerSpec(dataset="sentences", length=6, width=6, heads=3, activation="relu", init="torch"),
            written(),
        ),
    },
}
SPECS: dict[str, Case] = {name: case for kind in CASES.values() for name, case in kind.items()}
