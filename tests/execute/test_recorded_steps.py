"""Recorded blocks of steps give what plain steps give. The recorder of the tests repeats the work by doing it, and the
rules' program is stood in for by PyTorch; the program itself is interpreted in tests/optimizers/test_tabled.py."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.accelerate.table import Table, Tabled
from rnnprop_cli.accelerate.tabled import TabledBaseline, with_table
from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.base import Optimizee, OptimizeeSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Baseline, Given, Rule, RuleState
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.optimizers.lion import Lion
from rnnprop_cli.components.optimizers.muon import Muon
from rnnprop_cli.components.optimizers.nadam import NAdam
from rnnprop_cli.components.optimizers.schedule_free import ScheduleFreeAdamW
from rnnprop_cli.components.optimizers.schedules import build_schedule
from rnnprop_cli.components.optimizers.sgd import SGD
from rnnprop_cli.execute.recorded_steps import BLOCK, MIN_BLOCKS, Steps
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.meta.graphed import record_nothing
from rnnprop_cli.numerics.layout import MatrixBlock

CPU = torch.device("cpu")
HORIZON = 5 * BLOCK + 7
RATES = (0.01, 0.02)
OPTIMIZEES: dict[str, OptimizeeSpec] = {
    "mlp": MLPSpec(dataset="digits", hidden=3),
    "lstm": LSTMSpec(hidden=3, length=4),
    "quadratic": QuadraticSpec(dimension=4),
}


class Table64(TabledBaseline):
    """Takes the steps that a row of the table says, in PyTorch and float64: which step it is stands there alone."""

    def __init__(self, plain: Baseline) -> None:
        self.plain, self.rule = plain, ""

    def table(self, state: RuleState, steps: int) -> Table:
        found = super().table(state, steps)
        return found._replace(numbers_TK=torch.arange(state.steps, state.steps + steps).double()[:, None])

    def advance_by(self, numbers_K: Tensor, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> None:
        steps = int(numbers_K[0])
        scalar = 1.0
        if isinstance(self.plain.rule, NAdam):
            for t in range(1, steps + 1):
                scalar *= self.plain.rule.momenta(t)[0]
        self.plain.advance(grads_CP, RuleState(steps, state.slots_CP, scalar), params_CP)


def optimizee(name: str) -> Optimizee:
    spec = OPTIMIZEES[name]
    dataset = load_dataset("digits", None) if name == "mlp" else None
    return build_optimizee(spec, dataset, (0, 1), 8, torch.float64, CPU)


def baseline(rule: Rule, rates: tuple[float, ...] = (0.1, 0.2)) -> Baseline:
    lr_C = torch.tensor(rates * 2, dtype=torch.float64)
    return Baseline(rule, lr_C, build_schedule("cosine", HORIZON, 0.0))


def run(
    name: str, optimizer: Any, record: object, horizon: int = HORIZON
) -> tuple[Tensor, Tensor, Tensor, Steps]:
    problem = optimizee(name)
    params_CP = problem.init_params().repeat_interleave(2, dim=0)
    steps = Steps(problem, optimizer, params_CP, record)  # type: ignore[arg-type]
    losses_TC = torch.cat(list(steps.take(horizon)))
    return losses_TC, params_CP, problem.mean_loss(params_CP, horizon), steps


@pytest.mark.parametrize("name", OPTIMIZEES)
@pytest.mark.parametrize("rule", [SGD(), Adam(), NAdam()], ids=["sgd", "adam", "nadam"])
def test_recorded_blocks_are_the_plain_steps(name: str, rule: Rule) -> None:
    plain = run(name, baseline(rule), None)
    recorded = run(name, Table64(baseline(rule)), record_nothing)
    for found, truth in zip(
        recorded[:3], plain[:3], strict=True
    ):  # the final loss too reads every step's data
        torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)
    assert recorded[3].notice is None
    assert recorded[3].state.steps == plain[3].state.steps == HORIZON
    assert recorded[3].state.scalar == plain[3].state.scalar


def matrices(name: str) -> tuple[MatrixBlock, ...]:
    return tuple(optimizee(name).matrices)


@pytest.mark.parametrize("name", OPTIMIZEES)
@pytest.mark.parametrize("rule", ["adam", "lion", "muon"])
def test_rules_without_a_program_of_ours_are_recorded_by_what_their_steps_read(name: str, rule: str) -> None:
    made: Rule = {
        "adam": Adam(weight_decay=0.1),
        "lion": Lion(weight_decay=0.1),
        "muon": Muon(matrices(name), weight_decay=0.1),
    }[rule]
    plain = run(name, baseline(made, RATES), None)
    recorded = run(name, with_table(baseline(made, RATES), ReferenceKernel()), record_nothing)
    for found, truth in zip(recorded[:3], plain[:3], strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)
    assert recorded[3].notice is None
    assert recorded[3].state.steps == plain[3].state.steps == HORIZON


@pytest.mark.parametrize("warmup_steps", [0, 3 * BLOCK])
def test_schedule_free_steps_are_recorded_with_their_averages(warmup_steps: int) -> None:
    lr_C = torch.tensor(RATES * 2, dtype=torch.float64)

    def made() -> ScheduleFreeAdamW:
        return ScheduleFreeAdamW(lr_C, warmup_steps, weight_decay=0.1)

    plain = run("mlp", made(), None)
    recorded = run("mlp", with_table(made(), ReferenceKernel()), record_nothing)
    for found, truth in zip(recorded[:3], plain[:3], strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)
    assert recorded[3].notice is None
    ends = [each[3].state for each in (recorded, plain)]
    assert ends[0][0] == ends[1][0] == HORIZON
    assert ends[0][3:] == ends[1][3:]  # the weights of the averages
    torch.testing.assert_close(ends[0].z_CP, ends[1].z_CP, rtol=1e-9, atol=1e-9)


class NoNumbers(TorchDispatchMode):
    """No tensor is made a number: on a GPU that waits for the device and ends a recording."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", ["lion", "muon", "schedule-free"])
def test_nothing_of_a_step_by_a_row_is_read_by_the_host(rule: str) -> None:
    lr_C = torch.tensor(RATES, dtype=torch.float64)
    plain: Any = ScheduleFreeAdamW(lr_C, 5, weight_decay=0.1)
    if rule != "schedule-free":
        plain = Baseline(
            Lion(weight_decay=0.1) if rule == "lion" else Muon([MatrixBlock(1, 2, 3)], 0.9, 0.1), lr_C
        )
    optimizer: Any = with_table(plain, ReferenceKernel())
    params_CP = torch.ones(2, 9, dtype=torch.float64)
    state = optimizer.init(params_CP)
    row_K = optimizer.table(state, 1).numbers_TK[0]
    with NoNumbers():
        optimizer.advance_by(row_K, params_CP.clone(), state, params_CP)
    assert params_CP.max() < 1


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("spec", [RNNpropSpec(), DMSpec(hidden=5)], ids=["rnnprop", "dm"])
def test_learned_optimizers_are_recorded_too(
    spec: RNNpropSpec | DMSpec, schedule: Literal["constant", "cosine"]
) -> None:
    rule = spec.build()
    meta_params_Q = rule.start(1, torch.float64, CPU)
    rate_C = torch.tensor([0.1, 0.01, 0.1, 0.01], dtype=torch.float64)

    def learned() -> Any:
        factor = LearnedSpec(weights="any", schedule=schedule).factor(HORIZON)
        return build_learned(spec.build(), meta_params_Q, Given(rate_C, HORIZON), ReferenceKernel(), factor)

    plain, recorded = (
        run("mlp", learned(), None),
        run("mlp", with_table(learned(), ReferenceKernel()), record_nothing),
    )
    assert recorded[3].notice is None
    for found, truth in zip(recorded[:3], plain[:3], strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)
    ends = [each[3].state.features for each in (recorded, plain)]
    assert [getattr(end, "steps", HORIZON) for end in ends] == [HORIZON, HORIZON]


def test_a_diverged_cell_does_not_keep_the_others_from_being_recorded() -> None:
    wild = (0.1, float("inf"))
    plain, recorded = (
        run("mlp", baseline(SGD(), wild), None),
        run("mlp", Table64(baseline(SGD(), wild)), record_nothing),
    )
    assert recorded[3].notice is None
    assert not plain[0].isfinite().all()
    torch.testing.assert_close(recorded[0], plain[0], equal_nan=True)


def refuse(work: Callable[[], None]) -> Callable[[], None]:
    work()  # half done when it is refused
    raise RuntimeError("capture is not permitted\nmore lines")


def forget(work: Callable[[], None]) -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize(("record", "reason"), [(refuse, "not permitted"), (forget, "a replay did not give")])
def test_blocks_that_cannot_be_recorded_are_taken_step_by_step(record: object, reason: str) -> None:
    plain, fallen = run("mlp", baseline(Adam()), None), run("mlp", Table64(baseline(Adam())), record)
    for found, truth in zip(fallen[:3], plain[:3], strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)
    assert reason in (fallen[3].notice or "")
    assert "\n" not in (fallen[3].notice or "")
    assert fallen[3].state.steps == HORIZON


def test_short_runs_and_rules_that_count_in_python_are_not_recorded() -> None:
    def never(work: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError

    assert run("mlp", Table64(baseline(Adam())), never, MIN_BLOCKS * BLOCK - 1)[3].notice is None
    assert run("mlp", baseline(Adam()), never)[3].notice is None
    assert not isinstance(with_table(baseline(NAdam()), ReferenceKernel()), Tabled)


def test_the_next_block_is_drawn_before_this_one_is_read() -> None:
    """So the device never waits for the minibatches of the next block."""
    order = []
    problem = optimizee("mlp")
    real = problem.tensors
    problem.tensors = lambda first, steps: (order.append(f"draw {first}"), real(first, steps))[1]  # type: ignore[method-assign]
    params_CP = problem.init_params().repeat_interleave(2, dim=0)
    for losses_TC in Steps(problem, Table64(baseline(Adam())), params_CP, record_nothing).take(4 * BLOCK):
        order.append(f"read {len(losses_TC)}")
    drawn = [f"draw {first}" for first in (BLOCK, 2 * BLOCK, 3 * BLOCK)]
    read = f"read {BLOCK}"
    assert order[-6:] == [drawn[0], drawn[1], read, drawn[2], read, read]
