"""What a dry run says of the time comes from timing the optimizees here."""

import time
from pathlib import Path

import pytest
import torch

from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec
from rnnprop_cli.execute import bench
from rnnprop_cli.execute.bench import BatchJob, run_batch
from rnnprop_cli.execute.calibrate import StepSeconds, product_rate, step_seconds
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.plan.cost import evaluations, gradient_flops, optimizer_flops
from rnnprop_cli.runs import estimate
from rnnprop_cli.runs.estimate import estimate_bench
from rnnprop_cli.spec.bench import BenchSpec

ENGINE = Engine("cpu", 1, Path("nowhere"))


def batch_of(optimizee: OptimizeeSpec, horizon: int, phase: str = "final") -> CellBatch:
    problem = Problem(optimizee, horizon, 128, "float32")
    return CellBatch(problem, AdamSpec(), (0.001, 0.002), (0, 1), phase)  # type: ignore[arg-type]


def test_evaluations_are_the_final_loss_and_the_heldout_data() -> None:
    assert evaluations(batch_of(ConvSpec(), 100, "tuning")) == 100
    assert evaluations(batch_of(ConvSpec(), 100)) == pytest.approx(100 + 10_000 / 128)
    assert evaluations(batch_of(ConvSpec(), 10_000, "tuning")) == pytest.approx(55_000 / 128)
    assert evaluations(batch_of(LSTMSpec(), 10_000)) == 10_000


def test_an_optimizee_that_was_not_timed_is_scaled_from_the_most_similar_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[OptimizeeSpec] = []

    def pretended(spec: OptimizeeSpec, minibatch: int, dtype: str, engine: Engine) -> StepSeconds:
        timed.append(spec)
        return StepSeconds(gradient=0.01 * gradient_flops(spec, minibatch) / 1e9, loss=0.0)

    monkeypatch.setattr(estimate, "step_seconds", pretended)
    monkeypatch.setattr(estimate, "product_rate", lambda engine, dtype: 1e30)
    monkeypatch.setattr(estimate, "MEASURING_S", 0.0)  # one of each kind only
    spec = BenchSpec(
        name="e",
        calibrated=False,
        seeds=3,
        horizon=10,
        optimizees=[MLPSpec(dataset="digits"), MLPSpec(dataset="digits", hidden=40), ConvSpec()],
        optimizers=[AdamSpec(lr=0.01)],
    )
    rows = estimate_bench(spec, ENGINE)
    assert timed == [ConvSpec(), MLPSpec(dataset="digits", hidden=40)]  # those with the most work
    for row, optimizee in zip(rows, spec.optimizees, strict=True):
        cell = 10 * 0.01 * gradient_flops(optimizee, spec.minibatch) / 1e9
        assert row.seconds == pytest.approx(row.cells * cell)


def test_an_optimizee_is_timed_without_its_data() -> None:
    step = step_seconds(ConvSpec(dataset="cifar10", layout="c-p-f"), 4, "float32", ENGINE)
    assert 0 < step.loss < step.gradient


@pytest.mark.slow
@pytest.mark.parametrize("optimizee", [ConvSpec(), ConvSpec(layout="c-c-p-c-c-p-f-f"), LSTMSpec()])
def test_the_estimate_is_within_a_factor_of_one_and_a_half(
    monkeypatch: pytest.MonkeyPatch, optimizee: OptimizeeSpec
) -> None:
    """In processor time of one thread, which other load changes least."""
    from rnnprop_cli.execute.calibrate import _images

    monkeypatch.setattr(time, "monotonic", time.process_time)
    monkeypatch.setattr(bench, "_dataset", lambda name, data_dir, sha256: name and _images(name, None))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batch = batch_of(optimizee, 30 if isinstance(optimizee, ConvSpec) else 200, "tuning")
        clock = estimate._Clock([batch], ENGINE)
        expected = clock.seconds(batch) + optimizer_flops(batch) / product_rate(ENGINE, "float32")
        started = time.process_time()
        for _ in run_batch(BatchJob(batch, tuple("abcd"), None, ENGINE, 1000)):
            pass
        assert 1 / 1.5 < expected / (time.process_time() - started) < 1.5
    finally:
        torch.set_num_threads(before)
