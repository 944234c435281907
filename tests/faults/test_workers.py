"""The local engine: workers that die, poison cells, a driver that dies, and the same table with any number of slots."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH,
    BENCH_COMMAND,
    LARGEST_BATCH,
    TALLY,
    Nursery,
    children_of,
    committed,
    is_alive,
    kill,
    prepare,
    running_cells,
    statuses,
    table,
    wait_until,
)
from faults import VARIABLE

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.errors import RunError
from rnnprop_cli.execute import attempts, worker
from rnnprop_cli.execute.bench import BatchDone, BatchJob
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.dispatch import Dispatched, alone, halves
from rnnprop_cli.execute.local import LocalSlots
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.seeds import tuning_seeds
from rnnprop_cli.store.reader import Reader

SLOTS = (*BENCH_COMMAND, "--slots", "2")


@pytest.fixture
def faulty_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that this process starts obey the variable."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "worker_site"))


def job(seeds: int = 2, rates: int = 2) -> BatchJob:
    """Cells of tuned SGD around its centre; the first one is what `faults.poison` looks for."""
    optimizer = SGDSpec()
    batch = CellBatch(
        Problem(MLPSpec(dataset="digits", hidden=2), 5, 4, "float32"),
        optimizer,
        tuple(2.0 ** (-(optimizer.centre_k - 1 + k) / 2) for k in range(rates)),
        tuning_seeds(0, range(seeds)),
        "tuning",
    )
    keys = tuple(f"{cell.seed}/{cell.lr}" for cell in batch.cells())
    return BatchJob(batch, keys, None, Engine("cpu", 1, None, "reference"), 100)


def run_all(slots: LocalSlots, jobs: list[BatchJob]) -> dict[tuple[str, ...], BatchDone]:
    for each in jobs:
        slots.submit(each)
    done: dict[tuple[str, ...], BatchDone] = {}
    while len(done) < len(jobs):
        told = slots.poll()
        if isinstance(told, Dispatched) and isinstance(told.event, BatchDone):
            assert told.job.keys not in done  # once
            done[told.job.keys] = told.event
    return done


def poll_for_ever(slots: LocalSlots) -> None:
    while True:
        slots.poll()


@pytest.fixture
def one_slot() -> Iterator[LocalSlots]:
    slots = LocalSlots(1)
    yield slots
    slots.close()


def test_a_job_falls_into_halves_and_single_cells_with_their_own_keys() -> None:
    whole = job(seeds=3, rates=2)
    for parts, sizes in ((halves(whole), [4, 2]), (alone(whole), [1] * 6), (halves(alone(whole)[0]), [1])):
        assert [len(part.keys) for part in parts] == sizes
        for part in parts:
            assert part.keys == tuple(f"{cell.seed}/{cell.lr}" for cell in part.batch.cells())
    assert [key for part in halves(whole) for key in part.keys] == list(whole.keys)
    assert halves(job(seeds=1, rates=3))[1].batch.learning_rates == job(rates=3).batch.learning_rates[2:]


@pytest.mark.parametrize("tries", [1, pytest.param(attempts.TRIES, marks=pytest.mark.slow)])
def test_a_poison_cell_fails_alone_with_the_reason(
    one_slot: LocalSlots,
    tries: int,
    monkeypatch: pytest.MonkeyPatch,
    faulty_workers: None,
) -> None:
    monkeypatch.setenv(VARIABLE, "poison")
    monkeypatch.setattr(attempts, "TRIES", tries)
    monkeypatch.setattr(attempts, "TRIES_ALONE", min(tries, attempts.TRIES_ALONE))
    poisoned, harmless = job(), job(seeds=1, rates=1)
    harmless = BatchJob(
        CellBatch(harmless.batch.problem, SGDSpec(lr=0.5), (0.5,), (1,), "final"),
        ("harmless",),
        None,
        harmless.engine,
        100,
    )
    done = run_all(one_slot, [poisoned, harmless])
    assert [result.status for result in done[poisoned.keys].results] == ["failed", "done", "done", "done"]
    assert "killed by SIGKILL" in (done[poisoned.keys].results[0].error or "")
    assert "this cell alone" in (done[poisoned.keys].results[0].error or "")
    assert done["harmless",].results[0].status == "done"
    assert one_slot.restarts == tries + attempts.TRIES_ALONE  # no more restarts than deaths
    TALLY["workers that a poison cell killed"] += one_slot.restarts


def test_a_killed_worker_costs_its_own_batch_a_second_try_and_nothing_else(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = nursery.start(folder, *SLOTS, faults="slow")
    wait_until(lambda: running_cells(folder) > 0)
    draw, killed = random.Random(3), 0
    for _ in range(2):
        time.sleep(draw.uniform(0.1, 0.5))
        before = committed(folder)
        victims = children_of(command.pid)
        if victims:
            kill([draw.choice(victims)])
            killed += 1
    assert command.wait() == 0, command.said
    assert killed == 2
    TALLY["kill -9 of a worker"] += killed
    now = committed(folder)
    assert {key: now[key] for key in before} == before
    assert table(folder) == undisturbed_table


def test_no_process_is_left_after_a_kill_of_the_driver_and_the_table_is_the_same(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = nursery.start(folder, *SLOTS, faults="slow")
    wait_until(lambda: running_cells(folder) > 0 and len(children_of(command.pid)) == 2)
    time.sleep(0.3)
    workers = children_of(command.pid)
    command.send(signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    TALLY["kill -9 of a driver of two slots"] += 1
    wait_until(lambda: not any(map(is_alive, workers)), seconds=5)
    before = committed(folder)
    assert statuses(folder).count("running") <= 2 * LARGEST_BATCH  # a batch a slot
    again = nursery.run(folder, *BENCH_COMMAND)  # one slot goes on where two were
    assert again.code == 0, again.said
    now = committed(folder)
    assert {key: now[key] for key in before} == before
    assert table(folder) == undisturbed_table


@pytest.mark.slow
def test_drivers_of_two_slots_killed_at_seeded_moments_lose_and_repeat_nothing(
    nursery: Nursery, tmp_path: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    draw = random.Random(9)
    for number in range(6):
        folder = prepare(tmp_path / str(number))
        before: dict[str, tuple[str, str | None, float | None]] = {}
        for _ in range(3):
            command = nursery.start(folder, *SLOTS, faults="slow")
            time.sleep(draw.uniform(0.5, 9))
            workers = children_of(command.pid)
            command.send(signal.SIGKILL)
            TALLY["kill -9 of a driver of two slots"] += command.wait() == -signal.SIGKILL
            wait_until(lambda workers=workers: not any(map(is_alive, workers)), seconds=5)
            now = committed(folder)
            assert {key: now[key] for key in before} == before
            before = now
            assert (
                statuses(folder).count("running") if (folder / "a.db").exists() else 0
            ) <= 2 * LARGEST_BATCH
        assert nursery.run(folder, *SLOTS).code == 0
        now = committed(folder)
        assert {key: now[key] for key in before} == before
        assert table(folder) == undisturbed_table


@pytest.mark.slow
def test_workers_killed_at_seeded_moments_change_nothing(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    # Four kills of one batch would have its cells tried alone, whose last bits may differ.
    command = nursery.start(folder, *SLOTS, faults="slow patient")
    draw, killed = random.Random(4), 0
    while killed < 15 and is_alive(command.pid):  # twenty starts in a row that are killed would end it
        time.sleep(draw.uniform(0.3, 2.5))
        victims = children_of(command.pid)
        if victims:
            kill([draw.choice(victims)])
            killed += 1
    assert command.wait() == 0, command.said
    assert killed >= 5
    TALLY["kill -9 of a worker"] += killed
    assert table(folder) == undisturbed_table


def test_workers_that_do_not_start_end_the_benchmark_with_the_way_out(
    one_slot: LocalSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BOOT", "raise SystemExit(7)")
    one_slot.submit(job())
    with pytest.raises(RunError, match=r"exit status 7.*--slots 1"):
        poll_for_ever(one_slot)


def test_an_error_in_a_worker_reaches_the_driver_as_what_it_is(one_slot: LocalSlots) -> None:
    from dataclasses import replace

    from rnnprop_cli.errors import DataError

    asked = job()
    mnist = replace(asked.batch.problem, optimizee=MLPSpec(dataset="mnist", hidden=2))
    engine = Engine("cpu", 1, Path("/nowhere"), "reference")
    one_slot.submit(replace(asked, batch=replace(asked.batch, problem=mnist), engine=engine))
    with pytest.raises(DataError, match="rnnprop data fetch mnist"):
        poll_for_ever(one_slot)


def test_closing_leaves_no_process(one_slot: LocalSlots) -> None:
    one_slot.submit(job())
    while one_slot.poll() is None:
        pass
    workers = [slot.process.pid for slot in one_slot._running]
    one_slot.close()
    assert workers
    assert not any(map(is_alive, workers))


def test_a_failing_cell_of_one_label_is_not_run_again_under_another(nursery: Nursery, tmp_path: Path) -> None:
    twice = BENCH.replace('kind = "momentum"\nlr = 0.1', 'kind = "sgd"\nlr = 0.5\nlabel = "a"').replace(
        "[tuning]", '[[optimizers]]\nkind = "sgd"\nlr = 0.5\nlabel = "b"\n[tuning]'
    )
    folder = prepare(tmp_path / "twice", bench=twice)
    command = nursery.run(folder, *BENCH_COMMAND, "--only", "*x20/[ab]", "--slots", "2")
    assert command.code == 0, command.said
    assert statuses(folder) == ["done"] * 2
    with Reader.open(folder / "a.db") as reader:
        assert {run.facts.optimizer for run in reader.runs(1)} == {"a"}
