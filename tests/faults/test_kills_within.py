"""kill -9 at a chosen call to the system: instead of the n-th one that changes a file, for every n, or amid it."""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    committed,
    fingerprint,
    prepare,
    table,
    temporary_files,
)
from test_belonging import as_schema_1

from rnnprop_cli.runs.soundness import check_all
from rnnprop_cli.store.migrations import NEWEST_VERSION

ONE_LANE = (*BENCH_COMMAND, "--only", "*/momentum")
TORN = [False, pytest.param(True, marks=pytest.mark.slow)]
# A few of many, so that the usual run stays short; the slow one takes all.
STRIDE = [12, pytest.param(1, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def benched(shimmed: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark of four cells."""
    folder = prepare(tmp_path_factory.mktemp("benched"))
    assert shimmed.run(folder, *ONE_LANE).code == 0
    return folder


def content(path: Path) -> tuple[str, ...]:
    """Everything in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return tuple(connection.iterdump())


def killed_at_every_call(
    shimmed: Nursery,
    source: Path,
    place: Path,
    command: tuple[str, ...],
    after: Callable[[Path], None],
    stride: int,
    torn: bool,
) -> int:
    """Carries out a command in a copy of a folder, killed at the first call, then at the second, and so on until it is
    not killed any more; looks at each copy. Returns how often it was killed."""
    killed, number = 0, 1
    while True:
        folder = place / str(number)
        shutil.copytree(source, folder)
        (folder / "output.txt").unlink(missing_ok=True)
        faults = {"SHIM_KILL_AT": str(number), "SHIM_FOLDER": str(folder), "SHIM_TORN": str(int(torn))}
        done = shimmed.run(folder, *command, environment=faults)
        assert done.code in (0, -signal.SIGKILL), done.said
        after(folder)
        shutil.rmtree(folder)
        if done.code == 0:
            TALLY[f"kill -9 within {' '.join(command[:2])}"] += killed
            return killed
        killed, number = killed + 1, number + stride


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("stride", STRIDE)
def test_within_a_backup(shimmed: Nursery, benched: Path, tmp_path: Path, stride: int, torn: bool) -> None:
    before = content(benched / "a.db")
    copies = []

    def after(folder: Path) -> None:
        assert content(folder / "a.db") == before
        copy = folder / "b.db"
        copies.append(copy.exists())
        if not copy.exists():
            assert shimmed.run(folder, "db", "backup", "b.db").code == 0
        assert content(copy) == before
        assert check_all(copy).problems == ()
        assert not temporary_files(folder) or copies[-1]

    assert killed_at_every_call(shimmed, benched, tmp_path, ("db", "backup", "b.db"), after, stride, torn) > 3
    assert copies[0] is False
    assert copies[-1] is True


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("stride", STRIDE)
def test_within_a_removal(shimmed: Nursery, benched: Path, tmp_path: Path, stride: int, torn: bool) -> None:
    before = committed(benched)
    left = []

    def after(folder: Path) -> None:
        assert check_all(folder / "a.db").problems == ()
        left.append(committed(folder))
        assert left[-1] in (before, {})
        again = shimmed.run(folder, *ONE_LANE)
        assert again.code == 0, again.said
        assert committed(folder).keys() == before.keys()
        assert left[-1] == {} or committed(folder) == before

    command = ("runs", "rm", "-e", "small", "--yes")
    assert killed_at_every_call(shimmed, benched, tmp_path, command, after, stride, torn) > 1
    assert left[0] == before
    assert left[-1] == {}


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("stride", STRIDE)
def test_within_a_migration(
    shimmed: Nursery, tmp_path: Path, undisturbed_training: str, stride: int, torn: bool
) -> None:
    old = prepare(tmp_path / "old")
    assert shimmed.run(old, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    assert shimmed.run(old, "db", "migrate").code == 0
    as_schema_1(old)
    versions = []

    def after(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "a.db")) as connection:
            versions.append(connection.execute("PRAGMA user_version").fetchone()[0])
            columns = {
                (table, row[1])
                for table in ("experiment", "run")
                for row in connection.execute(f"PRAGMA table_info({table})")
            }
        assert (("experiment", "folder") in columns) == (versions[-1] >= 2)
        assert (("run", "node") in columns) == (versions[-1] >= 3)
        assert shimmed.run(folder, "db", "migrate").code == 0
        assert check_all(folder / "a.db").problems == ()
        if len(versions) % 8 == 1 or len({*versions[-2:]}) == 2:
            assert shimmed.run(folder, *TRAIN_COMMAND).code == 0
            assert fingerprint(folder) == undisturbed_training

    assert killed_at_every_call(shimmed, old, tmp_path / "killed", ("db", "migrate"), after, stride, torn) > 3
    assert versions == sorted(versions)
    assert {1, NEWEST_VERSION} <= {*versions} <= {*range(1, NEWEST_VERSION + 1)}


@pytest.mark.parametrize("command", [ONE_LANE, TRAIN_COMMAND], ids=["bench", "train"])
@pytest.mark.parametrize(
    ("stride", "torn"),
    [
        (60, True),
        pytest.param(3, True, marks=pytest.mark.slow),
        pytest.param(3, False, marks=pytest.mark.slow),
    ],
)
def test_within_a_run_from_its_first_call_on(
    shimmed: Nursery,
    benched: Path,
    tmp_path: Path,
    undisturbed_training: str,
    command: tuple[str, ...],
    stride: int,
    torn: bool,
) -> None:
    wanted = table(benched)

    def after(folder: Path) -> None:
        again = shimmed.run(folder, *command)
        assert again.code == 0, again.said
        assert (
            (table(folder) == wanted) if command == ONE_LANE else fingerprint(folder) == undisturbed_training
        )
        assert check_all(folder / "a.db").problems == ()
        assert not temporary_files(folder)

    source = prepare(tmp_path / "source")
    assert killed_at_every_call(shimmed, source, tmp_path / "killed", command, after, stride, torn) > 2
