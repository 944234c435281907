"""Cells that do not fit, blow up or are measured under a clock that jumps: results like any other, and alone."""

from pathlib import Path

import pytest
from fault_tools import BENCH, BENCH_COMMAND, Nursery, committed, prepare, table

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.execute import dispatch
from rnnprop_cli.execute.bench import BatchDone, BatchJob, run_batch
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.dispatch import is_out_of_memory, run_job
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.records import CellResult
from rnnprop_cli.store.reader import Reader


def by_optimizer(folder: Path) -> dict[str, list[CellResult]]:
    with Reader.open(folder / "a.db") as reader:
        found: dict[str, list[CellResult]] = {}
        for run in reader.runs(1):
            found.setdefault(run.facts.optimizer, []).append(run.result)
    return found


def test_a_batch_that_does_not_fit_is_halved_until_it_does(nursery: Nursery, folder: Path) -> None:
    # Six tuning cells do not fit, nor do halves of three.
    command = nursery.run(folder, *BENCH_COMMAND, "--only", "*x20/adam", faults="no_memory_for_several")
    assert command.code == 0, command.said
    assert {result.status for result in by_optimizer(folder)["adam"]} == {"done"}


def test_a_half_that_still_does_not_fit_fails_with_the_reason_and_the_others_are_fine(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = nursery.run(folder, *BENCH_COMMAND, faults="no_memory_for_seed_0")
    assert command.code == 1, command.said
    assert "adam x20 (1 of 2 cells) failed: OutOfMemoryError" in command.said
    results = by_optimizer(folder)
    assert {result.status for name in ("sgd", "momentum") for result in results[name]} == {"done"}
    failed = [result for result in results["adam"] if result.status == "failed"]
    assert len(failed) == 4  # one seed, final and default, of two horizons
    assert all("also in a batch of 1" in (result.error or "") for result in failed)
    again = nursery.run(folder, *BENCH_COMMAND, "--retry-failed")
    assert again.code == 0
    # Batches of other sizes may differ in the last bits, so only what ran whole is compared.
    same = [key for key, row in table(folder).items() if row == undisturbed_table[key]]
    assert len(same) >= len(undisturbed_table) - 8


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def batch_job(optimizer: SGDSpec, rates: tuple[float, ...]) -> BatchJob:
    problem = Problem(MLPSpec(dataset="digits", hidden=3, activation="relu"), 12, 8, "float32")
    batch = CellBatch(problem, optimizer, rates, (0, 1), "final")
    keys = tuple(f"{cell.seed}/{cell.lr}" for cell in batch.cells())
    return BatchJob(batch, keys, None, Engine("cpu", 1, None, "reference"), 100)


@pytest.mark.parametrize(("most", "expected"), [(2, [4, 2, 2]), (1, [4, 2, 1, 1, 2, 1, 1])])
def test_the_cpu_allocators_own_error_splits_the_batch(
    most: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    sizes = []

    def run(job: BatchJob) -> dispatch.BatchEvents:
        sizes.append(len(job.keys))
        if len(job.keys) > most:
            torch.empty(1 << 60, dtype=torch.uint8)  # the real thing
        yield from run_batch(job)

    monkeypatch.setattr("rnnprop_cli.execute.bench.run_batch", run)
    job = batch_job(SGDSpec(), (0.1, 0.2))
    *_, last = run_job(job)
    assert isinstance(last, BatchDone)
    assert sizes == expected
    assert [result.key for result in last.results] == list(job.keys)
    assert {result.status for result in last.results} == {"done"}


def test_a_lost_gpu_costs_no_later_batch_anything(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = nursery.run(folder, *BENCH_COMMAND, faults="lost_gpu_once")
    assert command.code == 0, command.said
    assert table(folder) == undisturbed_table


@pytest.mark.parametrize("slots", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_batch_that_loses_the_gpu_twice_fails_alone_with_the_reason(
    nursery: Nursery, folder: Path, slots: str
) -> None:
    command = nursery.run(folder, *BENCH_COMMAND, "--slots", slots, "--only", "*x20/*", faults="lost_gpu")
    assert command.code == 1, command.said
    results = by_optimizer(folder)
    assert {result.status for name in ("adam", "momentum") for result in results[name]} == {"done"}
    failed = [result for result in results["sgd"] if result.status == "failed"]
    assert len(failed) == 6
    (reason,) = {result.error for result in failed}
    assert "an illegal memory access" in (reason or "")
    assert "also in a fresh process" in (reason or "")


@pytest.mark.gpu
def test_a_batch_that_does_not_fit_the_device_runs_in_halves_there() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    problem = Problem(MLPSpec(dataset="digits", hidden=4000), 3, 2000, "float32")
    batch = CellBatch(problem, SGDSpec(), (0.1,), tuple(range(16)), "final")
    job = BatchJob(batch, tuple(map(str, batch.seeds)), None, Engine("cuda", 1, None, "reference"), 100)

    def results(of: BatchJob) -> tuple[CellResult, ...]:
        torch.cuda.empty_cache()
        *_, last = run_job(of)
        assert isinstance(last, BatchDone)
        return last.results

    whole, half = (results(of)[0].peak_bytes or 0 for of in (job, dispatch.halves(job)[0]))
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction((0.4 * whole + 0.6 * half) / total)
        assert {result.status for result in results(job)} == {"done"}
        torch.cuda.set_per_process_memory_fraction(0.5 * half / total)
        assert {result.status for result in results(job)} == {"failed"}
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert {result.status for result in results(job)} == {"done"}


@pytest.mark.parametrize("wild", [1e30, 3e38])
def test_a_cell_that_blows_up_changes_no_bit_of_its_neighbours(wild: float) -> None:
    def outcome(rates: tuple[float, ...]) -> dict[str, tuple[object, ...]]:
        curves: dict[str, bytes] = {}
        for event in run_job(batch_job(SGDSpec(), rates)):
            if isinstance(event, BatchDone):
                return {
                    result.key: (result.status, result.final_loss, result.first_bad_step, curves[result.key])
                    for result in event.results
                    if not result.key.endswith(str(wild))
                } | {"wild": tuple(r.status for r in event.results if r.key.endswith(str(wild)))}
            for curve in event.curves:
                curves[curve.key] = curves.get(curve.key, b"") + curve.values.tobytes()
        raise AssertionError("no result")

    tame, mixed = outcome((0.1, 0.5, 0.2)), outcome((0.1, wild, 0.2))
    assert mixed["wild"] == ("diverged", "diverged")
    assert {key: row for key, row in mixed.items() if key != "wild"} == {
        key: row for key, row in tame.items() if key != "wild" and not key.endswith("/0.5")
    }


@pytest.mark.parametrize("rate", ["1e30", "1e38", "1e300"])
def test_an_exploding_learning_rate_is_a_result_and_no_failure(
    nursery: Nursery, tmp_path: Path, rate: str
) -> None:
    text = BENCH.replace("lr = 0.1", f"lr = {rate}").replace("hidden = 2", 'hidden = 20, activation = "relu"')
    folder = prepare(tmp_path / "wild", bench=text)
    command = nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum")
    assert command.code == 0, command.said
    results = by_optimizer(folder)["momentum"]
    assert {result.status for result in results} == {"diverged"}
    assert all(result.first_bad_step is not None and 0 < result.first_bad_step <= 40 for result in results)
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum").said.count("0 run now") == 1


def test_a_clock_that_jumps_by_days_changes_nothing(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    assert nursery.run(folder, *BENCH_COMMAND, faults="jumping_clock").code == 0
    before = committed(folder)
    assert all(elapsed is not None and 0 <= elapsed < 60 for _, _, elapsed in before.values())
    again = nursery.run(folder, *BENCH_COMMAND, faults="jumping_clock")
    assert "0 run now" in again.said
    assert committed(folder) == before
    assert table(folder) == undisturbed_table
    assert nursery.run(folder, "train", "--spec", "train.toml", faults="jumping_clock").code == 0
    with Reader.open(folder / "a.db") as reader:
        (run,) = reader.runs(reader.find_experiment("tiny").id)
        assert run.result.elapsed_s is not None
        assert 0 <= run.result.elapsed_s < 60
        assert (reader.curve(run.id, "meta_iterations_per_s")[1] > 0).all()
