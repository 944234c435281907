"""Classical rules in one pass agree with their definitions, at every learning rate of a batch."""

import pytest
import torch

from rnnprop_cli.accelerate.baselines import FusedBaseline
from rnnprop_cli.components.optimizers.adadelta import Adadelta
from rnnprop_cli.components.optimizers.adagrad import Adagrad
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Baseline, Rule
from rnnprop_cli.components.optimizers.lion import Lion
from rnnprop_cli.components.optimizers.momentum import Momentum
from rnnprop_cli.components.optimizers.nadam import NAdam
from rnnprop_cli.components.optimizers.rmsprop import RMSprop
from rnnprop_cli.components.optimizers.schedules import build_schedule
from rnnprop_cli.components.optimizers.sgd import SGD
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel

RULES: dict[str, Rule] = {
    "sgd": SGD(),
    "momentum": Momentum(0.9),
    "momentum of table 1": Momentum(0.9, dampening=0.9),
    "nesterov": Momentum(0.9, nesterov=True),
    "adagrad": Adagrad(),
    "adagrad from zero": Adagrad(0.0, 0.0),
    "adadelta": Adadelta(),
    "rmsprop": RMSprop(),
    "rmsprop of torch": RMSprop(0.99, 1e-8, False, 0.0),
    "adam": Adam(),
    "adamw": Adam(0.8, 0.95, 1e-3, weight_decay=0.1),
    "nadam": NAdam(),
    "nadamw": NAdam(weight_decay=0.1),
}


@pytest.fixture(scope="module")
def kernel() -> CpuKernel:
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_in_one_pass_walks_the_plain_trajectory(kernel: CpuKernel, name: str) -> None:
    """3,001 coordinates a cell: pieces of work straddle cells. Some never see a gradient."""
    assert kernel.passes is not None
    lr_C = torch.tensor([1e-3, 0.1, 0.02])
    factor = build_schedule("cosine", 30, 0.05)
    plain = Baseline(RULES[name], lr_C.double(), factor)
    fused = FusedBaseline(Baseline(RULES[name], lr_C, factor), kernel.passes)
    generator = torch.Generator().manual_seed(0)
    start_CP = torch.zeros(3, 3001)  # so that small steps are not lost in large params
    expected_CP, found_CP = start_CP.double(), start_CP.clone()
    state, fused_state = plain.init(expected_CP), fused.init(found_CP)
    for _ in range(25):
        grads_CP = torch.randn(3, 3001, generator=generator)
        grads_CP[:, 100:200] = 0
        state = plain.advance(grads_CP.double(), state, expected_CP)
        fused_state = fused.advance(grads_CP, fused_state, found_CP)
    assert fused_state.steps == state.steps == 25
    assert fused_state.scalar == state.scalar
    # float32: rounding of 25 steps
    moved_CP, found_moved_CP = expected_CP - start_CP, found_CP.double() - start_CP
    assert (found_moved_CP - moved_CP).norm() < 1e-5 * moved_CP.norm()
    for slot, fused_slot in zip(state.slots_CP, fused_state.slots_CP, strict=True):
        assert (fused_slot - slot).norm() < 1e-5 * slot.norm()


def test_a_rule_without_fused_form_takes_its_plain_step(kernel: CpuKernel) -> None:
    assert kernel.passes is not None
    plain = Baseline(Lion(), torch.tensor([0.1, 0.2]))
    fused = FusedBaseline(plain, kernel.passes)
    results = []
    for optimizer in (plain, fused):
        params_CP = torch.zeros(2, 5)
        state = optimizer.init(params_CP)
        for value in (1.0, -2.0):
            state = optimizer.advance(torch.full((2, 5), value), state, params_CP)
        results.append(params_CP)
    assert Lion().fused_form(state) is None
    assert torch.equal(*results)


def test_float64_takes_the_plain_step(kernel: CpuKernel) -> None:
    assert kernel.passes is not None
    plain = Baseline(Adam(), torch.tensor([0.1], dtype=torch.float64))
    results = []
    for optimizer in (plain, FusedBaseline(plain, kernel.passes)):
        params_CP = torch.ones(1, 5, dtype=torch.float64)
        optimizer.advance(2 * params_CP, optimizer.init(params_CP), params_CP)
        results.append(params_CP)
    assert torch.equal(*results)


@pytest.mark.parametrize("name", RULES)
def test_a_cell_that_diverges_keeps_to_itself(kernel: CpuKernel, name: str) -> None:
    assert kernel.passes is not None
    fused = FusedBaseline(Baseline(RULES[name], torch.full((3,), 0.1)), kernel.passes)
    results = []
    for bad in (1.0, float("nan")):
        params_CP = torch.ones(3, 21)
        grads_CP = torch.ones(3, 21)
        grads_CP[1] = bad
        fused.advance(grads_CP, fused.init(params_CP), params_CP)
        results.append(params_CP)
    assert torch.equal(results[0][::2], results[1][::2])
    assert results[1][1].isnan().all()
