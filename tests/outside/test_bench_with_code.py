"""Benchmarks with code from outside: identity, resuming, workers, failures, and no trace without leave."""

from pathlib import Path
from typing import Any

import pytest

from rnnprop_cli.components import plugins
from rnnprop_cli.errors import CodeError, SpecError, UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.records import RunInfo
from rnnprop_cli.runs.bench import BenchOutcome, run_bench
from rnnprop_cli.runs.observer import Event, Notice
from rnnprop_cli.spec.engine import LocalEngine
from rnnprop_cli.spec.load import resolve_bench
from rnnprop_cli.store.reader import Reader

SPEC = """\
name = "mine"
seeds = 2
horizon = [5]
minibatch = 4
calibrated = false
untuned = false
[[optimizees]]
kind = "module"
source = "nets.py:Rings"
settings = { width = [3, 5] }
[[optimizers]]
kind = "torch"
source = "rules.py:Plain"
lr = 0.1
[[optimizers]]
kind = "torch"
source = "torch.optim:RAdam"
settings = { betas = [[0.9, 0.99]] }
"""
SEARCH = "[tuning]\nseeds = 2\npoints = 3\nmax_rounds = 1\nconfirm_seeds = false\n"


def run(
    folder: Path, text: str = SPEC, observe: Any = lambda event: None, allow: bool = True, **options: Any
) -> BenchOutcome:
    (folder / "bench.toml").write_text(text + SEARCH)
    engine = Engine("cpu", 1, None, "reference", allow_code=allow)
    plugins.allow_code(allow)
    resolved = resolve_bench(folder / "bench.toml")
    return run_bench(resolved.spec, resolved.toml, folder / "a.db", engine, observe, **options)


def stored(folder: Path) -> list[RunInfo]:
    with Reader.open(folder / "a.db") as reader:
        return reader.runs(reader.find_experiment("mine").id)


def losses(folder: Path) -> dict[str, float | None]:
    return {each.facts.key: each.result.final_loss for each in stored(folder)}


def test_code_is_run_recorded_and_found_again(folder: Path) -> None:
    assert run(folder).ran == 20  # 2 nets x 2 seeds x (Plain, RAdam), and RAdam's search
    found = stored(folder)
    assert {run.facts.optimizee for run in found} == {"Rings width=3", "Rings width=5"}
    assert {run.facts.optimizer for run in found} == {"plain", "radam betas=(0.9, 0.99)"}
    assert all(run.result.status == "done" for run in found)
    assert all(run.result.heldout_accuracy is not None for run in found if run.facts.phase == "final")
    assert "class Rings" not in found[0].facts.config_json  # its hash is enough
    assert run(folder).ran == 0


def test_another_folder_is_the_same_and_another_version_is_another(folder: Path) -> None:
    run(folder)
    before = losses(folder)
    with (folder / "nets.py").open("a") as file:
        file.write("\n# a comment\n")
    assert run(folder).ran == 20
    assert set(losses(folder)).isdisjoint(before)
    assert sorted(losses(folder).values()) == sorted(before.values())  # type: ignore[type-var]


def test_without_leave_nothing_is_imported_or_written(folder: Path) -> None:
    mark = folder / "mark"
    with (folder / "nets.py").open("a") as file:
        file.write(f"\nopen({str(mark)!r}, 'w').close()\n")
    with pytest.raises(UsageError, match="--allow-code"):
        run(folder, allow=False)
    assert not mark.exists()
    assert not (folder / "a.db").exists()
    run(folder)
    assert mark.exists()


def test_what_does_not_work_is_refused_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(CodeError, match=r"nets\.py:Breaks: line \d+, in loss: AttributeError"):
        run(folder, SPEC.replace("Rings", "Breaks").replace("settings = { width = [3, 5] }", ""))
    with pytest.raises(CodeError, match=r"rules\.py:NoOptimizer"):
        run(folder, SPEC.replace("Plain", "NoOptimizer"))
    assert not (folder / "a.db").exists()


def test_what_fails_later_is_a_failed_cell_with_its_line(folder: Path) -> None:
    text = SPEC.replace("Rings", "Late").replace("[3, 5]", "[3]").replace("horizon = [5]", "horizon = [40]")
    outcome = run(folder, text.partition('[[optimizers]]\nkind = "torch"\nsource = "torch')[0])
    assert (outcome.ran, outcome.failed) == (2, 2)
    assert "nets.py:Late: line" in (stored(folder)[0].result.error or "")
    assert "no more data" in (stored(folder)[0].result.error or "")


def test_what_cannot_be_batched_is_said_once(folder: Path) -> None:
    told: list[Event] = []
    text = SPEC.replace("Rings", "Recurrent").replace("settings = { width = [3, 5] }", "")
    run(folder, text, told.append)
    lines = [event.text for event in told if isinstance(event, Notice)]
    assert sum("runs cell by cell" in line for line in lines) == 1


@pytest.mark.slow
def test_workers_give_the_same_bits(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run(folder)
    alone = losses(folder)
    (folder / "a.db").unlink()
    run(folder, by=LocalEngine(slots=2))
    assert losses(folder) == alone


def test_a_list_in_settings_is_an_axis_and_its_mistakes_are_told_where_they_are(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"10:\d+: optimizees\[0\]\.settings\.width: is an empty list"):
        run(folder, SPEC.replace("[3, 5]", "[]"))
    with pytest.raises(SpecError, match=r"9:10: optimizees\[0\]\.source: .*absent\.py cannot be read"):
        run(folder, SPEC.replace("nets.py", "absent.py"))
    with pytest.raises(SpecError, match=r"optimizees\[0\]\.settings"):
        run(folder, SPEC.replace("width = [3, 5]", "'a b' = 3"))
