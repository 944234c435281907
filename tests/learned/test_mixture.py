"""A mixture of directions does what its equations say, compiled or not."""

import pytest
import torch
from torch import Tensor

from rnnprop_cli.accelerate.mixtures import MixedOptimizer
from rnnprop_cli.accelerate.optimizers import build_learned, build_population
from rnnprop_cli.accelerate.population import PopulationOptimizer
from rnnprop_cli.components.learned.base import Architecture, Context, SteppedOptimizer
from rnnprop_cli.components.learned.law import AveragingSpec, LawSpec, ShapeSpec
from rnnprop_cli.components.learned.mixture import MixtureSpec
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Given, RuleState
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.select import select_kernel

CPU = torch.device("cpu")
SHAPES = ((7, 5), (5,), (0,), (5, 11), (11,), ())
P = 107
STEPS = 15


def body(dtype: torch.dtype = torch.float32) -> Kernel:
    kernel, notice = select_kernel("auto", CPU, dtype)
    if kernel.passes is None:
        pytest.skip(f"no compiled kernel here: {notice}")
    return kernel


def trajectory(optimizer: object, cells: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """[C, P] behind some steps; one coordinate never has a gradient, and one tensor begins as zeros."""
    generator = torch.Generator().manual_seed(3)
    params_CP = 0.05 * torch.randn(cells, P, generator=generator, dtype=dtype)
    params_CP[:, 35:40] = 0
    state = optimizer.init(params_CP)  # type: ignore[attr-defined]
    for _ in range(STEPS):
        grads_CP = params_CP + torch.randn(cells, P, generator=generator, dtype=dtype)
        grads_CP[:, 3] = 0
        state = optimizer.advance(grads_CP, state, params_CP)  # type: ignore[attr-defined]
    return params_CP


def test_it_begins_as_adam_with_steps_of_one_size_in_every_tensor() -> None:
    rule = MixtureSpec().build()
    meta = rule.named(rule.start(0, torch.float64, CPU))
    params_CP = torch.randn(2, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    state, adam = rule.init(params_CP, SHAPES), Adam(0.9, 0.999, 1e-30)
    averages = RuleState(0, adam.slots(params_CP))
    generator = torch.Generator().manual_seed(2)
    for t in range(1, 6):
        grads_CP = torch.randn(2, P, generator=generator, dtype=torch.float64)
        rate_C = torch.tensor([0.01, 0.5], dtype=torch.float64)
        updates_CP, state = rule.step(meta, state, grads_CP, params_CP, Context(t, None, SHAPES, rate_C))
        direction_CP, _ = adam.direction(grads_CP, averages, params_CP)
        averages = averages._replace(steps=t)
        sizes = [torch.Size(shape).numel() for shape in SHAPES]
        parts = zip(torch.split(updates_CP, sizes, 1), torch.split(direction_CP, sizes, 1), strict=True)
        for update_Cn, adams_Cn in parts:
            if update_Cn.shape[1]:
                assert update_Cn.square().mean(1).sqrt().tolist() == pytest.approx([0.01, 0.5], rel=1e-6)
                expected = -rate_C[:, None] * adams_Cn / adams_Cn.square().mean(1, keepdim=True).sqrt()
                torch.testing.assert_close(update_Cn, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_the_compiled_kernel_it_is_the_same(dtype: torch.dtype) -> None:
    rule = LawSpec(base=MixtureSpec(hidden=4)).build()
    generator = torch.Generator().manual_seed(5)
    meta_params_Q = rule.start(0, dtype, CPU)
    meta_params_Q = meta_params_Q + 0.3 * torch.randn(len(meta_params_Q), generator=generator, dtype=dtype)
    reference, _ = select_kernel("reference", CPU, dtype)
    given = Given(torch.ones(3, dtype=dtype), STEPS, SHAPES)
    plain = trajectory(SteppedOptimizer(rule, meta_params_Q, given.lr_C, SHAPES, STEPS), dtype=dtype)
    assert torch.equal(trajectory(build_learned(rule, meta_params_Q, given, reference), dtype=dtype), plain)
    each = build_population(rule, meta_params_Q.repeat(3, 1), given, reference)
    torch.testing.assert_close(trajectory(each, dtype=dtype), plain, rtol=1e-3, atol=1e-5)


def test_its_meta_gradient_is_finite_where_a_gradient_has_been_zero_from_the_start() -> None:
    rule = MixtureSpec(hidden=3).build()
    meta = rule.start(0, torch.float64, CPU).requires_grad_()
    params_CP = torch.ones(1, 4, dtype=torch.float64)
    grads_CP = torch.tensor([[0.0, 1.0, -1.0, 0.0]], dtype=torch.float64)
    context = Context(1, None, ((4,),), torch.ones(1, dtype=torch.float64))
    updates_CP, _ = rule.step(rule.named(meta), rule.init(params_CP, ((4,),)), grads_CP, params_CP, context)
    (found,) = torch.autograd.grad(updates_CP.square().mul(torch.arange(4.0)).sum(), meta)
    assert found.isfinite().all()


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("under", ["nothing", "law", "averaged law"])
def test_compiled_and_plain_agree(hidden: int, under: str) -> None:
    spec = MixtureSpec(hidden=hidden)
    averaged = LawSpec(base=spec, shape=ShapeSpec(inputs=0.5, matrices=0.2), averaging=AveragingSpec())
    specs = {"nothing": spec, "law": LawSpec(base=spec), "averaged law": averaged}
    rule: Architecture = specs[under].build()
    generator = torch.Generator().manual_seed(5)
    meta_params_Q = rule.start(0, torch.float32, CPU)
    several_CQ = meta_params_Q + 0.3 * torch.randn(3, len(meta_params_Q), generator=generator)
    given = Given(torch.tensor([0.01, 0.02, 0.05]), STEPS, SHAPES)
    each = build_population(rule, several_CQ, given, body())
    assert isinstance(each, MixedOptimizer)
    plain = trajectory(PopulationOptimizer(rule, several_CQ, given))
    torch.testing.assert_close(trajectory(each), plain, rtol=1e-3, atol=1e-5)
    one = build_learned(rule, several_CQ[1], given, body(), lambda steps: 1 - steps / STEPS)
    stepped = SteppedOptimizer(
        rule, several_CQ[1], given.lr_C, SHAPES, STEPS, lambda steps: 1 - steps / STEPS
    )
    torch.testing.assert_close(trajectory(one), trajectory(stepped), rtol=1e-3, atol=1e-5)


def test_results_do_not_depend_on_threads_or_company() -> None:
    rule = MixtureSpec(hidden=4).build()
    meta_params_Q = rule.start(0, torch.float32, CPU)

    def run(cells: int) -> Tensor:
        given = Given(torch.full((cells,), 0.01), STEPS, ((9000,),))
        optimizer = build_learned(rule, meta_params_Q, given, body())
        params_CP = torch.linspace(-1, 1, 9000).repeat(cells, 1)
        state = optimizer.init(params_CP)
        for _ in range(3):
            state = optimizer.advance(params_CP.cos(), state, params_CP)
        return params_CP

    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found += [run(1)[0], run(3)[2]]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_nan_stays_in_its_cell_and_its_tensor() -> None:
    rule = MixtureSpec(hidden=4).build()
    given = Given(torch.full((2,), 0.01), STEPS, ((10,), (6,)))
    optimizer = build_learned(rule, rule.start(0, torch.float32, CPU), given, body())
    params_CP, grads_CP = torch.ones(2, 16), torch.ones(2, 16)
    grads_CP[1, 12] = torch.nan
    optimizer.advance(grads_CP, optimizer.init(params_CP), params_CP)
    assert params_CP[0].isfinite().all()
    assert params_CP[1, :10].isfinite().all()
    assert params_CP[1, 10:].isnan().all()


def test_its_state_is_four_numbers_a_coordinate() -> None:
    state = MixtureSpec().build().init(torch.zeros(1, 10), ((10,),))
    assert sum(tensor.numel() for tensor in state) == 40
