"""A database whose columns hold what they are not for: exit 3 with words, in every command, and `db check` finds it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fault_tools import BENCH_COMMAND, TALLY, TRAIN_COMMAND, Nursery, prepare

TABLES = ("experiment", "run", "metric", "chunk", "checkpoint", "event")
VALUES = {"text": "'x'", "a blob": "x'00ff'", "a number": "1.5", "nothing": "NULL"}
# What reads the tables, each in its own way.
COMMANDS = [
    ("runs", "list"),
    ("runs", "list", "--status", "done"),
    ("runs", "show", "1"),
    ("runs", "export", "-e", "small"),
    ("report", "small"),
    ("report", "small", "-f", "html"),
    ("report", "small", "-f", "json"),
    ("weights", "show", "tiny"),
    ("train", "--resume", "tiny"),
    ("bench", "--spec", "bench.toml", "--only", "*/momentum"),
    ("db", "check"),
]


@pytest.fixture(scope="module")
def results(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("types"))
    assert nursery.run(folder, *BENCH_COMMAND).code == 0
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    return folder


def columns(path: Path) -> list[tuple[str, str, str]]:
    """Table, column and declared type of all but ids."""
    with closing(sqlite3.connect(path)) as connection:
        return [
            (table, name, declared)
            for table in TABLES
            for _, name, declared, *_ in connection.execute(f"PRAGMA table_info({table})")
            if name != "id"
        ]


def is_wrong(declared: str, what: str) -> bool:
    if what == "nothing":
        return False  # many columns may be empty; those that may not refuse it
    right = {"TEXT": ("text", "a number"), "REAL": ("a number",), "BLOB": ("a blob",), "INTEGER": ()}
    return what not in right[declared]


def damage(path: Path, table: str, column: str, value: str) -> bool:
    """Whether the database took it."""
    try:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {column} = {value}")
    except sqlite3.IntegrityError:
        return False
    return True


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=pytest.mark.slow) for each in VALUES] + ["a sample"]
)
def test_no_wrong_type_in_any_column_is_an_unexpected_error(
    nursery: Nursery, results: Path, tmp_path: Path, what: str
) -> None:
    every = [
        (*place, name, value)
        for place in columns(results / "a.db")
        for name, value in VALUES.items()
        if what in ("a sample", name)
    ]
    chosen = every[::23] if what == "a sample" else every
    for number, (table, column, declared, name, value) in enumerate(chosen):
        folder = shutil.copytree(results, tmp_path / str(number))
        if not damage(folder / "a.db", table, column, value):
            continue
        if is_wrong(declared, name):  # at first, for a run that goes on may write it anew
            found = nursery.run(folder, "db", "check")
            assert found.code == 3, (table, column, value, found.said)
            assert column in found.said or "damaged" in found.said
        for command in COMMANDS if what != "a sample" else COMMANDS[number % 4 :: 4]:
            made = nursery.run(folder, *command)
            assert "unexpected" not in made.said, (table, column, value, command, made.said)
            assert made.code in (0, 1, 2, 3, 4), (table, column, value, command, made.said)
        TALLY["wrong types in a database"] += 1
        shutil.rmtree(folder)


@pytest.mark.parametrize("column", ["spec_json", "versions", "argv"])
@pytest.mark.parametrize(
    "value", ["[" * 60_000, "nul", "3", '"x"', '{"spec": 3, "environment": 4}', "{}", "[]"]
)
def test_no_wrong_json_is_an_unexpected_error(
    nursery: Nursery, results: Path, tmp_path: Path, column: str, value: str
) -> None:
    folder = shutil.copytree(results, tmp_path / "copy")
    with closing(sqlite3.connect(folder / "a.db")) as connection, connection:
        connection.execute(f"UPDATE experiment SET {column} = ?", (value,))
    for command in (
        ("report", "small"),
        ("weights", "show", "tiny"),
        ("train", "--resume", "tiny"),
        ("db", "check"),
    ):
        made = nursery.run(folder, *command)
        assert "unexpected" not in made.said, (command, made.said)
        assert made.code in (0, 1, 2, 3, 4)
    TALLY["wrong JSON in a database"] += 1
