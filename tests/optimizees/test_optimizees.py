"""One suite over every optimizee: batched equals one by one, gradients are right, cells are paired and independent."""

from collections.abc import Sequence

import pytest
import torch
from optimizee_cases import CASES, DIGITS, MNIST, SPECS
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components.conformance import check_optimizee
from rnnprop_cli.components.optimizees import OPTIMIZEES
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling

F64 = torch.float64
CPU = torch.device("cpu")
# float64: sums of some hundred terms in another order
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def build(name: str, seeds: Sequence[int] = (1, 2)) -> Optimizee:
    spec, dataset = SPECS[name]
    return build_optimizee(spec, dataset, seeds, 6, F64, CPU)


def with_tricks(name: str, seeds: Sequence[int] = (1, 2)) -> Optimizee:
    g = RandomScaling(Quadratic(5, seeds, F64, CPU), 1.0, seeds, "g")
    return Combined(RandomScaling(build(name, seeds), 3.0, seeds, "f"), g)


def cells(optimizee: Optimizee, per_seed: int, spread: float = 0.05) -> Tensor:
    """theta_0 of every seed, `per_seed` times, each moved a little."""
    params_CP = optimizee.init_params().repeat_interleave(per_seed, dim=0)
    generator = torch.Generator().manual_seed(9)
    return params_CP + spread * torch.randn(params_CP.shape, generator=generator, dtype=F64)


# Modules are code from outside: tests/outside has examples of theirs, and holds them to the same.
ELSEWHERE = {"module"}


def test_every_kind_that_is_registered_has_examples() -> None:
    assert set(CASES) | ELSEWHERE == set(OPTIMIZEES)
    for kind, cases in CASES.items():
        assert {spec.kind for spec, _ in cases.values()} == {kind}


@pytest.mark.parametrize("name", SPECS)
def test_what_is_asked_of_code_from_outside_holds_for_ours(name: str) -> None:
    assert [check for check in check_optimizee(*SPECS[name]) if check.wrong] == []


@pytest.mark.parametrize("name", SPECS)
def test_coordinates_are_as_many_as_planned(name: str) -> None:
    spec, _ = SPECS[name]
    optimizee = build(name)
    assert optimizee.n_coordinates == spec.n_coordinates
    assert list(optimizee.shapes) == [tensor.shape for tensor in spec.tensors()]
    assert optimizee.init_params().shape == (2, spec.n_coordinates)
    assert spec.numbers_per_example() > 0


@pytest.mark.parametrize("kind", CASES)
def test_labels_tell_the_examples_of_a_kind_apart(kind: str) -> None:
    # each a column of the tables
    shown = [(s.label, s.dataset_label, s.n_layers, s.nonlinearity) for s, _ in CASES[kind].values()]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("make", [build, with_tricks], ids=["plain", "tricks"])
def test_gradient_is_that_of_autograd_through_the_loss(name: str, make: object) -> None:
    optimizee = make(name)  # type: ignore[operator]
    params_CP = cells(optimizee, 3)
    leaf = params_CP.clone().requires_grad_()
    loss_C = optimizee.loss(leaf, 4)
    (expected,) = torch.autograd.grad(loss_C.sum(), leaf)
    found_loss_C, grad_CP = optimizee.loss_and_grad(params_CP, 4)
    torch.testing.assert_close(found_loss_C, loss_C.detach(), **CLOSE)
    torch.testing.assert_close(grad_CP, expected, **CLOSE)
    assert not grad_CP.requires_grad


@pytest.mark.parametrize("name", SPECS)
def test_a_batch_equals_its_cells_one_by_one(name: str) -> None:
    together = build(name, (1, 2))
    params_CP = cells(together, 3)
    loss_C, grad_CP = together.loss_and_grad(params_CP, 0)
    for cell in range(6):
        alone = build(name, (1 + cell // 3,))
        loss_1, grad_1P = alone.loss_and_grad(params_CP[cell : cell + 1], 0)
        torch.testing.assert_close(loss_1[0], loss_C[cell], **CLOSE)
        torch.testing.assert_close(grad_1P[0], grad_CP[cell], **CLOSE)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("make", [build, with_tricks], ids=["plain", "tricks"])
def test_with_the_tensors_of_another_its_losses_are_the_others(name: str, make: object) -> None:
    one, other = make(name, (1, 2)), make(name, (3, 4))  # type: ignore[operator]
    params_CP = cells(one, 3)
    first, steps = 98, 4  # across two blocks of minibatches
    expected = [other.loss_and_grad(params_CP, step) for step in range(first, first + steps)]
    assert not torch.equal(one.loss(params_CP, first), expected[0][0])
    one.load(first, other.tensors(first, steps))
    for optimizee in (one, other):
        for step, (loss_C, grad_CP) in enumerate(expected, first):
            found_C, found_CP = optimizee.loss_and_grad(params_CP, step)
            assert torch.equal(found_C, loss_C)
            assert torch.equal(found_CP, grad_CP)


@pytest.mark.parametrize("name", SPECS)
def test_a_diverged_cell_changes_no_bit_of_its_neighbours(name: str) -> None:
    optimizee = build(name)
    params_CP = cells(optimizee, 3)
    loss_C, grad_CP = optimizee.loss_and_grad(params_CP, 0)
    params_CP[1] = float("nan")
    params_CP[4] = float("inf")
    sick_loss_C, sick_grad_CP = optimizee.loss_and_grad(params_CP, 0)
    for cell in (0, 2, 3, 5):
        assert torch.equal(sick_loss_C[cell], loss_C[cell])
        assert torch.equal(sick_grad_CP[cell], grad_CP[cell])
    assert not sick_loss_C[1].isfinite()


@pytest.mark.parametrize("name", SPECS)
def test_everything_random_is_a_function_of_the_seed(name: str) -> None:
    first, again, other = build(name, (1,)), build(name, (1,)), build(name, (5,))
    params_CP = first.init_params()
    assert torch.equal(params_CP, again.init_params())
    assert torch.equal(first.loss(params_CP, 3), again.loss(params_CP, 3))
    assert not torch.equal(first.loss(params_CP, 3), other.loss(params_CP, 3))


@pytest.mark.parametrize("name", [name for name in SPECS if name != "quadratic"])
def test_every_step_has_its_own_minibatch(name: str) -> None:
    optimizee = build(name, (1,))
    params_CP = optimizee.init_params()
    losses = {optimizee.loss(params_CP, step).item() for step in (0, 1, 2, 99, 100)}
    assert len(losses) == 5


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("horizon", [3, 40])
def test_mean_loss_is_the_mean_over_the_minibatches_met(name: str, horizon: int) -> None:
    """40 steps of 6 examples are more than the 40 images, so that the pass over the dataset is taken."""
    optimizee = build(name)
    params_CP = cells(optimizee, 2)
    expected = torch.stack([optimizee.loss(params_CP, step) for step in range(horizon)]).mean(0)
    torch.testing.assert_close(optimizee.mean_loss(params_CP, horizon), expected, **CLOSE)


def test_heldout_is_measured_on_the_test_split() -> None:
    optimizee = build("mlp", (1, 2))
    params_CP = cells(optimizee, 2)
    heldout = optimizee.heldout(params_CP)
    assert heldout is not None
    assert heldout.accuracy_C is not None
    weight, bias, weight_2, bias_2 = (
        params_CP[3, a:b].view(shape)
        for a, b, shape in [
            (0, 1280, (64, 20)),
            (1280, 1300, (20,)),
            (1300, 1500, (20, 10)),
            (1500, 1510, (10,)),
        ]
    )
    assert DIGITS.test_images is not None
    assert DIGITS.test_labels is not None
    x = DIGITS.test_images.flatten(1).to(F64) / 255 - 0.5
    logits = torch.sigmoid(x @ weight + bias) @ weight_2 + bias_2
    expected = torch.nn.functional.cross_entropy(logits, DIGITS.test_labels)
    torch.testing.assert_close(heldout.loss_C[3], expected, **CLOSE)
    accuracy = (logits.argmax(1) == DIGITS.test_labels).to(F64).mean()
    torch.testing.assert_close(heldout.accuracy_C[3], accuracy)


def test_sequences_have_no_heldout_split() -> None:
    assert build("lstm").heldout(build("lstm").init_params()) is None


def test_paper_initialisation_has_standard_deviation_a_tenth_for_weights_and_biases() -> None:
    theta = build_optimizee(MLPSpec(hidden=200), MNIST, (3,), 6, F64, CPU).init_params()
    assert theta.std().item() == pytest.approx(0.1, rel=0.01)
    biases = theta[0, 784 * 200 : 784 * 200 + 200]
    assert biases.std().item() == pytest.approx(0.1, rel=0.2)


def test_torch_initialisation_is_bounded_by_the_fan_in() -> None:
    theta = build_optimizee(MLPSpec(init="torch"), MNIST, (3,), 6, F64, CPU).init_params()
    first, second = theta[0, : 784 * 20 + 20], theta[0, 784 * 20 + 20 :]
    assert 0.99 / 28 < first.abs().max() <= 1 / 28
    assert 0.95 / 20**0.5 < second.abs().max() <= 1 / 20**0.5


def test_random_scaling_starts_at_the_same_function_value() -> None:
    plain, scaled = build("mlp"), RandomScaling(build("mlp"), 3.0, (1, 2), "f")
    torch.testing.assert_close(
        scaled.loss(scaled.init_params(), 0), plain.loss(plain.init_params(), 0), rtol=1e-9, atol=0
    )
    assert 0.9 < scaled.factor_SP.log().abs().max() / 3 <= 1
    assert not torch.equal(scaled.factor_SP[0], scaled.factor_SP[1])


def test_the_convex_function_is_clipped_and_starts_at_zero() -> None:
    quadratic = Quadratic(4, (1,), F64, CPU)
    assert quadratic.init_params().abs().max() == 0
    assert quadratic.target_Sn.abs().max() <= 1
    far = torch.full((1, 4), 100.0, dtype=F64)
    assert quadratic.loss(far, 0).item() == 10.0
    assert quadratic.loss_and_grad(far, 0)[1].abs().max() == 0


def test_evaluation_takes_fewer_examples_at_once_where_layers_are_wide() -> None:
    narrow, wide = build("mlp"), build("conv")
    assert narrow.evaluation_chunk(20) == 2000  # type: ignore[attr-defined]
    assert wide.evaluation_chunk(10) * 10 * 16 * 28 * 28 <= 2**25  # type: ignore[attr-defined]
    assert wide.evaluation_chunk(10**9) == 1  # type: ignore[attr-defined]
