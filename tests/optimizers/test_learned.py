"""RNNprop and DMoptimizer do what their equations say."""

import math

import pytest
import torch

from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.rnnprop import Moments, RNNpropSpec
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels.reference import ReferenceKernel

CPU = torch.device("cpu")


def test_rnnprop_has_6641_meta_params_and_dm_5141() -> None:
    assert RNNpropSpec().build().n_meta_params == 6641
    assert DMSpec().build().n_meta_params == 5141


def test_rnnprop_features_are_equations_8_and_9_gradient_first() -> None:
    rule = RNNpropSpec().build()
    params_CP = torch.zeros(2, 3, dtype=torch.float64)
    state: Moments = rule.accumulators(params_CP)
    generator = torch.Generator().manual_seed(0)
    m = v = torch.zeros_like(params_CP)
    for t in range(1, 6):
        g = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        m, v = 0.95 * m + 0.05 * g, 0.95 * v + 0.05 * g * g
        root = (v / (1 - 0.95**t)).sqrt() + 1e-8
        features_FN, state = rule.features(g, state, donate=t % 2 == 0)
        expected = torch.stack([g / root, m / (1 - 0.95**t) / root]).flatten(1)
        torch.testing.assert_close(features_FN, expected, rtol=1e-12, atol=1e-12)


def test_rnnprop_sees_no_absolute_size_of_gradients() -> None:
    rule = RNNpropSpec(eps=1e-30).build()
    params_CP = torch.zeros(1, 4, dtype=torch.float64)
    g = torch.tensor([[0.3, -1.0, 2.0, 1e-3]], dtype=torch.float64)
    small, _ = rule.features(g, rule.accumulators(params_CP), donate=False)
    large, _ = rule.features(1e6 * g, rule.accumulators(params_CP), donate=False)
    torch.testing.assert_close(small, large)


def test_dm_encodes_the_logarithm_of_large_gradients_and_small_ones_linearly() -> None:
    rule = DMSpec().build()
    g = torch.tensor([[1.0, -1.0, math.exp(-5), math.exp(-11), 0.0]], dtype=torch.float64)
    features_FN, _ = rule.features(g, rule.accumulators(g), donate=False)
    assert features_FN[0].tolist() == pytest.approx([0, 0, -0.5, -1, -1])
    assert features_FN[1].tolist() == pytest.approx([1, -1, 1, math.exp(-1), 0])


def test_meta_params_start_as_the_paper_says() -> None:
    rule = RNNpropSpec().build()
    named = rule.named(rule.start(1, torch.float64, CPU))
    bound = math.sqrt(3 / 40)
    for layer in (0, 1):
        for matrix in ("w_input", "w_hidden"):
            assert 0.9 * bound < named[f"lstm{layer}.{matrix}"].abs().max() <= bound
        bias = named[f"lstm{layer}.bias"]
        assert bias[20:40].tolist() == [1.0] * 20
        assert bias[:20].abs().max() == bias[40:].abs().max() == 0
    assert named["embed.weight"].abs().max() <= 0.2
    assert named["embed.bias"].abs().max() == named["out.bias"].abs() == 0


def test_the_first_layer_of_dm_starts_by_its_own_width() -> None:
    rule = DMSpec().build()
    named = rule.named(rule.start(1, torch.float64, CPU))
    for layer, bound in ((0, math.sqrt(3 / 22)), (1, math.sqrt(3 / 40))):
        for matrix in ("w_input", "w_hidden"):
            assert 0.9 * bound < named[f"lstm{layer}.{matrix}"].abs().max() <= bound


def test_meta_params_are_a_function_of_the_seed() -> None:
    rule = DMSpec().build()
    first, again, other = (rule.start(seed, torch.float32, CPU) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("spec", [RNNpropSpec(), DMSpec()], ids=["rnnprop", "dm"])
def test_a_step_is_alpha_times_the_networks_output_with_the_rules_sign(spec: RNNpropSpec | DMSpec) -> None:
    rule = spec.build()
    meta_params_Q = rule.start(0, torch.float64, CPU)
    params_CP = torch.zeros(2, 3, dtype=torch.float64)
    g = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alpha_C = torch.tensor([0.1, 0.2], dtype=torch.float64)
    optimizer = build_learned(spec.build(), meta_params_Q, Given(alpha_C, 100), ReferenceKernel())
    updates_CP, _ = optimizer.update(g, optimizer.init(params_CP), params_CP)
    features_FN, _ = rule.features(g, rule.accumulators(params_CP), donate=False)
    hidden = rule.network.zero_hidden(6, torch.float64, CPU)
    output_N, _ = ReferenceKernel().step(rule.network, meta_params_Q, features_FN, hidden)
    torch.testing.assert_close(updates_CP, rule.sign * alpha_C[:, None] * output_N.view(2, 3))


def test_rnnprop_never_steps_further_than_alpha() -> None:
    spec = RNNpropSpec(alpha=0.1)
    rule = spec.build()
    meta_params_Q = 50 * rule.start(0, torch.float32, CPU)
    optimizer = build_learned(spec.build(), meta_params_Q, Given(torch.tensor([0.1]), 100), ReferenceKernel())
    params_CP = torch.zeros(1, 100)
    state = optimizer.init(params_CP)
    for scale in (1e-20, 1.0, 1e15):
        updates_CP, state = optimizer.update(scale * torch.randn(1, 100), state, params_CP)
        assert updates_CP.abs().max() <= 0.1 * (1 + 1e-6)
