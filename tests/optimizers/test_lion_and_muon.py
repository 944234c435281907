"""Lion against the published package, Muon against torch.optim.Muon."""

import pytest
import torch

from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Baseline
from rnnprop_cli.components.optimizers.lion import Lion
from rnnprop_cli.components.optimizers.muon import Muon, orthogonal
from rnnprop_cli.numerics.layout import Layout, MatrixBlock

F64 = torch.float64


def gradients(steps: int, size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(1, size, generator=generator, dtype=F64) for _ in range(steps)]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lion_walks_the_published_packages_trajectory(decay: float) -> None:
    published = pytest.importorskip("lion_pytorch", reason="lion-pytorch is in the dev extra")
    theirs = torch.zeros(1, 5, dtype=F64).add_(0.3).requires_grad_()
    optimizer = published.Lion([theirs], lr=0.01, weight_decay=decay)
    ours = Baseline(Lion(weight_decay=decay), torch.tensor([0.01], dtype=F64))
    params_CP = theirs.detach().clone()
    state = ours.init(params_CP)
    for grads_CP in gradients(30, 5):
        theirs.grad = grads_CP.clone()
        optimizer.step()
        updates_CP, state = ours.update(grads_CP, state, params_CP)
        params_CP = params_CP + updates_CP
    torch.testing.assert_close(params_CP, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_muon_walks_torchs_trajectory_within_the_bfloat16_of_torchs_iteration() -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    rows, columns = 12, 7
    theirs = torch.zeros(rows, columns, dtype=F64).requires_grad_()
    optimizer = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    ours = Baseline(Muon([MatrixBlock(0, rows, columns)]), torch.tensor([0.01], dtype=F64))
    params_CP = torch.zeros(1, rows * columns, dtype=F64)
    state = ours.init(params_CP)
    for grads_CP in gradients(10, rows * columns):
        theirs.grad = grads_CP.view(rows, columns).clone()
        optimizer.step()
        updates_CP, state = ours.update(grads_CP, state, params_CP)
        params_CP = params_CP + updates_CP
    # bfloat16 keeps 8 bits; the iteration amplifies its rounding a little
    difference = (params_CP.view(rows, columns) - theirs.detach()).norm() / theirs.detach().norm()
    assert difference < 0.03


def test_muon_is_adam_outside_of_matrices() -> None:
    muon = Baseline(Muon([MatrixBlock(2, 3, 2)]), torch.tensor([0.1], dtype=F64))
    adam = Baseline(Adam(), torch.tensor([0.1], dtype=F64))
    params_CP = torch.zeros(1, 10, dtype=F64)
    muon_state, adam_state = muon.init(params_CP), adam.init(params_CP)
    for grads_CP in gradients(4, 10):
        ours, muon_state = muon.update(grads_CP, muon_state, params_CP)
        theirs, adam_state = adam.update(grads_CP, adam_state, params_CP)
        assert torch.equal(ours[:, [0, 1, 8, 9]], theirs[:, [0, 1, 8, 9]])
        assert not torch.equal(ours[:, 2:8], theirs[:, 2:8])


@pytest.mark.parametrize("shape", [(3, 9, 4), (3, 4, 9), (2, 5, 5)])
def test_orthogonal_brings_all_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_matrices_of_a_layout_leave_out_biases_and_the_output_layer() -> None:
    layout = Layout([(16, 1, 3, 3), (16,), (4, 5), (5,), (5, 10), (10,)], [9, 9, 4, 4, 5, 5])
    assert layout.matrices() == (MatrixBlock(0, 16, 9), MatrixBlock(160, 4, 5))
