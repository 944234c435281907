"""What a result's identity holds of the kernel that computed it."""

from dataclasses import replace

import pytest

from rnnprop_cli.execute.device import Engine
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.runs import environment
from rnnprop_cli.runs.environment import identity_facts, settle_kernel

ENGINE = Engine("cpu", 1, None)


def test_auto_is_settled_by_name_so_that_no_worker_finds_another_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settle_kernel(ENGINE, "float64")[0] == replace(ENGINE, kernel="reference")
    monkeypatch.setattr(environment, "select_kernel", lambda *asked: (ReferenceKernel(), "why"))
    assert settle_kernel(ENGINE, "float32") == (replace(ENGINE, kernel="reference"), "why")


def test_instruction_set_counts_on_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for instructions in ("avx2", "avx512"):
        monkeypatch.setattr(environment, "host_instructions", lambda name=instructions: name)
        found.append(identity_facts(replace(ENGINE, kernel="reference"), "float32"))
    assert [facts["instructions"] for facts in found] == ["avx2", "avx512"]
    assert {**found[0], "instructions": ""} == {**found[1], "instructions": ""}
    monkeypatch.setattr(environment, "gpu_name", lambda device: "A100")
    elsewhere = identity_facts(replace(ENGINE, device="cuda", kernel="reference"), "float32")
    assert "instructions" not in elsewhere
