"""The fast estimator is the plain one, and both are the derivative of the meta-loss."""

import pytest
import torch
from torch import Tensor

from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.meta.meta_gradient import known_output_gradient, plain_autograd
from rnnprop_cli.meta.meta_loss import meta_loss, step_gradients
from rnnprop_cli.meta.truncation import Span, spans
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory

F64 = torch.float64
CPU = torch.device("cpu")
SPECS = {"rnnprop": RNNpropSpec(embedding=5, hidden=4), "dm": DMSpec(hidden=4)}
KERNEL = ReferenceKernel()


def curved(seeds: tuple[int, ...] = (1, 2)) -> Optimizee:
    f = RandomScaling(Quadratic(6, seeds, F64, CPU), 1.5, seeds, "f")
    return Combined(f, Quadratic(3, tuple(seed + 10 for seed in seeds), F64, CPU))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", ["last", "mean"])
def test_known_output_gradient_equals_plain_autograd_over_two_windows(name: str, kind: str) -> None:
    rule = SPECS[name].build()
    meta_params_Q = rule.start(3, F64, CPU)
    optimizee = curved()
    problem = InnerProblem(optimizee, rule, KERNEL, kind, 0.1)  # type: ignore[arg-type]
    results = []
    for estimator in (known_output_gradient, plain_autograd):
        params_CP = optimizee.init_params()
        trajectory = Trajectory(params_CP, rule.init(params_CP))
        for span in (Span(0, 7), Span(7, 7)):
            result = estimator(problem, meta_params_Q, trajectory, span)
            trajectory = result.trajectory
        results.append(result)
    fast, plain = results
    # float64: rounding of some hundred additions
    relative = (fast.meta_grad_Q - plain.meta_grad_Q).norm() / plain.meta_grad_Q.norm()
    assert relative < 1e-9
    torch.testing.assert_close(fast.end_loss, plain.end_loss)
    torch.testing.assert_close(fast.trajectory.params_CP, plain.trajectory.params_CP)


@pytest.mark.parametrize("name", SPECS)
def test_meta_gradients_reach_every_meta_parameter(name: str) -> None:
    rule = SPECS[name].build()
    meta_params_Q = rule.start(3, F64, CPU)
    optimizee = curved()
    params_CP = optimizee.init_params()
    trajectory = Trajectory(params_CP, rule.init(params_CP))
    problem = InnerProblem(optimizee, rule, KERNEL, "last", 0.1)
    result = known_output_gradient(problem, meta_params_Q, trajectory, Span(0, 6))
    for part, grad in rule.network.named(result.meta_grad_Q).items():
        assert (grad != 0).all(), part


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", ["last", "mean"])
def test_gradcheck_of_a_window_on_a_quadratic_with_frozen_gradients(name: str, kind: str) -> None:
    """The network's inputs are frozen at their values, as the stop-gradient has it."""
    rule = SPECS[name].build()
    meta_params_Q = rule.start(3, F64, CPU)
    target = torch.tensor([[0.4, -0.3, 0.9]], dtype=F64)
    features = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(2), dtype=F64)

    def value(phi_Q: Tensor) -> Tensor:
        params_CP = torch.zeros(1, 3, dtype=F64)
        hidden = rule.network.zero_hidden(3, F64, CPU)
        losses = []
        for features_FN in features:
            losses.append((params_CP - target).square().mean(1))
            output_N, hidden = KERNEL.step(rule.network, phi_Q, features_FN, hidden)
            params_CP = params_CP + rule.sign * 0.1 * output_N[None]
        return meta_loss(kind, torch.stack(losses))  # type: ignore[arg-type]

    params_CP = torch.zeros(1, 3, dtype=F64)
    hidden = rule.network.zero_hidden(3, F64, CPU)
    grads = []
    for features_FN in features:
        grads.append(2 * (params_CP - target) / 3)
        output_N, hidden = KERNEL.step(rule.network, meta_params_Q, features_FN, hidden)
        params_CP = params_CP + rule.sign * 0.1 * output_N[None]
    output_grad_TN = step_gradients(kind, torch.stack(grads), len(grads)).flatten(1) * rule.sign * 0.1  # type: ignore[arg-type]
    found_Q = KERNEL.window_gradient(
        rule.network,
        meta_params_Q,
        features,
        rule.network.zero_hidden(3, F64, CPU),
        output_grad_TN,
    )
    step = 1e-6
    for index in range(0, len(meta_params_Q), 7):
        shift_Q = torch.zeros_like(meta_params_Q)
        shift_Q[index] = step
        slope = (value(meta_params_Q + shift_Q) - value(meta_params_Q - shift_Q)) / (2 * step)
        assert found_Q[index].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-10)


def test_step_gradients_are_suffix_sums_for_the_mean_and_the_last_gradient_else() -> None:
    grads_TCP = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=F64).view(4, 1, 1)
    assert step_gradients("last", grads_TCP, 4).flatten().tolist() == [8, 8, 8, 0]
    assert step_gradients("mean", grads_TCP, 4).flatten().tolist() == [3.5, 3, 2, 0]


def test_five_windows_of_twenty_cover_a_hundred_steps() -> None:
    assert list(spans(100, 20)) == [(0, 20), (20, 20), (40, 20), (60, 20), (80, 20)]
