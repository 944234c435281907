"""Classical rules as a Triton program, interpreted in a process of its own: the steps are those of the plain rules."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

PROGRAM = """
import sys, torch
from rnnprop_cli.optimizers.baselines import *
from rnnprop_cli.optimizers.baselines import Baseline
from rnnprop_cli.optimizers.schedules import build_schedule
from rnnprop_cli.optimizers.tabled import TabledBaseline

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
    tabled = TabledBaseline(plain)
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


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_interpreted_rules_take_the_steps_of_the_plain_ones(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "found")],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = torch.load(tmp_path / "found", weights_only=False)
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
