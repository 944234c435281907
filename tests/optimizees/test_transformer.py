"""The transformer against PyTorch's own, and the sequences that it learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optimizee_cases import written
from torch import Tensor, nn

from rnnprop_cli.components.datasets import facts_of, load_dataset
from rnnprop_cli.components.optimizees.base import Given
from rnnprop_cli.components.optimizees.transformer import Transformer, TransformerSpec
from rnnprop_cli.components.sequences import SortedSequences, TextWindows
from rnnprop_cli.errors import DataError, UsageError

F64, CPU = torch.float64, torch.device("cpu")
GIVEN = Given(None, (1, 2), 5, F64, CPU)
SORT = TransformerSpec(length=4, symbols=6, width=8, heads=2, layers=2)


def scores_of_torch(spec: TransformerSpec, tensors: list[Tensor], symbols_MT: Tensor) -> Tensor:
    """The scores of one cell, with torch.nn's layers."""
    token, place, *rest = tensors
    h = token[symbols_MT] + place
    for block in range(spec.layers):
        gain, shift, qkv, qkv_b, out, out_b, gain_2, shift_2, up, up_b, down, down_b = rest[12 * block :][:12]
        layer = nn.TransformerEncoderLayer(
            spec.width, spec.heads, 4 * spec.width, 0.0, "gelu", batch_first=True, norm_first=True, dtype=F64
        ).eval()
        state = {
            "self_attn.in_proj_weight": qkv.T,
            "self_attn.in_proj_bias": qkv_b,
            "self_attn.out_proj.weight": out.T,
            "self_attn.out_proj.bias": out_b,
            "linear1.weight": up.T,
            "linear1.bias": up_b,
            "linear2.weight": down.T,
            "linear2.bias": down_b,
            "norm1.weight": 1 + gain,
            "norm1.bias": shift,
            "norm2.weight": 1 + gain_2,
            "norm2.bias": shift_2,
        }
        layer.load_state_dict(state)
        mask = nn.Transformer.generate_square_subsequent_mask(symbols_MT.shape[1], dtype=F64)
        h = layer(h, src_mask=mask)
    gain, shift, weight, bias = rest[-4:]
    return nn.functional.layer_norm(h, h.shape[-1:], 1 + gain, shift) @ weight + bias


@torch.no_grad()
def test_scores_are_those_of_torchs_own_layers() -> None:
    optimizee = SORT.build(GIVEN)
    params_CP = optimizee.init_params() + 0.2 * torch.randn(2, optimizee.n_coordinates, dtype=F64)
    symbols_SMT = optimizee.sequences.at(3)
    found = optimizee.scores(params_CP, symbols_SMT[..., :-1])
    for cell in range(2):
        tensors = [tensor[cell] for tensor in optimizee.layout.split(params_CP)]
        expected = scores_of_torch(SORT, tensors, symbols_SMT[cell, :, :-1])
        torch.testing.assert_close(found[cell], expected[:, -4:], rtol=1e-9, atol=1e-11)
        loss = nn.functional.cross_entropy(
            expected[:, -4:].flatten(0, 1), symbols_SMT[cell, :, -4:].flatten()
        )
        torch.testing.assert_close(optimizee.loss(params_CP, 3)[cell], loss)


def test_no_place_sees_what_comes_later() -> None:
    spec = TransformerSpec(dataset="sentences", length=6, width=6)
    optimizee = spec.build(GIVEN._replace(dataset=written()))
    symbols_SMT = optimizee.sequences.at(0)[..., :-1]
    changed = symbols_SMT.clone()
    changed[..., -1] = (changed[..., -1] + 1) % 28
    params_CP = optimizee.init_params()
    before, after = optimizee.scores(params_CP, symbols_SMT), optimizee.scores(params_CP, changed)
    assert torch.equal(before[:, :, :-1], after[:, :, :-1])
    assert not torch.equal(before[:, :, -1], after[:, :, -1])


def test_sequences_to_sort_carry_their_answer() -> None:
    drawn = SortedSequences((1, 2), 5, 4, 6, CPU).at(7)
    assert drawn.shape == (2, 5, 8)
    assert torch.equal(drawn[..., 4:], drawn[..., :4].sort(-1).values)
    assert set(drawn.flatten().tolist()) <= set(range(6))
    assert SortedSequences((2,), 5, 4, 6, CPU).at(7).equal(drawn[1:])


def test_stretches_of_a_text_begin_everywhere_in_its_training_split_once_an_epoch() -> None:
    text = written(100)
    text = replace(text, train_images=torch.arange(60, dtype=torch.uint8), train_labels=torch.arange(60))
    windows = TextWindows(GIVEN._replace(dataset=text, minibatch=11), 5)
    epoch = torch.cat([windows.at(step) for step in range(5)], dim=1)  # 55 of 56 beginnings
    assert torch.equal(epoch - epoch[..., :1], torch.arange(5).expand(2, 55, 5))
    assert len(set(epoch[0, :, 0].tolist())) == 55
    test_NT = windows.heldout()
    assert test_NT is not None
    assert torch.equal(test_NT[1:, 0], test_NT[:-1, -1])  # they share the symbol that is first seen


def test_it_learns_to_sort() -> None:
    spec = TransformerSpec(length=3, symbols=4, width=8, layers=1)
    optimizee = spec.build(GIVEN._replace(seeds=(1,), minibatch=32))
    params_CP = optimizee.init_params().requires_grad_()
    optimizer = torch.optim.Adam([params_CP], 0.03)
    for step in range(60):
        _, params_CP.grad = optimizee.loss_and_grad(params_CP, step)
        optimizer.step()
    assert spec.chance_loss is not None
    assert optimizee.mean_loss(params_CP, 5).item() < 0.6 * spec.chance_loss


def test_embeddings_are_no_matrices_to_orthogonalise() -> None:
    optimizee = SORT.build(GIVEN)
    assert isinstance(optimizee, Transformer)
    assert [(block.rows, block.columns) for block in optimizee.matrices] == 2 * [
        (8, 24),
        (8, 8),
        (8, 32),
        (32, 8),
    ]


def test_torch_initialisation_leaves_gains_at_one_and_shifts_at_zero() -> None:
    optimizee = SORT.model_copy(update={"init": "torch"}).build(GIVEN)
    tensors = optimizee.layout.split(optimizee.init_params())
    assert [tensor.abs().max().item() == 0 for tensor in tensors[2:6]] == [True, True, False, False]


def test_settings_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="width 32 is not a multiple of heads 3"):
        TransformerSpec(heads=3)
    assert TransformerSpec(dataset="digits").misfit() == (
        "dataset",
        "'digits' is no text: name 'sentences' or a file.txt of your own",
    )
    assert TransformerSpec(dataset="sentences").misfit() is None
    assert TransformerSpec().misfit() is None


def test_a_text_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "poem.txt"
    path.write_text("ab ba\n" * 10)
    assert facts_of(str(path))[:4] == ((), 4, 54, 6)
    dataset = load_dataset(str(path))
    assert dataset.train_labels[:6].tolist() == [2, 3, 1, 3, 2, 0]
    assert TransformerSpec(dataset=str(path)).vocabulary == 4
    assert TransformerSpec(dataset=str(path), length=54).misfit() == (
        "length",
        "54 is more than the 54 characters to train on allow",
    )
    with pytest.raises(UsageError, match="epoch holds no minibatch"):
        TransformerSpec(dataset=str(path), length=50).build(GIVEN._replace(dataset=dataset))
    for content, message in (
        (b"\xff\xfe", "is not UTF-8"),
        (b"aaa", "no two different characters"),
        ("".join(map(chr, range(40, 300))).encode(), "holds 260 different characters; at most 256"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_dataset(str(path))


def test_the_made_sentences_are_always_the_same() -> None:
    assert load_dataset("sentences").sha256.startswith("76e753c317ac02e6")
    assert facts_of("sentences")[:4] == ((), 28, 90_000, 10_000)
