"""A horizon law does what its numbers say, over every direction, compiled or not."""

from itertools import pairwise
from math import exp, log

import pytest
import torch
from torch import Tensor

from rnnprop_cli.accelerate.laws import LawfulOptimizer
from rnnprop_cli.accelerate.optimizers import build_learned, build_population
from rnnprop_cli.accelerate.population import PopulationOptimizer
from rnnprop_cli.components.law import NUMBERS, Law, NetworkShape, initial_sizes
from rnnprop_cli.components.learned.base import SteppedOptimizer
from rnnprop_cli.components.learned.law import AdamBaseSpec, AveragingSpec, LawSpec, ShapeSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizers.adam import AdamWSpec
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.select import select_kernel

CPU = torch.device("cpu")
SHAPES = ((3, 4), (4,), ())
FLAT = {"log_rate": log(0.1), "cooldown": -60.0, "warmup": -60.0, "share": -60.0, "log_decay": -60.0}


def law(**numbers: float) -> Tensor:
    """[K] a law; what is not given is 0."""
    return torch.tensor([numbers.get(name, 0.0) for name in NUMBERS], dtype=torch.float64)


def rates(law_K: Tensor, horizon: int | None, steps: int) -> list[float]:
    return [float(Law.of(law_K).rate(t, horizon)) for t in range(1, steps + 1)]


def test_a_law_without_rise_and_fall_is_a_constant() -> None:
    assert rates(law(**FLAT), 1000, 1000) == pytest.approx([0.1] * 1000)


def test_the_rate_depends_on_the_horizon_by_a_power() -> None:
    law_K = law(**FLAT | {"log_rate_slope": -0.5})
    assert rates(law_K, 4000, 1) == pytest.approx([0.1 / 2])
    assert rates(law_K, 250, 1) == pytest.approx([0.1 * 2])


def test_it_rises_falls_and_is_nothing_behind_the_end() -> None:
    law_K = law(**FLAT | {"cooldown": 0.0, "warmup": log(0.2 / 0.8)})  # half the run, and a tenth
    found = rates(law_K, 100, 101)
    assert found[0] == pytest.approx(0.1 / 11)
    assert found[9] == pytest.approx(0.1 * 10 / 11)
    assert found[10:51] == pytest.approx([0.1] * 41)
    assert found[75] == pytest.approx(0.1 * 25 / 50)
    assert found[99] == pytest.approx(0.1 / 50)
    assert found[100] == 0


def test_a_fall_of_no_length_at_all_ends_in_nothing() -> None:
    law_K = law(**FLAT | {"cooldown": -200.0}).float()
    assert rates(law_K, 10, 11) == pytest.approx([0.1] * 10 + [0.0])


def test_without_an_end_it_never_falls_to_nothing_and_goes_as_the_horizon_of_twice_the_steps() -> None:
    law_K = law(**FLAT | {"log_rate_slope": -0.5, "cooldown": 3.0})
    found = rates(law_K, None, 2000)
    assert found[499] == pytest.approx(0.1)
    assert found[1999] == pytest.approx(0.1 / 2)
    assert all(later <= before for before, later in pairwise(found))


def test_tensors_of_small_values_step_less_and_zeros_do_as_those_before_them() -> None:
    params_CP = torch.cat([torch.full((1, 12), 0.01), torch.zeros(1, 4), torch.full((1, 1), 5.0)], 1)
    sizes_CG = initial_sizes(params_CP.double(), SHAPES)
    assert sizes_CG.tolist()[0] == pytest.approx([0.1, 0.1, 1.0])
    half = Law.of(law(share=0.0)[None]).shares(sizes_CG, NetworkShape((1.0,) * 3, 1.0))  # the power 1/2
    assert half.tolist()[0] == pytest.approx([10**-0.5, 10**-0.5, 1.0])
    assert initial_sizes(torch.zeros(2, 17), SHAPES).tolist() == [[1.0] * 3] * 2
    assert initial_sizes(torch.zeros(2, 0), ((0,),)).tolist() == [[1.0]] * 2


def trajectory(
    optimizer: object, steps: int = 12, cells: int = 2, dtype: torch.dtype = torch.float64
) -> Tensor:
    """[C, P] where gradients of a noisy quadratic lead."""
    generator = torch.Generator().manual_seed(3)
    params_CP = 0.05 * torch.randn(cells, 17, generator=generator, dtype=dtype)
    state = optimizer.init(params_CP)  # type: ignore[attr-defined]
    for _ in range(steps):
        grads_CP = params_CP + torch.randn(cells, 17, generator=generator, dtype=dtype)
        state = optimizer.advance(grads_CP, state, params_CP)  # type: ignore[attr-defined]
    return params_CP


def test_weight_decay_depends_on_the_horizon_by_a_power() -> None:
    numbers = Law.of(law(log_decay=log(0.02), decay_slope=-0.5))
    assert float(numbers.decay(7, 1000)) == pytest.approx(0.02)
    assert float(numbers.decay(7, 4000)) == pytest.approx(0.01)
    assert float(numbers.decay(2000, None)) == pytest.approx(0.01)  # twice the steps so far
    assert float(numbers.decay(1, None)) == float(numbers.decay(50, None)) == pytest.approx(0.02 * 10**0.5)


def given(cells: int = 2, dtype: torch.dtype = torch.float64) -> Given:
    return Given(torch.ones(cells, dtype=dtype), 12, SHAPES)


def test_adamw_under_a_flat_law_is_adamw() -> None:
    rule = LawSpec(base=AdamBaseSpec()).build()
    optimizer = SteppedOptimizer(
        rule, law(**FLAT | {"log_decay": log(0.02)}), torch.ones(2).double(), SHAPES, 12
    )
    plain = AdamWSpec(lr=0.1, weight_decay=0.02).build(Given(torch.full((2,), 0.1, dtype=torch.float64), 12))
    torch.testing.assert_close(trajectory(optimizer), trajectory(plain), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("kernel", ["reference", "auto"])
@pytest.mark.parametrize("averaging", [None, AveragingSpec(place=1.0, recency=0.7, landing=-0.5)])
@pytest.mark.parametrize("base", [AdamBaseSpec(), RNNpropSpec(embedding=3, hidden=5)])
def test_fast_and_plain_agree_for_one_law_and_for_one_each(
    base: AdamBaseSpec | RNNpropSpec, averaging: AveragingSpec | None, kernel: KernelName
) -> None:
    shape = None if averaging is None else ShapeSpec(inputs=0.4, matrices=0.2)
    rule = LawSpec(base=base, shape=shape, averaging=averaging).build()
    body, _ = select_kernel(kernel, CPU, torch.float32)
    meta_params_Q = rule.start(1, torch.float32, CPU)
    here = given(dtype=torch.float32)
    fast = build_learned(rule, meta_params_Q, here, body)
    assert isinstance(fast, LawfulOptimizer)
    plain = SteppedOptimizer(rule, meta_params_Q, here.lr_C, SHAPES, 12)
    known = trajectory(plain, dtype=torch.float32)
    torch.testing.assert_close(trajectory(fast, dtype=torch.float32), known, rtol=2e-4, atol=2e-6)
    several_CQ = meta_params_Q.repeat(2, 1)
    several_CQ[1, 0] += 0.5
    each = build_population(rule, several_CQ, here, body)
    assert isinstance(each, LawfulOptimizer)
    found = trajectory(each, dtype=torch.float32)
    vmapped = trajectory(PopulationOptimizer(rule, several_CQ, here), dtype=torch.float32)
    torch.testing.assert_close(found, vmapped, rtol=2e-4, atol=2e-6)
    torch.testing.assert_close(found[0], known[0], rtol=2e-4, atol=2e-6)
    assert (found[1] - known[1]).abs().max() > 1e-5


def test_its_own_update_moves_nothing_and_agrees_with_advance() -> None:
    rule = LawSpec(base=RNNpropSpec(embedding=3, hidden=5)).build()
    body, _ = select_kernel("reference", CPU, torch.float64)
    optimizer = build_learned(rule, rule.start(1, torch.float64, CPU), given(), body)
    params_CP, grads_CP = torch.full((2, 17), 0.3).double(), torch.linspace(-1, 1, 34).double().view(2, 17)
    state = optimizer.init(params_CP)
    updates_CP, _ = optimizer.update(grads_CP, state, params_CP)
    assert torch.equal(params_CP, torch.full((2, 17), 0.3).double())
    moved_CP = params_CP.clone()
    optimizer.advance(grads_CP, state, moved_CP)
    torch.testing.assert_close(params_CP + updates_CP, moved_CP)


def test_a_new_law_begins_near_the_rate_of_its_direction() -> None:
    for base, rate in ((AdamBaseSpec(rate=0.02), 0.02), (RNNpropSpec(), 0.1)):
        rule = LawSpec(base=base).build()
        numbers = rule.named(rule.start(0, torch.float64, CPU))["law"]
        assert exp(float(numbers[0])) == pytest.approx(rate, rel=1e-5)
