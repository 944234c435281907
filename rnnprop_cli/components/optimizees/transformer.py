"""A small transformer that predicts the next symbol: it learns to sort, or the characters of a text.

Shape legend: S seeds, C cells, P coordinates, M sequences, T symbols of a sequence, N = M T, V different symbols,
W width, H heads, D = W / H numbers of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from rnnprop_cli.components.activations import Activation, activate
from rnnprop_cli.components.datasets import DatasetName, facts_of
from rnnprop_cli.components.optimizees.base import (
    Given,
    Heldout,
    Layered,
    OptimizeeSpec,
    TensorFacts,
    Tensors,
    per_cell,
)
from rnnprop_cli.components.optimizees.mlp import shared_product
from rnnprop_cli.fields import Init, PositiveInt
from rnnprop_cli.lazy import no_grad, torch
from rnnprop_cli.numerics.layout import MatrixBlock

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.sequences import Sequences

WIDENING: Final = 4  # of the hidden layer in a block
VARIANCE_FLOOR: Final = 1e-5  # added to what is divided by, as in torch.nn
# Numbers per symbol and unit of width that the forward and backward pass of a block hold, roughly.
NUMBERS_PER_UNIT: Final = 48
EVALUATION_NUMBERS: Final = 2**25  # of a forward pass on held-out data, at most


class TransformerSpec(OptimizeeSpec):
    """Cross-entropy of a decoder that sorts symbols, or with a `dataset` that is a text predicts its characters."""

    kind: Literal["transformer"] = "transformer"
    dataset: DatasetName | None = None  # a text; absent: it sorts
    layers: Annotated[int, Field(ge=1, le=64)] = 2
    width: PositiveInt = 32
    heads: PositiveInt = 2
    length: Annotated[int, Field(ge=2, le=4096)] = 8  # symbols to sort, or characters that it sees at most
    symbols: Annotated[int, Field(ge=2, le=1000)] = (
        10  # different ones to sort; a text has those that stand in it
    )
    activation: Activation = "gelu"
    init: Init = "paper"

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        task = f"sort {self.length} of {self.symbols}" if self.dataset is None else f"length {self.length}"
        parts = ["transformer", task]
        parts += [] if self.width == 32 else [f"width {self.width}"]
        parts += [] if self.heads == 2 else [f"heads {self.heads}"]
        parts += [] if self.init == "paper" else ["torch-init"]
        return " ".join(parts)

    @property
    def dataset_name(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.dataset

    @property
    def n_layers(self) -> int | None:
        """See `OptimizeeSpec`."""
        return self.layers

    @property
    def nonlinearity(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.activation

    @property
    def chance_loss(self) -> float | None:
        """See `OptimizeeSpec`."""
        return log(self.vocabulary)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.symbols if self.dataset is None else facts_of(self.dataset).outputs

    @property
    def seen(self) -> int:
        """Symbols that it is given: of a sequence to sort all but the last of both halves."""
        return 2 * self.length - 1 if self.dataset is None else self.length

    def misfit(self) -> tuple[str, str] | None:
        """See `OptimizeeSpec`."""
        if self.dataset is None:
            return None
        facts = facts_of(self.dataset)
        if not facts.text:
            return "dataset", f"'{self.dataset_label}' is no text: name 'sentences' or a file.txt of your own"
        if facts.train <= self.length:
            return "length", f"{self.length:,} is more than the {facts.train:,} characters to train on allow"
        return None

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`: embeddings [V, W] and [T, W]; of every block two gains and shifts, [W, 3W] for queries,
        keys and values, [W, W], [W, 4W] and [4W, W] with their biases; gain, shift, [W, V] and its bias."""
        width, inner, seen = self.width, WIDENING * self.width, self.seen
        counted = self.length

        def affine(fan_in: int, fan_out: int, uses: int) -> list[TensorFacts]:
            return [TensorFacts((fan_in, fan_out), fan_in, uses), TensorFacts((fan_out,), fan_in, 0)]

        norm = [TensorFacts((width,), 0, seen), TensorFacts((width,), 0, 0)]
        block = [
            *(*norm, *affine(width, 3 * width, seen), *affine(width, width, seen)),
            *(*norm, *affine(width, inner, seen), *affine(inner, width, seen)),
        ]
        embeddings = [
            TensorFacts((self.vocabulary, width), width, seen),
            TensorFacts((seen, width), width, 0),
        ]
        return [*embeddings, *block * self.layers, *norm, *affine(width, self.vocabulary, counted)]

    @property
    def multiplications(self) -> int:
        """See `OptimizeeSpec`: to those with params come scores and sums of the attention."""
        return super().multiplications + 2 * self.layers * self.seen**2 * self.width

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        of_a_block = NUMBERS_PER_UNIT * self.width + 6 * self.heads * self.seen
        return self.seen * (self.layers * of_a_block + 6 * self.vocabulary)

    def build(self, given: Given) -> Transformer:
        """See `OptimizeeSpec`."""
        from rnnprop_cli.components.sequences import SortedSequences, TextWindows

        if self.dataset is not None:
            return Transformer(self, TextWindows(given, self.length + 1), given)
        drawn = SortedSequences(given.seeds, given.minibatch, self.length, self.symbols, given.device)
        return Transformer(self, drawn, given)


class Transformer(Layered):
    """h = E[symbol] + E'[place]; in every block h += attention(norm(h)), h += W' activation(W norm(h)); scores from
    norm(h). Each place sees those before it and itself."""

    def __init__(self, spec: TransformerSpec, sequences: Sequences, given: Given) -> None:
        """
        Args:
            spec: sizes.
            sequences: the data.
            given: dtype and device.
        """
        super().__init__(spec.tensors(), sequences.seeds, spec.init, given.dtype, given.device)
        self.sequences = sequences
        self.layers, self.heads, self.vocabulary = spec.layers, spec.heads, spec.vocabulary
        self.activation: Activation = spec.activation
        self.counted = spec.length  # so many places at the end are scored
        self.numbers_per_example = spec.numbers_per_example()

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`: a row of an embedding stands for itself, so these are none."""
        return self.layout.matrices()[2:]

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        return self.sequences.tensors(first, steps)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self.sequences.load(first, tensors)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        symbols_SMT = self.sequences.at(step)
        return self._losses(self.scores(params_CP, symbols_SMT[..., :-1]), symbols_SMT).mean((1, 2))

    @no_grad
    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """See `Optimizee`."""
        test_NT = self.sequences.heldout()
        if test_NT is None:
            return None
        loss_C = torch.zeros(len(params_CP), dtype=torch.float64, device=params_CP.device)
        correct_C = torch.zeros_like(loss_C)
        chunk = max(1, EVALUATION_NUMBERS // (len(params_CP) * self.numbers_per_example))
        for part_NT in torch.split(test_NT, chunk):
            scores_CMTV = self.scores(params_CP, part_NT[None, :, :-1])
            loss_C += self._losses(scores_CMTV, part_NT[None]).sum((1, 2))
            correct_C += (scores_CMTV.argmax(-1) == part_NT[:, -self.counted :]).sum((1, 2))
        n_symbols = len(test_NT) * self.counted
        return Heldout(loss_C / n_symbols, correct_C / n_symbols)

    def scores(self, params_CP: Tensor, symbols_SMT: Tensor) -> Tensor:
        """[C, M, T', V] scores of the next symbol at the last T' places, which are the counted ones."""
        tensors = iter(self.layout.split(params_CP))
        n_cells = len(params_CP)
        n_seeds, n_sequences, n_places = symbols_SMT.shape
        # a product and no lookup, whose gradient would depend on the order of the threads of a GPU
        every_V = torch.arange(self.vocabulary, device=symbols_SMT.device)
        one_hot = (symbols_SMT[..., None] == every_V).to(params_CP.dtype)
        h = shared_product(one_hot.view(n_seeds, n_sequences * n_places, self.vocabulary), next(tensors))
        h = (h.view(n_cells, n_sequences, n_places, -1) + next(tensors)[:, None]).flatten(1, 2)
        for _ in range(self.layers):
            h = h + self._attention(_normalised(h, tensors), tensors, n_places)
            hidden = activate(self.activation, _affine(_normalised(h, tensors), tensors))
            h = h + _affine(hidden, tensors)
        h = _normalised(h, tensors).view(n_cells, n_sequences, n_places, -1)
        counted = h[:, :, -self.counted :].flatten(1, 2)
        return _affine(counted, tensors).view(n_cells, n_sequences, self.counted, self.vocabulary)

    def _attention(self, x_CNW: Tensor, tensors: Iterator[Tensor], n_places: int) -> Tensor:
        n_cells, _, width = x_CNW.shape
        both = _affine(x_CNW, tensors).view(n_cells, -1, n_places, 3, self.heads, width // self.heads)
        q, k, v = both.permute(3, 0, 1, 4, 2, 5)  # [C, M, H, T, D]
        later = torch.ones(n_places, n_places, dtype=torch.bool, device=x_CNW.device).triu(1)
        attention = (q @ k.mT / sqrt(q.shape[-1])).masked_fill(later, float("-inf")).softmax(-1)
        return _affine((attention @ v).transpose(2, 3).reshape(n_cells, -1, width), tensors)

    def _losses(self, scores_CMTV: Tensor, symbols_SMT: Tensor) -> Tensor:
        """[C, M, T'] cross-entropy at every counted place."""
        targets_CMT = per_cell(symbols_SMT[..., -self.counted :], len(scores_CMTV))
        log_p = torch.log_softmax(scores_CMTV, dim=-1)
        return -log_p.gather(-1, targets_CMT[..., None]).squeeze(-1)


def _affine(x_CNW: Tensor, tensors: Iterator[Tensor]) -> Tensor:
    weight, bias = next(tensors), next(tensors)
    return torch.baddbmm(bias[:, None], x_CNW, weight)


def _normalised(h_CNW: Tensor, tensors: Iterator[Tensor]) -> Tensor:
    """Mean 0 and variance 1 of every place, times 1 + gain, plus shift."""
    gain, shift = next(tensors), next(tensors)
    plain = torch.nn.functional.layer_norm(h_CNW, h_CNW.shape[-1:], eps=VARIANCE_FLOOR)
    return plain * (1 + gain[:, None]) + shift[:, None]
