"""What Ray's engine does when workers and machines fail. Stand-ins, no cluster."""

from collections.abc import Callable
from typing import Any

import pytest
from engine_samples import FakeCluster, job, jobs, outcomes, run_all, wanted

from rnnprop_cli.errors import RunError, UsageError
from rnnprop_cli.execute import attempts, ray_tasks
from rnnprop_cli.execute.ray_cluster import DiedError
from rnnprop_cli.execute.ray_tasks import RayTasks
from rnnprop_cli.spec.engine import RayEngine


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
