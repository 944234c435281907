"""What SLURM's engine does when workers, queues and disks fail. Stand-ins, no cluster."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_samples import (
    FakeSlurm,
    Story,
    job,
    jobs,
    outcomes,
    poll_on,
    run_all,
    wanted,
)

from rnnprop_cli.errors import RunError, StoreError, UsageError
from rnnprop_cli.execute import attempts, slurm, slurm_worker
from rnnprop_cli.execute.bench import BatchDone
from rnnprop_cli.execute.dispatch import Dispatched
from rnnprop_cli.execute.slurm import SlurmJobs


def test_a_killed_worker_costs_its_batch_a_second_try(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, expected: dict[str, Any]
) -> None:
    dispatcher = by_slurm()
    fake_slurm.deaths = ["FAILED", "CANCELLED", "TIMEOUT"]
    assert outcomes(run_all(dispatcher, jobs())) == expected
    assert dispatcher.restarts == 2  # who cancelled a worker says nothing about its batch


def test_a_batch_that_kills_every_worker_fails_with_the_end_of_the_log(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "TRIES", 2)
    fake_slurm.deaths = ["OUT_OF_MEMORY"] * 2
    (done,) = run_all(by_slurm(), [job(learned=True, seeds=1)]).done.values()
    (result,) = done.results
    error = result.error or ""
    assert result.status == "failed"
    assert "its SLURM job died 2 times: job " in error
    assert "OUT_OF_MEMORY, exit code 0:9; the end of its log:\nKilled" in error


def test_cancelled_workers_are_replaced_until_it_is_clear_that_none_may_live(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.deaths = ["CANCELLED"] * 30  # of one moment: one misfortune
    story = run_all(by_slurm(), [job()])
    assert [result.status for done in story.done.values() for result in done.results] == ["done"] * 4
    monkeypatch.setattr(attempts, "MOMENT_S", 0.0)
    monkeypatch.setattr(attempts, "MISFORTUNES", 3)
    dispatcher = by_slurm()
    fake_slurm.deaths = ["PREEMPTED"] * 3
    assert len(run_all(dispatcher, [job(8)]).done) == 1
    fake_slurm.deaths = ["PREEMPTED"] * 4
    with pytest.raises(RunError, match=r"lost faster than .* PREEMPTED"):
        run_all(dispatcher, [job(9)])


def test_a_driver_that_was_killed_finds_its_workers_and_their_results(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, expected: dict[str, Any]
) -> None:
    first = by_slurm()
    for each in jobs():
        first.submit(each)
    fake_slurm.works = False
    while not fake_slurm.alive:
        first.poll()
    fake_slurm.works = True
    tasks = dict(fake_slurm.alive)
    fake_slurm.live("")  # two workers have a batch each done when the driver is killed, one batch waits
    assert len(fake_slurm.folder.messages()) == 2
    again = by_slurm()
    story = run_all(again, jobs())
    assert outcomes(story) == expected
    assert story.repeated == again.repeated == again.restarts == 0
    assert fake_slurm.alive == tasks
    assert len(fake_slurm.submitted) == 1
    assert story.said == ["2 workers of before are still there (SLURM job rnnprop-x)"]
    again.close()
    assert not fake_slurm.folder.root.exists()


def test_a_result_that_was_told_but_not_recorded_is_found_by_the_next_driver(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm
) -> None:
    first = by_slurm()
    first.submit(job())
    while not isinstance(told := first.poll(), Dispatched) or not isinstance(told.event, BatchDone):
        pass
    first.close()  # as after a full disk under the database: nobody has released it
    fake_slurm.starts = False
    story = run_all(by_slurm(), [job()], polls=20)
    assert list(story.done.values()) == [told.event]


def test_results_that_arrive_twice_or_late_count_once(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm
) -> None:
    dispatcher = by_slurm()
    fake_slurm.deaths = ["FAILED"]  # as SLURM says, but its process lives and sends its result late
    real = fake_slurm.folder.claims
    dispatcher.submit(job())
    story = Story()
    while not story.done:
        story.take(dispatcher.poll())
        for claim in real.iterdir():
            if claim.name.endswith("-0") and (fake_slurm.folder.jobs / claim.name).exists():
                slurm_worker._run(fake_slurm.folder, claim.name)
    dispatcher.poll()
    dispatcher.finished()
    assert len(story.done) == 1
    assert story.repeated == 0
    assert dispatcher.repeated + dispatcher.restarts >= 1


def test_a_damaged_result_is_computed_again(by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm) -> None:
    dispatcher = by_slurm()
    dispatcher.submit(job())
    damaged = 0
    story = Story()
    for _ in range(200):
        fake_slurm.live("")
        for path in fake_slurm.folder.events.iterdir() if not damaged else ():
            path.write_bytes(path.read_bytes()[:-1])
            damaged += 1
        story.take(dispatcher.poll())
        if story.done:
            break
    assert damaged == 1
    assert dispatcher.restarts == 1
    assert [result.status for done in story.done.values() for result in done.results] == ["done"] * 4


def test_a_refused_node_is_named_and_left_out(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, expected: dict[str, Any]
) -> None:
    fake_slurm.refusals = {"n1": "torch 2.9.0, the driver's 2.13.0"}
    story = run_all(by_slurm(), jobs())
    assert outcomes(story) == expected
    assert story.said == ["node n1 computes nothing here: torch 2.9.0, the driver's 2.13.0"]
    assert fake_slurm.submitted[-1]["exclude"] == "n1"


def test_workers_that_never_say_a_word_end_the_benchmark(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm
) -> None:
    fake_slurm.starts = False
    with pytest.raises(RunError, match=r"do not start: job .*FAILED"):
        run_all(by_slurm(), jobs())


def test_slurms_silence_kills_nothing_until_it_lasts(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.silent = True
    with pytest.raises(RunError, match="SLURM does not answer: no controller"):
        by_slurm()
    fake_slurm.silent = False
    dispatcher = by_slurm()
    dispatcher.submit(job())
    fake_slurm.silent = True
    for _ in range(20):
        assert dispatcher.poll() is None
    assert dispatcher.restarts == 0
    fake_slurm.silent = False
    assert run_all(dispatcher, []).done == {}
    fake_slurm.silent = True
    monkeypatch.setattr(slurm, "SECONDS_OF_SILENCE", -1)
    with pytest.raises(RunError, match="has not answered"):
        poll_on(dispatcher)


def test_a_full_disk_is_said_with_the_place_by_driver_and_worker(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = by_slurm()

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match="bytes are free"):
            dispatcher.submit(job())
        patch.setattr(slurm_worker, "PATIENCE_S", -1)
        with pytest.raises(OSError, match="No space"):
            slurm_worker._write_patiently(fake_slurm.folder, fake_slurm.folder.root / "y", b"")
    assert not list(fake_slurm.folder.root.rglob(".*"))
    dispatcher = by_slurm()
    dispatcher.submit(job())
    fake_slurm.deaths = ["FAILED"]
    monkeypatch.setattr(slurm, "free_bytes", lambda path: 0)
    with pytest.raises(StoreError, match="workers cannot leave their results"):
        poll_on(dispatcher)


def test_a_folder_that_others_may_write_to_is_refused(
    by_slurm: Callable[[], SlurmJobs], fake_slurm: FakeSlurm
) -> None:
    by_slurm()
    fake_slurm.folder.root.chmod(0o770)
    with pytest.raises(UsageError, match="others may write there"):
        by_slurm()
    with pytest.raises(UsageError, match="others may write there"):
        slurm_worker.work(fake_slurm.folder.root)


def test_a_real_worker_checks_itself_works_and_goes_when_there_is_nothing_to_do(
    by_slurm: Callable[[], SlurmJobs],
    fake_slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[str, Any],
) -> None:
    monkeypatch.setattr(slurm_worker, "IDLE_S", 0.05)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    fake_slurm.works = False
    dispatcher = by_slurm()
    dispatcher.submit(job())
    assert slurm_worker.work(fake_slurm.folder.root) == 0
    assert fake_slurm.folder.holders() == {path.name: "77_0" for path in fake_slurm.folder.jobs.iterdir()}
    done = [told.event for told in dispatcher.finished()]
    assert [(r.status, r.final_loss) for each in done for r in each.results] == [
        expected[key] for key in job().keys
    ]
    fake_slurm.folder.write(
        fake_slurm.folder.wanted, replace(wanted(), facts={"torch": "1"}).as_json().encode()
    )
    assert slurm_worker.work(fake_slurm.folder.root) == 0
    assert b"torch" in fake_slurm.folder.read(fake_slurm.folder.workers / "77_0")
