"""What a result's identity holds of the kernel that computed it."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rnnprop_cli.execute import identity
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.identity import identity_facts, settle_kernel
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.runs import environment

ENGINE = Engine("cpu", 1, None)


def test_auto_is_settled_by_name_so_that_no_worker_finds_another_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settle_kernel(ENGINE, "float64")[0] == replace(ENGINE, kernel="reference")
    monkeypatch.setattr(identity, "select_kernel", lambda *asked: (ReferenceKernel(), "why"))
    assert settle_kernel(ENGINE, "float32") == (replace(ENGINE, kernel="reference"), "why")


def test_instruction_set_counts_on_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for instructions in ("avx2", "avx512"):
        monkeypatch.setattr(identity, "host_instructions", lambda name=instructions: name)
        found.append(identity_facts(replace(ENGINE, kernel="reference"), "float32"))
    assert [facts["instructions"] for facts in found] == ["avx2", "avx512"]
    assert {**found[0], "instructions": ""} == {**found[1], "instructions": ""}
    monkeypatch.setattr(identity, "gpu_name", lambda device: "A100")
    elsewhere = identity_facts(replace(ENGINE, device="cuda", kernel="reference"), "float32")
    assert "instructions" not in elsewhere


def test_asking_git_writes_nothing_into_the_repository(tmp_path: Path) -> None:
    """A plain `git status` writes the index anew, and leaves its lock where it is killed amid that."""
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "f"), (*author, "commit", "-qm", "one")):
        (tmp_path / "f").write_text("x")
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    os.utime(tmp_path / "f", (1, 1))
    before = (tmp_path / ".git" / "index").read_bytes()
    assert environment._git(tmp_path, "status", "--porcelain") == ""
    assert (tmp_path / ".git" / "index").read_bytes() == before
