"""SLURM and Ray by stand-ins; one thread, as the bits that are compared need."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from engine_samples import FakeCluster, FakeSlurm

from rnnprop_cli.execute import ray_tasks, slurm


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
