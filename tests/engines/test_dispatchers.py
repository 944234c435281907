"""What holds for every engine, and what each does when machines, queues and disks fail. Stand-ins, no cluster."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_samples import ENGINE, FakeCluster, FakeSlurm, Story, job, run_all, wanted

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.errors import DataError, RunError, StoreError, UsageError
from rnnprop_cli.execute import attempts, ray_tasks, slurm, slurm_worker
from rnnprop_cli.execute.bench import BatchDone
from rnnprop_cli.execute.dispatch import Dispatched, Dispatcher
from rnnprop_cli.execute.in_process import InProcess
from rnnprop_cli.execute.ray_cluster import DiedError
from rnnprop_cli.execute.ray_tasks import RayTasks
from rnnprop_cli.execute.slurm import SlurmJobs
from rnnprop_cli.spec.engine import RayEngine

Make = Callable[[], Dispatcher]


@pytest.fixture
def by_slurm(fake_slurm: FakeSlurm) -> Callable[[], SlurmJobs]:
    return lambda: SlurmJobs("rnnprop-x", fake_slurm.folder.root, wanted(), 2, 1, {})


@pytest.fixture
def by_ray(fake_cluster: FakeCluster) -> Callable[[], RayTasks]:
    return lambda: RayTasks(fake_cluster, RayEngine(slots=2), wanted())  # type: ignore[arg-type]


@pytest.fixture(params=["in_process", "slurm", "ray"])
def make(request: pytest.FixtureRequest, by_slurm: Make, by_ray: Make) -> Make:
    return {"in_process": InProcess, "slurm": by_slurm, "ray": by_ray}[request.param]


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[str, float | None]]:
    """What the cells come to, one after the other in this process."""
    return outcomes(*(run_all(InProcess(), [each]) for each in jobs()))


def jobs() -> list[Any]:
    return [job(0), job(2), job(0, learned=True)]


def outcomes(*stories: Story) -> dict[str, tuple[str, float | None]]:
    return {
        result.key: (result.status, result.final_loss)
        for story in stories
        for done in story.done.values()
        for result in done.results
    }


def poll_on(dispatcher: Dispatcher) -> None:
    for _ in range(50):
        dispatcher.poll()


def one_after_the_other(dispatcher: Dispatcher) -> Iterator[Story]:
    for each in jobs():
        yield run_all(dispatcher, [each])


def test_every_batch_comes_back_once_whole_and_with_the_same_numbers(
    make: Make, expected: dict[str, Any]
) -> None:
    dispatcher = make()
    stories = (
        [run_all(dispatcher, jobs())] if dispatcher.window > 1 else list(one_after_the_other(dispatcher))
    )
    dispatcher.close()
    assert outcomes(*stories) == expected
    for story in stories:
        assert story.repeated == 0
        assert all(steps == 5 for steps in story.curves.values())
        assert {result.node for done in story.done.values() for result in done.results} == {
            os.uname().nodename
        }
    assert {key for story in stories for key in story.curves} == expected.keys()


def test_what_is_done_is_told_at_the_end_without_waiting(make: Make) -> None:
    dispatcher = make()
    dispatcher.submit(job())
    assert all(isinstance(each.event, BatchDone) for each in dispatcher.finished())
    dispatcher.close()


def test_an_error_that_is_no_result_reaches_the_driver_as_what_it_is(make: Make) -> None:
    asked = job()
    mnist = replace(asked.batch.problem, optimizee=MLPSpec(dataset="mnist", hidden=2))
    engine = replace(ENGINE, data_dir=Path("/nowhere"))
    dispatcher = make()
    dispatcher.submit(replace(asked, batch=replace(asked.batch, problem=mnist), engine=engine))
    with pytest.raises(DataError, match="rnnprop data fetch mnist"):
        poll_on(dispatcher)


# SLURM


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


# Ray


def test_deaths_of_workers_and_machines_are_tried_again(
    by_ray: Callable[[], RayTasks], fake_cluster: FakeCluster, expected: dict[str, Any]
) -> None:
    fake_cluster.deaths = [DiedError("killed", False), DiedError("node died", True), DiedError("oom", False)]
    dispatcher = by_ray()
    assert outcomes(run_all(dispatcher, jobs())) == expected
    assert dispatcher.restarts == 2
    assert fake_cluster.stored == 1  # the weights, once
    dispatcher.close()
    assert fake_cluster.left


def test_machines_that_go_on_dying_end_the_run_and_fail_no_cell(
    by_ray: Callable[[], RayTasks], fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOMENT_S", 0.0)
    fake_cluster.deaths = [DiedError("node died", True)] * 50
    with pytest.raises(RunError, match=r"lost faster than they finish a batch .node died"):
        run_all(by_ray(), jobs())


def test_a_poison_cell_fails_alone_by_ray(
    by_ray: Callable[[], RayTasks], fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "TRIES", 1)
    monkeypatch.setattr(attempts, "TRIES_ALONE", 1)
    fake_cluster.deaths = [DiedError("SIGKILL", False)] * 2
    (done,) = run_all(by_ray(), [job(seeds=1)]).done.values()
    assert sorted(result.status for result in done.results) == ["done", "failed"]
    assert any(
        "its Ray worker died 1 times with this cell alone: SIGKILL" in (r.error or "") for r in done.results
    )


def test_refused_nodes_of_a_ray_cluster_get_no_batch(
    by_ray: Callable[[], RayTasks], fake_cluster: FakeCluster, expected: dict[str, Any]
) -> None:
    fake_cluster.answers |= {
        "id2": ("n2", "torch 2.9.0, the driver's 2.13.0"),
        "id3": "No module named 'rnnprop_cli'",
    }
    story = run_all(by_ray(), jobs())
    assert outcomes(story) == expected
    assert story.said == [
        "node n2 computes nothing here: torch 2.9.0, the driver's 2.13.0",
        "node id3 computes nothing here: No module named 'rnnprop_cli'",
    ]
    assert all(sorted(each) == ["id2", "id3"] for each in fake_cluster.without)


def test_a_cluster_of_other_machines_alone_is_refused(fake_cluster: FakeCluster) -> None:
    fake_cluster.answers = {"id1": ("n1", "instructions avx2, the driver's avx512")}
    with pytest.raises(RunError, match=r"no node of the Ray cluster.*n1: instructions avx2"):
        RayTasks(fake_cluster, RayEngine(), wanted())  # type: ignore[arg-type]


def test_a_node_that_came_later_is_checked_before_its_first_batch(
    fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, expected: dict[str, Any]
) -> None:
    dispatcher = RayTasks(fake_cluster, RayEngine(slots=1), wanted())  # type: ignore[arg-type]
    fake_cluster.answers["id9"] = ("n9", "torch 1")
    refusals = ["n9 is another"]
    real = ray_tasks.ray_node._refusal
    monkeypatch.setattr(
        ray_tasks.ray_node, "_refusal", lambda *asked: refusals.pop() if refusals else real(*asked)
    )
    story = run_all(dispatcher, jobs())
    assert outcomes(story) == expected
    assert story.said == ["node n9 computes nothing here: torch 1"]
    assert fake_cluster.without[-1] == ["id9"]


@pytest.mark.parametrize(
    ("spec", "window"),
    [
        (RayEngine(), 16),
        (RayEngine(cpus=0.5), 32),
        (RayEngine(gpus=0.25), 16),
        (RayEngine(cpus=0.25, gpus=0.5), 16),
        (RayEngine(slots=3), 12),
    ],
)
def test_the_window_follows_the_room_of_the_cluster(
    fake_cluster: FakeCluster, spec: RayEngine, window: int
) -> None:
    assert RayTasks(fake_cluster, spec, wanted()).window == window  # type: ignore[arg-type]


def test_a_batch_that_no_node_has_room_for_is_refused(fake_cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match="8 CPUs and 2 GPUs"):
        RayTasks(fake_cluster, RayEngine(cpus=8, gpus=2), wanted())  # type: ignore[arg-type]
