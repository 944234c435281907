"""`rnnprop doctor`."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rnnprop_cli.cli.app import app
from rnnprop_cli.kernels.select import select_kernel as REAL_SELECT  # noqa: N812 (what the fixture replaces)


@pytest.fixture(autouse=True)
def _plain_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compiling a kernel is not what these tests are about."""
    import torch

    from rnnprop_cli.kernels.reference import ReferenceKernel

    def reference(name: str, device: torch.device, dtype: torch.dtype) -> tuple[ReferenceKernel, str]:
        return ReferenceKernel(), "kernel: reference (slower), because this is a test"

    monkeypatch.setattr("rnnprop_cli.kernels.select.select_kernel", reference)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: tmp_path / "cache" / app)
    monkeypatch.delenv("RNNPROP_DATA_DIR", raising=False)


def _doctor(db: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["--db", str(db), "doctor", *options])


def _findings(result: Result) -> dict[str, tuple[str, str]]:
    return {f["topic"]: (f["status"], f["text"]) for f in json.loads(result.stdout)["findings"]}


def test_everything_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    db = tmp_path / "results" / "x.db"
    result = _doctor(db, "--json")
    assert result.exit_code == 0
    findings = _findings(result)
    assert list(findings)[:3] == ["rnnprop", "python", "torch"]
    assert {
        "device",
        "kernel",
        "sqlite",
        "data digits",
        "data mnist",
        "database",
        "terminal",
    } < findings.keys()
    assert findings["database"] == ("ok", f"{db}: not there yet, the first run makes it")
    assert findings["data mnist"][0] == findings["kernel"][0] == "note"
    assert not db.parent.exists()


def test_a_fast_kernel_that_does_not_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rnnprop_cli.kernels import cuda, cuda_check

    class Broken:
        name = "cuda"

        def step(self, *arguments: object) -> None:
            raise RuntimeError("Failed to find C compiler.")

    class About:
        name, total_memory = "A100", 80 << 30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: About)
    monkeypatch.setattr(cuda, "CudaKernel", Broken)
    on_cpu = cuda_check.find_trouble
    monkeypatch.setattr(cuda_check, "find_trouble", lambda kernel, _: on_cpu(kernel, torch.device("cpu")))
    monkeypatch.setattr(cuda_check, "_found", {})
    monkeypatch.setattr("rnnprop_cli.kernels.select.select_kernel", REAL_SELECT)
    found = _findings(_doctor(tmp_path / "x.db", "--json"))
    assert found["device"] == ("ok", f"cuda:0 A100, 80 GiB, CUDA {torch.version.cuda}")
    assert found["kernel"] == (
        "note",
        "reference (slower), because the fast CUDA kernel does not work here (RuntimeError: "
        "Failed to find C compiler.)",
    )


def test_text_has_a_line_for_each_finding(tmp_path: Path) -> None:
    lines = _doctor(tmp_path / "x.db").stdout.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["rnnprop", "python", "torch"]


@pytest.mark.parametrize(
    ("version", "status"), [((3, 51, 2), "note"), ((3, 51, 3), "ok"), ((3, 52, 0), "ok")]
)
def test_an_old_sqlite_is_noted(
    version: tuple[int, int, int], status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert _findings(_doctor(tmp_path / "x.db", "--json"))["sqlite"][0] == status


def test_a_broken_database_makes_it_exit_1(tmp_path: Path) -> None:
    db = tmp_path / "x.db"
    db.write_text("no database \x1b[31m")
    result = _doctor(db)
    assert result.exit_code == 1
    assert "broken" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_sound_database_is_counted(tmp_path: Path) -> None:
    from rnnprop_cli.store.writer import Writer

    db = tmp_path / "x.db"
    with Writer.open(db):
        pass
    status, text = _findings(_doctor(db, "--json"))["database"]
    assert status == "ok"
    assert "0 experiments, 0 runs" in text


def test_who_is_writing_and_how_much_room_there_is_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import shutil

    from rnnprop_cli.store.writer import Writer

    db = tmp_path / "x.db"
    before = _findings(_doctor(db, "--json"))
    assert before["writing"] == ("ok", "nobody is writing; runs can be recorded")
    assert before["disk"][1].endswith("free where results go") or before["disk"][0] == "note"
    assert list(tmp_path.iterdir()) == []
    with Writer.open(db):
        status, text = _findings(_doctor(db, "--json"))["writing"]
        assert (status, text.split(":")[0]) == ("note", f"process {os.getpid()} is writing here")
    assert _findings(_doctor(db, "--json"))["writing"][0] == "ok"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    status, text = _findings(_doctor(db, "--json"))["disk"]
    assert (status, text) == ("note", "0.0 GiB free where results go, which is little")


def test_a_place_that_cannot_be_written_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and not mode & os.W_OK)
    result = _doctor(tmp_path / "x.db", "--json")
    assert result.exit_code == 1
    assert _findings(result)["writing"][0] == "broken"
