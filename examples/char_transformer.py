"""A tiny transformer on characters, under a learning rate schedule: RNNprop against Adam tuned with the same schedule.

    python examples/char_transformer.py                    # about two minutes on two cores
    python examples/char_transformer.py --schedule none    # also: cosine
    python examples/char_transformer.py --quick            # a few seconds, to see it work

Two layers of width 32 predict the next character of Python's own language reference, which Python carries as
`pydoc_data.topics` (what `help("topics")` shows; PSF licence). The text differs a little between versions of Python,
and so do the numbers. Every tenth topic is held out.

RNNprop works with the schedulers of `torch.optim.lr_scheduler` (OneCycleLR with `cycle_momentum=False`). The one
here keeps the rate and lowers it linearly over the last 30 % of the steps. Whether that does RNNprop any good is worth
a look: compare with `--schedule none`, where Adam is tuned without one.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from compare import (
    Minibatch,
    Problem,
    classification_loss,
    compare,
    exit_with_message,
    option_parser,
    read_options,
)
from table import show
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from rnnprop_cli import RNNprop
from rnnprop_cli.spec.bench import TuningSpec

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # what ASCII can print
CONTEXT = 32  # characters
WIDTH = 32
HEADS = 4
LAYERS = 2
MINIBATCH = 32  # sequences
HELDOUT_SEQUENCES = 256
HELDOUT_EVERY = 10  # topics
DECAY = 0.3  # the share of the steps over which "decay" lowers the learning rate

SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "decay": lambda optimizer, steps: LambdaLR(optimizer, lambda t: min(1.0, (steps - t) / (DECAY * steps))),
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "none": lambda optimizer, _: LambdaLR(optimizer, lambda t: 1.0),
}


class CharTransformer(nn.Module):
    """From characters [M, T] to logits [M, T, characters] of the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(ALPHABET))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, characters: Tensor) -> Tensor:
        x = self.characters(characters) + self.positions.weight
        for layer in self.layers:
            x = layer(x, src_mask=self.mask, is_causal=True)
        logits: Tensor = self.head(self.norm(x))
        return logits


class Text(NamedTuple):
    """Characters as numbers."""

    train: Tensor  # [N] int64
    heldout: list[Minibatch]

    def minibatches(self, seed: int, steps: int) -> Iterator[Minibatch]:
        """`steps` minibatches of random places: a pure function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            yield sequences(
                self.train, torch.randint(len(self.train) - CONTEXT, (MINIBATCH,), generator=generator)
            )


def sequences(text: Tensor, starts: Tensor) -> Minibatch:
    """Characters [M, T] from the given places on, and those that follow each of them."""
    index = starts[:, None] + torch.arange(CONTEXT)
    return text[index], text[index + 1]


def load_text() -> Text:
    """Python's language reference, without what is not ASCII."""
    from pydoc_data.topics import topics

    number = {character: i for i, character in enumerate(ALPHABET)}
    names = sorted(topics)
    heldout_names = names[::HELDOUT_EVERY]
    train, heldout = (
        torch.tensor([number[c] for name in part for c in topics[name] if c in number])
        for part in ([name for name in names if name not in heldout_names], heldout_names)
    )
    starts = torch.linspace(0, len(heldout) - CONTEXT - 1, HELDOUT_SEQUENCES).long()
    return Text(train, [sequences(heldout, starts)])


def train(
    model: nn.Module, optimizer: Optimizer, minibatches: Iterable[Minibatch], *, steps: int, schedule: str
) -> None:
    """A plain training loop with a plain scheduler: neither knows which optimizer it has."""
    scheduler = SCHEDULES[schedule](optimizer, steps)
    for characters, following in minibatches:
        optimizer.zero_grad()
        loss = classification_loss(model(characters), following)
        loss.backward()
        optimizer.step()
        scheduler.step()


def main() -> None:
    parser = option_parser(__doc__, steps=300, seeds=5)
    parser.add_argument(
        "--schedule", choices=SCHEDULES, default="decay", help="of both optimizers (default: decay)"
    )
    given = parser.parse_args()
    options = read_options(given, search=TuningSpec(seeds=2, points=5, confirm_seeds=4))
    text = load_text()
    problem = Problem(
        title=f"Python's language reference · transformer {LAYERS}x{WIDTH} · schedule {given.schedule}",
        build_model=CharTransformer,
        minibatches=lambda seed: text.minibatches(seed, options.steps),
        heldout=text.heldout,
        train=partial(train, steps=options.steps, schedule=given.schedule),
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
