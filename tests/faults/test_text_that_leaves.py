"""Text that goes to a spreadsheet, a browser, a shell or a narrow terminal is made for it."""

import csv
import io
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from fault_tools import BENCH_COMMAND, ROOT, TALLY, TRAIN_COMMAND, Nursery, prepare

from rnnprop_cli.errors import suggested
from rnnprop_cli.view.formats.records import csv_line

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", " =cmd|'/C calc'!A0", "＝1+1", '=HYPERLINK("x")']
NAMES = ["problem", "group", "best", "best tuned baseline", "failures", "optimizer", "lr"]


@pytest.fixture(scope="module")
def results(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("texts"))
    assert nursery.run(folder, *BENCH_COMMAND).code == 0
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    return folder


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_cell_is_a_formula_and_every_number_stays_one(text: str) -> None:
    ((cell, number, negative, word),) = csv.reader(io.StringIO(csv_line((text, -0.5, "-0.5", "adam"))))
    assert cell.startswith("'") or cell[0] not in "=+-@\t "
    assert (number, negative, word) == ("-0.5", "-0.5", "adam")


def test_no_export_holds_a_formula(nursery: Nursery, results: Path) -> None:
    with closing(sqlite3.connect(results / "a.db")) as connection, connection:
        for text, optimizer in zip(FORMULAS, ("adam", "sgd", "momentum"), strict=False):
            connection.execute("UPDATE run SET optimizer = ? WHERE optimizer = ?", (text, optimizer))
    for command in (("report", "small", "-f", "csv"), ("runs", "export", "-e", "small")):
        made = nursery.run(results, "-q", *command)
        assert made.code == 0
        for row in csv.reader(io.StringIO(made.said)):
            for cell in row:
                assert not cell.startswith(("=", "+", "@")), cell
                assert not cell.startswith("-") or float(cell) < 0
        TALLY["exports with formulas in their names"] += 1
    with closing(sqlite3.connect(results / "a.db")) as connection, connection:
        for text, optimizer in zip(FORMULAS, ("adam", "sgd", "momentum"), strict=False):
            connection.execute("UPDATE run SET optimizer = ? WHERE optimizer = ?", (optimizer, text))


def test_a_suggested_command_is_the_words_it_was_made_of() -> None:
    words = ["train", "--resume", "x; rm -rf ~", "$(id)", "a'b", "", "--db", "my results/a.db"]
    assert shlex.split(suggested(*words)) == ["rnnprop", *words]


def test_what_a_command_suggests_can_be_pasted_whatever_the_database_is_called(
    nursery: Nursery, results: Path
) -> None:
    odd = "it's $(touch hacked) & more.db"
    (results / odd).write_bytes((results / "a.db").read_bytes())
    assert nursery.run(results, "--db", odd, "db", "migrate").code == 0
    said = nursery.run(results, "--db", odd, *BENCH_COMMAND).said
    suggestion = re.search(r"see it with: (rnnprop .*)", said)
    assert suggestion is not None, said
    command = f"{shlex.quote(sys.executable)} -m rnnprop_cli {suggestion[1].removeprefix('rnnprop ')}"
    pasted = subprocess.run(
        command, shell=True, cwd=results, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert pasted.returncode == 0, pasted.stderr
    assert not (results / "hacked").exists()


NARROW = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "small"),
        ("report", "small", "-f", "markdown"),
        ("report", "small", "-f", "csv"),
        ("report", "small", "-f", "html"),
        ("runs", "list"),
        ("runs", "show", "1"),
        ("runs", "list", "nothing-é-\udcff"),
        ("--help",),
        ("spec", "init"),
    ],
)
def test_a_narrow_encoding_is_no_error(results: Path, encoding: str, arguments: tuple[str, ...]) -> None:
    if encoding == "latin-1" and arguments[0] != "report":
        pytest.skip("ascii is narrower")
    environment = {**os.environ, **NARROW, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-m", "rnnprop_cli", "--db", "a.db", *arguments],
        cwd=results,
        env=environment,
        capture_output=True,
    )
    assert shown.returncode in (0, 2), shown.stderr
    assert b"unexpected" not in shown.stderr
    assert b"codec" not in shown.stderr
    if encoding != "latin-1" and "-f" not in arguments:  # documents are UTF-8, whatever the terminal shows
        shown.stdout.decode("ascii")
    TALLY["commands under a narrow encoding"] += 1
