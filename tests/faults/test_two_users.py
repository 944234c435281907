"""Two users and one database: with a folder that they share, and with one that only one of them may write."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
    running_cells,
    table,
    wait_until,
)

OWNER, OTHER = 23456, 34567
ONE_LANE = (*BENCH_COMMAND, "--only", "*/momentum")
LOOKING = (("report", "small"), ("runs", "list"), ("runs", "show", "1"), ("db", "check"))
WRITING = (ONE_LANE, TRAIN_COMMAND, ("runs", "rm", "1", "--yes"), ("db", "migrate"))

# Python may lie where other users may not look, as in the home of root: then it lies there too, where nobody hides it.
_READABLE = """set -e
kept=$(mktemp -d); mount --bind "$1" "$kept"; mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir -p "$1"; mount --bind "$kept" "$1"; umount "$kept"; rmdir "$kept"; shift 2; exec "$@"
"""


def _readable_python() -> list[str]:
    """What goes before a command so that everybody may read the Python that runs it."""
    python = Path(sys.base_prefix)
    hidden = [each for each in (python, *python.parents) if not each.stat().st_mode & stat.S_IXOTH]
    return ["unshare", "-m", "sh", "-c", _READABLE, "sh", str(python), str(hidden[-1])] if hidden else []


@pytest.fixture(scope="module")
def users() -> Iterator[Nursery]:
    """Starts commands as whoever is asked for."""
    if not sys.platform.startswith("linux") or os.getuid() != 0:
        pytest.skip("only root may start commands as other users")
    before = _readable_python()
    if before and subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("other users may not read this Python, and mounting is not permitted here")
    made = Nursery(before=before)
    yield made
    made.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the owner's, in one that everybody may enter."""
    above = Path(tempfile.mkdtemp(prefix="rnnprop-"))
    above.chmod(0o755)
    folder = prepare(above / "work")
    (folder / "output.txt").touch()
    os.chown(folder, OWNER, OWNER)
    yield folder
    shutil.rmtree(above)


def whose(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in folder.rglob("*") if path.name.startswith("a.db")}


@pytest.mark.parametrize(
    "mode",
    [0o755, pytest.param(0o777, marks=pytest.mark.slow), pytest.param(0o1777, marks=pytest.mark.slow)],
    ids=oct,
)
def test_one_who_may_only_read_looks_at_everything_leaves_nothing_and_changes_nothing(
    users: Nursery, place: Path, mode: int, undisturbed_training: str
) -> None:
    place.chmod(mode)
    assert users.run(place, *ONE_LANE, user=OWNER).code == 0
    before = committed(place)
    for command in LOOKING:
        looked = users.run(place, *command, user=OTHER)
        assert looked.code == 0, looked.said
    for command in WRITING:
        refused = users.run(place, *command, user=OTHER)
        assert refused.code == 3, refused.said
        assert "Permission denied" in refused.said
        assert f"belongs to user {OWNER}: ask for the right" in refused.said
        TALLY["writings by one who may not"] += 1
    assert whose(place) == {OWNER}
    assert committed(place) == before
    trained = users.run(place, *TRAIN_COMMAND, user=OWNER)
    assert trained.code == 0, trained.said
    assert fingerprint(place) == undisturbed_training
    assert committed(place) == before


def test_one_who_may_only_read_sees_a_run_while_it_goes_on_and_what_a_killed_one_left(
    users: Nursery, shimmed: Nursery, place: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = users.start(place, *BENCH_COMMAND, faults="slow", user=OWNER)
    wait_until(lambda: len(committed(place)) > 0)
    output = place.parent / "seen"
    prepare(output)
    (output / "a.db").symlink_to(place / "a.db")
    looked = shimmed.run(output, "report", "small", user=0)
    assert looked.code == 0
    command.send(9)
    command.wait()
    for each in LOOKING:
        assert users.run(place, *each, user=OTHER).code == 0
    assert whose(place) == {OWNER}
    again = users.run(place, *BENCH_COMMAND, user=OWNER)
    assert again.code == 0, again.said
    assert table(place) == undisturbed_table


def test_users_who_share_a_group_go_on_with_one_anothers_runs(
    users: Nursery, place: Path, undisturbed_training: str
) -> None:
    place.chmod(0o777)  # in place of a group: these users have none in common
    assert users.run(place, *ONE_LANE, user=OWNER, umask=0).code == 0
    assert users.run(place, *TRAIN_COMMAND, faults="no_room_from_13", user=OWNER, umask=0).code == 3
    trained = users.run(place, *TRAIN_COMMAND, user=OTHER, umask=0)
    assert trained.code == 0, trained.said
    assert fingerprint(place) == undisturbed_training
    before = committed(place)
    benched = users.run(place, *BENCH_COMMAND, user=OTHER, umask=0)
    assert benched.code == 0, benched.said
    assert {key: committed(place)[key] for key in before} == before
    assert users.run(place, "runs", "rm", "-e", "small", "--yes", user=OWNER, umask=0).code == 0


def test_two_users_do_not_write_at_once(users: Nursery, shimmed: Nursery, place: Path) -> None:
    place.chmod(0o777)
    command = users.start(place, *BENCH_COMMAND, faults="slow", user=OWNER, umask=0)
    wait_until(lambda: running_cells(place) > 0)
    other = prepare(place.parent / "other")
    (other / "output.txt").touch()
    refused = shimmed.run(other, "--db", str(place / "a.db"), *ONE_LANE, user=0)
    assert refused.code == 3
    assert f"process {command.pid} " in refused.said
    command.send(15)
    assert command.wait() == 143


def test_a_log_that_another_user_put_beside_a_database_is_not_taken_in(
    users: Nursery, place: Path, tmp_path: Path
) -> None:
    assert users.run(place, *ONE_LANE, user=OWNER).code == 0
    before = committed(place)
    forge_log(place / "a.db", tmp_path / "copy.db", place / "a.db-wal")
    os.chown(place / "a.db-wal", OTHER, OTHER)
    for command in (TRAIN_COMMAND, *LOOKING):
        refused = users.run(place, *command, user=OWNER)
        assert refused.code == 3, refused.said
        assert f"belongs to user {OTHER}, who may not write the database" in " ".join(refused.said.split())
        TALLY["forged logs"] += 1
    (place / "a.db-wal").unlink()
    assert users.run(place, *TRAIN_COMMAND, user=OWNER).code == 0
    assert committed(place) == before


def forge_log(database: Path, copy: Path, log: Path) -> None:
    """Writes a log that SQLite takes for the database's own, and that marks every run as failed."""
    shutil.copy(database, copy)
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE run SET status = 'failed'")
    connection.commit()
    shutil.copy(f"{copy}-wal", log)  # before closing, which would copy it into the database
    connection.close()
