"""How an engine is named, on the command line and in a spec, and what is said where it is not there."""

import json
from pathlib import Path
from typing import Any

import pytest
from engine_samples import ENGINE, wanted
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.errors import SpecError, UsageError
from rnnprop_cli.execute import available, engines, identity, nodes, slurm_control
from rnnprop_cli.execute.nodes import Wanted, differences
from rnnprop_cli.spec.engine import LocalEngine, RayEngine, SlurmEngine, chosen_engine, slurm_options
from rnnprop_cli.spec.load import resolve_bench_text

SPEC = """\
name = "x"
seeds = 1
horizon = 2
minibatch = 4
calibrated = false
untuned = false
optimizees = [{ kind = "mlp", dataset = "digits", hidden = 2 }]
optimizers = [{ kind = "sgd", lr = 0.5 }]
"""


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    def run(*arguments: str, text: str = SPEC) -> Any:
        spec = tmp_path / "x.toml"
        spec.write_text(text)
        return CliRunner().invoke(
            app, ["--db", str(tmp_path / "a.db"), "bench", "--spec", str(spec), "--threads", "1", *arguments]
        )

    run.db = tmp_path / "a.db"
    return run


def test_flags_go_before_the_spec_and_another_kind_forgets_its_settings() -> None:
    asked = SlurmEngine(partition="cpu", time=30, slots=4)
    assert chosen_engine(asked, None, None, None, None) == asked
    assert chosen_engine(asked, "slurm", None, "time=1:30:00,gres=gpu:1,tmp:5", 2) == SlurmEngine(
        partition="cpu", time="1:30:00", gres="gpu:1,tmp:5", slots=2
    )
    assert chosen_engine(asked, "local", None, None, None) == LocalEngine()
    assert chosen_engine(LocalEngine(slots=3), "ray", "auto", None, None) == RayEngine(address="auto")
    assert chosen_engine(RayEngine(gpus=0.25, cpus=2), None, "ray://h:10001", None, 5).slots == 5


def test_options_of_slurm_reach_sbatch_by_their_names_and_no_others_do() -> None:
    found = SlurmEngine.model_validate(slurm_options("--partition=a, mem=4000,time=60,cpus-per-task=2"))
    assert found.options() == {"partition": "a", "mem": "4000", "time": "60"}
    assert found.cpus_per_task == 2
    for bad, says in (
        ("partiton=a", "did you mean 'partition'"),
        ("wrap=rm", "is no setting"),
        ("a", "is no setting"),
        ("", "is no setting"),
        ("output=/etc/x", "is no setting"),
        ("kind=ray", "is no setting"),
    ):
        with pytest.raises(UsageError, match=says):
            slurm_options(bad)
    for strange in ("a b", "a;b", "$(id)", "a\nb", "`id`", "-x", "a'b", ""):
        with pytest.raises(UsageError, match="partition"):
            chosen_engine(SlurmEngine(), None, None, f"partition={strange}", None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--address", "auto"), "add --engine ray"),
        (("--slurm", "time=1"), "add --engine slurm"),
        (("--engine", "ray", "--address", "a b"), "engine ray: address"),
        (("--engine", "slurm", "--slurm", "tme=1"), "did you mean 'time'"),
        (("--engine", "dask"), "dask"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    bench: Any, arguments: tuple[str, ...], says: str
) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not bench.db.exists()


@pytest.mark.parametrize(("kind", "says"), [("ray", "rnnprop[ray]"), ("slurm", "apt install slurm-client")])
def test_an_engine_that_is_not_installed_is_exit_2_with_what_installs_it(
    bench: Any, kind: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(available, "find_spec", lambda name: None)
    monkeypatch.setattr(slurm_control.shutil, "which", lambda name: None)
    for result in (bench("--engine", kind), bench(text=SPEC + f'engine = {{ kind = "{kind}" }}\n')):
        assert result.exit_code == 2
        assert says in result.stderr
        assert not bench.db.exists()
    doctor = CliRunner().invoke(app, ["--db", str(bench.db), "doctor", "--json"])
    found = {each["topic"]: each for each in json.loads(doctor.stdout)["findings"]}
    assert says in found[f"engine {kind}"]["text"]
    assert found[f"engine {kind}"]["status"] == "note"


def test_a_wrong_engine_in_a_spec_is_told_with_its_place() -> None:
    text = SPEC + '[engine]\nkind = "slurm"\npartitoin = "gpu"\ntime = "1 h"\n'
    with pytest.raises(SpecError) as caught:
        resolve_bench_text(text, "x.toml")
    problems = "\n".join(caught.value.problems)
    assert (
        "x.toml:11:1: engine.partitoin: is not a setting of kind 'slurm' - did you mean 'partition'?"
        in problems
    )
    assert "x.toml:12:8: engine.time: must be " in problems
    with pytest.raises(SpecError, match=r"engine.kind: must be one of local, ray, slurm, not 'rya'"):
        resolve_bench_text(SPEC + 'engine = { kind = "rya" }\n', "x.toml")


def test_the_engine_is_recorded_and_identifies_nothing() -> None:
    plain = resolve_bench_text(SPEC, "x").spec
    by_slurm = resolve_bench_text(SPEC + 'engine = { kind = "slurm", slots = 3 }\n', "x").spec
    assert plain.model_dump(context=IDENTITY) == by_slurm.model_dump(context=IDENTITY)
    assert "engine" not in plain.model_dump(context=IDENTITY)
    assert by_slurm.model_dump()["engine"]["slots"] == 3


def test_a_benchmark_that_was_begun_here_is_finished_elsewhere_and_the_plan_says_by_whom(
    bench: Any, fake_slurm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_control.shutil, "which", lambda name: name)
    monkeypatch.setattr(engines, "SLURM_SLOTS", 1)
    assert bench().exit_code == 0
    again = bench("--engine", "slurm")
    assert again.exit_code == 0, again.stderr
    assert "0 run now" in again.stderr
    assert fake_slurm.submitted == []
    plan = bench("--engine", "slurm", "--dry-run", "--fresh")
    assert "with 1 threads of this machine (slurm will run it)" in plan.stdout
    assert json.loads(bench("--engine", "slurm", "--dry-run", "--json").stdout)["engine"] == "slurm"


def test_threads_are_those_of_this_machine_by_local_slots_and_the_cores_of_a_batch_elsewhere() -> None:
    assert engines.threads_of(LocalEngine(slots=2), None) is None
    assert engines.slots_of(LocalEngine(slots=2)) == 2
    assert engines.threads_of(RayEngine(cpus=0.5), None) == 1
    assert engines.threads_of(RayEngine(cpus=4), None) == 4
    assert engines.threads_of(SlurmEngine(cpus_per_task=3), None) == 3
    assert engines.threads_of(SlurmEngine(), 5) == 5


# What machines must have in common.


def test_differences_between_machines_are_told_a_clause_each() -> None:
    here = {"torch": "2.13.0", "instructions": "avx512", "code": "aa"}
    assert differences(here, here) == []
    assert differences(here, {"torch": "2.9.0", "instructions": "avx512", "code": "aa", "gpu": "H100"}) == [
        "torch 2.9.0, the driver's 2.13.0",
        "gpu H100, the driver's absent",
    ]


def test_a_machine_of_the_drivers_kind_is_taken_and_any_other_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = Wanted.parse(wanted().as_json())
    assert asked == wanted()
    assert asked.refusal() is None
    with monkeypatch.context() as patch:
        patch.setattr(identity, "version", lambda package: "2.9.0")
        assert "torch 2.9.0, the driver's" in (asked.refusal() or "")
    with monkeypatch.context() as patch:
        patch.setattr(identity, "host_instructions", lambda: "sse")
        assert (asked.refusal() or "").startswith("instructions sse, the driver's ")
    with monkeypatch.context() as patch:
        patch.setattr(nodes, "program_sha256", lambda: "0" * 16)
        assert (asked.refusal() or "").startswith("code 0000")
    elsewhere = nodes.engine_of(vars(ENGINE) | {"data_dir": str(tmp_path)})
    for name, says in (("digits", "dataset digits is "), ("mnist", "rnnprop data fetch")):
        refusal = Wanted(elsewhere, "float32", asked.facts, {name: "0" * 64}).refusal() or ""
        assert says in refusal
        assert "\n" not in refusal


def test_the_programs_own_hash_moves_with_a_line_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(nodes.rnnprop_cli, "__file__", str(tmp_path / "__init__.py"))
    first = nodes.program_sha256.__wrapped__()
    (tmp_path / "a.py").write_text("x = 2\n")
    assert nodes.program_sha256.__wrapped__() != first
    (tmp_path / "notes.txt").write_text("nothing of the program")
    (tmp_path / "a.py").write_text("x = 1\n")
    assert nodes.program_sha256.__wrapped__() == first
