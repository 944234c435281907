"""Specs that are too large or wrong: told in time, all at once, and nothing is recorded."""

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_tools import BENCH, ROOT, TRAIN, Nursery, prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import SpecError, UsageError
from rnnprop_cli.plan.count import MAX_CELLS, count_cells
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import load_bench, resolve

MILLION = """\
name = "million"
seeds = {seeds}
horizon = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
untuned = false
calibrated = false
[[optimizees]]
kind = "mlp"
dataset = "digits"
depth = [1, 2, 3, 4, 5]
hidden = [2, 3, 4, 5]
activation = ["sigmoid", "relu", "tanh", "elu"]
[[optimizers]]
kind = ["sgd", "momentum", "adam", "rmsprop", "adagrad"]
lr = [0.1, 0.01]
"""  # 800 problems, 10 optimizers, {seeds} seeds
RULE = "[[exclude]]\nwhere = { depth = 5 }\nhorizon = 100\n"
PLAN = r"""
import re, sys, time
from pathlib import Path
from rnnprop_cli.plan.cells import split
from rnnprop_cli.plan.count import count_cells
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.spec.load import load_bench
spec = load_bench(Path(sys.argv[1]))
started = time.monotonic()
assert count_cells(spec) > 1_000_000 - 1
cells = sum(len(part) for lane in lanes(spec) for batch in lane.first_batches() for part in split(batch, 64))
# Not ru_maxrss, which counts what the parent held before the exec.
peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(cells, time.monotonic() - started, peak)
"""


def spec_of(folder: Path, text: str) -> BenchSpec:
    (folder / "s.toml").write_text(text)
    return load_bench(folder / "s.toml")


@pytest.mark.parametrize("rule", ["", RULE])
def test_the_count_is_that_of_the_expanded_cells(tmp_path: Path, rule: str) -> None:
    for text in (MILLION.format(seeds=3), BENCH, BENCH.replace("max_rounds = 2", "max_rounds = 2\n")):
        spec = spec_of(tmp_path, text + rule)
        expanded = sum(len(batch) for lane in lanes(spec) for batch in lane.first_batches())
        assert count_cells(spec) == expanded
    assert count_cells(spec, "*/adam") < count_cells(spec)


@pytest.mark.parametrize("rule", ["", RULE])
@pytest.mark.parametrize("seeds", [125, 1_000_000_000])
def test_a_million_cells_and_more_are_counted_without_expanding(
    tmp_path: Path, seeds: int, rule: str
) -> None:
    spec = spec_of(tmp_path, MILLION.format(seeds=seeds) + rule)
    started = time.monotonic()
    with pytest.raises(UsageError, match="--max-cells"):
        count_cells(spec, max_cells=MAX_CELLS)
    if not rule:
        assert count_cells(spec) == 8_000 * seeds
    assert time.monotonic() - started < 2


def test_more_cells_than_the_limit_need_a_flag(nursery: Nursery, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "work", bench=MILLION.format(seeds=125))
    for extra in ((), ("--dry-run",)):
        refused = nursery.run(folder, "bench", "--spec", "bench.toml", *extra)
        assert refused.code == 2
        assert "1,000,000 cells" in refused.said
        assert "--max-cells" in refused.said
        assert not (folder / "a.db").exists()
    part = ("--only", "digits mlp 2 sigmoid d1 x10/sgd 0.1*", "--dry-run")
    assert nursery.run(folder, "bench", "--spec", "bench.toml", *part).code in (0, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_million_cells_are_planned_in_30_s_and_200_mb(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(MILLION.format(seeds=125))
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(tmp_path / "s.toml")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    cells, seconds, peak_mb = map(float, done.stdout.split())
    assert cells == 1_000_000
    assert seconds < 30
    assert peak_mb < 200


MISTAKES = [
    ('name = "small"', 'name = "../small"'),
    ("seeds = 2\nh", "seeds = 0\nh"),
    ("seeds = 2\nh", "seeds = -1\nh"),
    ("seeds = 2\nh", 'seeds = "2"\nh'),
    ("seeds = 2\nh", "seeds = 1e3\nh"),
    ("seeds = 2\nh", f"seeds = {10**12}\nh"),
    ("[20, 40]", "[20, 20]"),
    ("[20, 40]", "[]"),
    ("[20, 40]", "[20, -4]"),
    ("[20, 40]", "[20, [4]]"),
    ("minibatch = 8", "minibatch = nan"),
    ("minibatch = 8", "mini_batch = 8"),
    ("minibatch = 8", "minibatch = 8\ndtype = 'float16'"),
    ("minibatch = 8", "minibatch = 8\nmemory_mb = 0"),
    ("minibatch = 8", "minibatch = 8\ncurve_points = 1"),
    ('kind = "mlp"', 'kind = "transformer"'),
    ('dataset = "digits"', 'dataset = "imagenet"'),
    ("hidden = 2", "hidden = 0"),
    ("hidden = 2", 'hidden = 2, activation = "swoosh"'),
    ("hidden = 2", "hidden = 2, depth = -1"),
    ("hidden = 2", "hidden = 2, __class__ = 1"),
    ('kind = "sgd"', 'kind = "sdg"'),
    ('kind = "adam"', 'kind = "adam"\nbeta1 = 1.0'),
    ('kind = "adam"', 'kind = "adam"\nbeta1 = inf'),
    ('kind = "adam"', 'kind = "adam"\nlr = "best"'),
    ('kind = "adam"', 'kind = "learned"'),
    ("lr = 0.1", "lr = -0.1"),
    ("lr = 0.1", "lr = true"),
    ("points = 3", "points = 2"),
    ("points = 3", "points = 61"),
    ("max_rounds = 2", "max_round = 2"),
    ("[tuning]", "[tunig]"),
]
PLACE = re.compile(r"bench\.toml:\d+:\d+: ")


@pytest.mark.parametrize(("right", "wrong"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_bad_spec_is_exit_2_in_a_second_with_its_place_and_no_row_is_written(
    tmp_path: Path, right: str, wrong: str
) -> None:
    assert right in BENCH
    folder = prepare(tmp_path / "work", bench=BENCH.replace(right, wrong, 1))
    started = time.monotonic()
    refused = CliRunner().invoke(
        app, ["--db", str(folder / "a.db"), "bench", "--spec", str(folder / "bench.toml")]
    )
    assert refused.exit_code == 2, refused.output
    assert PLACE.search(refused.output)
    assert "^" in refused.output
    assert time.monotonic() - started < 1
    assert not (folder / "a.db").exists()


def test_many_mistakes_are_told_at_once(nursery: Nursery, tmp_path: Path) -> None:
    text = BENCH
    for number in (1, 7, 12, 15, 21, 26, 28):
        right, wrong = MISTAKES[number]
        text = text.replace(right, wrong, 1)
    command = nursery.run(prepare(tmp_path / "work", bench=text), "bench", "--spec", "bench.toml")
    assert command.code == 2
    assert len(PLACE.findall(command.said)) >= 6


@pytest.mark.parametrize("text", [BENCH, TRAIN], ids=["bench", "train"])
@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 4))
def test_a_spec_with_random_edits_is_right_or_told_with_a_place(
    tmp_path: Path, text: str, seed: int, edits: int
) -> None:
    draw = random.Random(seed)
    characters = list(text)
    for _ in range(edits):
        at = draw.randrange(len(characters))
        piece = draw.choice(
            ['"', "[", "]", "=", "-", "9", "e", "\n", "\x00", "\x1b", "é", "nan", "[[", "true", ""]
        )
        characters[at : at + draw.randrange(4)] = piece
    file = tmp_path / "bench.toml"
    file.write_text("".join(characters), encoding="utf-8")
    try:
        resolve(file)
    except SpecError as error:
        assert error.problems  # noqa: PT017
        assert all(problem.startswith(str(file)) for problem in error.problems)  # noqa: PT017
