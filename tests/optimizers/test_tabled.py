"""Whole steps as Triton programs, interpreted in a process of their own: they are those of the plain optimizers."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

PROGRAM = """
import sys, torch
from rnnprop_cli.components.optimizers.adadelta import Adadelta
from rnnprop_cli.components.optimizers.adagrad import Adagrad
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.momentum import Momentum
from rnnprop_cli.components.optimizers.nadam import NAdam
from rnnprop_cli.components.optimizers.rmsprop import RMSprop
from rnnprop_cli.components.optimizers.sgd import SGD
from rnnprop_cli.components.optimizers.base import Baseline
from rnnprop_cli.components.optimizers.schedules import build_schedule
from rnnprop_cli.kernels.cuda_passes import CudaPasses
from rnnprop_cli.accelerate.tabled import TabledBaseline

rules = {
    "sgd": SGD(), "momentum": Momentum(), "nesterov": Momentum(0.8, 0.1, True), "adagrad": Adagrad(),
    "adagrad at rest": Adagrad(0.0, 0.0), "adadelta": Adadelta(), "rmsprop": RMSprop(),
    "rmsprop outside": RMSprop(eps_inside_root=False), "adam": Adam(), "adamw": Adam(weight_decay=0.1),
    "nadam": NAdam(),
}
C, P, T = 2, 1030, 4  # a block and a part of one
start = torch.randn(C, P, generator=torch.Generator().manual_seed(0))
grads = torch.randn(T, C, P, generator=torch.Generator().manual_seed(1))
grads[:, :, :3] = 0
results = {}
for name, rule in rules.items():
    plain = Baseline(rule, torch.tensor([0.1, 0.3]), build_schedule("cosine", T, 0.0))
    tabled = TabledBaseline(plain, CudaPasses())
    found, by_table, truth = start.clone(), start.clone(), start.double()
    state, table_state = tabled.init(found), tabled.init(by_table)
    exact = Baseline(rule, plain.lr_C.double(), plain.factor)
    exact_state = exact.init(truth)
    table = tabled.table(table_state, T)
    for t in range(T):
        state = tabled.advance(grads[t], state, found)
        tabled.advance_by(table.numbers_TK[t], grads[t], table_state, by_table)
        exact_state = exact.advance(grads[t].double(), exact_state, truth)
    results[name] = (found, by_table, truth, state, table.after, exact_state)
torch.save(results, sys.argv[1])
"""
RNNPROP = """
import sys, torch
from rnnprop_cli.kernels.cuda import CudaKernel
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.accelerate.learned import advance
from rnnprop_cli.accelerate.tabled import with_table
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec

C, P, T = 2, 21, 3  # a block of coordinates and a part of one, of two cells
start = torch.randn(C, P, generator=torch.Generator().manual_seed(0))
grads = torch.randn(T, C, P, generator=torch.Generator().manual_seed(1))
grads[:, :, :3] = 0
alpha_C = torch.tensor([0.1, 0.02])
results = {}
for name, spec in {"narrow": RNNpropSpec(), "wide": RNNpropSpec(embedding=5, hidden=33, layers=1)}.items():
    rule = spec.build()
    q = rule.start(1, torch.float64, torch.device("cpu"))
    factor = LearnedSpec(weights="any", schedule="cosine").factor(T) if name == "wide" else None
    exact = build_learned(spec.build(), q, Given(alpha_C.double(), T), ReferenceKernel(), factor)
    kernel = CudaKernel()
    fused = build_learned(spec.build(), q.float(), Given(alpha_C, T), kernel, factor)
    tabled = with_table(fused, kernel)
    found, by_table, truth = start.clone(), start.clone(), start.double()
    state, table_state, exact_state = fused.init(found), tabled.init(by_table), exact.init(truth)
    table = tabled.table(table_state, T)
    for t in range(T):
        features = torch.empty(2, C * P)
        rate_C = fused._rate(state)
        state = advance(fused.rule, kernel, fused.meta_params_Q, rate_C, grads[t], state, found, features)
        tabled.advance_by(table.numbers_TK[t], grads[t], table_state, by_table)
        wanted, _ = exact.rule.features(grads[t].double(), exact_state.features, donate=False)
        exact_state = exact.advance(grads[t].double(), exact_state, truth)
    results[name] = [found, by_table, truth], [features, wanted], [state, table_state, exact_state], table.after
torch.save(results, sys.argv[1])
"""


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def interpreted(program, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "found")],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return torch.load(tmp_path / "found", weights_only=False)


@needs_triton
def test_interpreted_step_of_rnnprop_is_the_plain_one_in_one_launch(tmp_path):
    for params, features, states, after in interpreted(RNNPROP, tmp_path).values():
        (found, by_table, truth), (inputs, wanted) = params, features
        # float32 against float64, over three steps
        torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            by_table, found, rtol=1e-6, atol=1e-6
        )  # the divisors are rounded to float32
        torch.testing.assert_close(inputs.double(), wanted, rtol=1e-5, atol=1e-5)
        for state in states[:2]:
            for name in ("m_CP", "v_CP"):
                one, other = getattr(state.features, name), getattr(states[2].features, name)
                torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6)
            for one, other in zip(state.hidden, states[2].hidden, strict=True):
                torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)
        assert after.features.steps == states[2].features.steps == 3


@needs_triton
def test_interpreted_rules_take_the_steps_of_the_plain_ones(tmp_path):
    found = interpreted(PROGRAM, tmp_path)
    assert len(found) == 11
    for name, (params, by_table, truth, state, after, exact) in found.items():
        assert torch.equal(params, by_table), name
        # float32 against float64: some roundings a step; coordinates without a gradient do not move
        torch.testing.assert_close(params.double(), truth, rtol=1e-5, atol=1e-5, msg=name)
        assert state.steps == after.steps == exact.steps
        assert state.scalar == after.scalar == exact.scalar
        for slot, other, expected in zip(state.slots_CP, after.slots_CP, exact.slots_CP, strict=True):
            assert torch.equal(slot, other), name
            torch.testing.assert_close(slot.double(), expected, rtol=1e-5, atol=1e-6, msg=name)
