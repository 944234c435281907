"""SLURM and Ray by stand-ins; one thread, as the bits that are compared need."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from engine_samples import FakeCluster, FakeSlurm, jobs, outcomes, run_all, wanted

from rnnprop_cli.execute import ray_tasks, slurm
from rnnprop_cli.execute.in_process import InProcess
from rnnprop_cli.execute.ray_tasks import RayTasks
from rnnprop_cli.execute.slurm import SlurmJobs
from rnnprop_cli.spec.engine import RayEngine


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Answers at once, and forgives no delay."""
    made = FakeSlurm(tmp_path / "slurm" / "x")
    monkeypatch.setattr(slurm, "slurm_control", made)
    for name in ("SECONDS_PER_POLL", "SECONDS_PER_LOOK", "GRACE_S"):
        monkeypatch.setattr(slurm, name, 0.0)
    return made


@pytest.fixture
def fake_cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(ray_tasks, "SECONDS_PER_LOOK", 0.0)
    return FakeCluster()


@pytest.fixture
def by_slurm(fake_slurm: FakeSlurm) -> Callable[[], SlurmJobs]:
    return lambda: SlurmJobs("rnnprop-x", fake_slurm.folder.root, wanted(), 2, 1, {})


@pytest.fixture
def by_ray(fake_cluster: FakeCluster) -> Callable[[], RayTasks]:
    return lambda: RayTasks(fake_cluster, RayEngine(slots=2), wanted())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[str, float | None]]:
    """What the cells come to, one after the other in this process."""
    return outcomes(*(run_all(InProcess(), [each]) for each in jobs()))
