"""Opening: what is ours, what is refused, and that nothing refused is touched."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from store_samples import EXPERIMENT, block, writer_with_runs

from rnnprop_cli.errors import StoreError
from rnnprop_cli.records import CellResult
from rnnprop_cli.store.database import APPLICATION_ID, creating
from rnnprop_cli.store.maintenance import migrate_database
from rnnprop_cli.store.migrations import NEWEST_VERSION, migrate
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "rnnprop.db"
    with writer_with_runs(path, 20) as (writer, experiment_id):
        curves = [block(n, 0, range(3000)) for n in range(20)]
        writer.record_results(experiment_id, [CellResult(b.key, "done", 0.5) for b in curves], curves)
    return path


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {NEWEST_VERSION + 1}")
        connection.execute("CREATE TABLE tomorrow (x)")


BAD_FILES = {
    "is empty": lambda path: path.write_bytes(b""),
    "is not a SQLite database": lambda path: path.write_bytes(os.urandom(5000)),
    "is too short for a database": lambda path: path.write_bytes(b"SQLite format 3\x00"),
    "is a database of another program": foreign,
    "was written by a newer rnnprop": newer,
    "is not a file": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("complaint", BAD_FILES)
@pytest.mark.parametrize("opening", [Writer.open, Reader.open])
def test_a_file_that_is_not_our_database_is_refused_and_left_untouched(tmp_path, complaint, opening):
    path = tmp_path / "x.db"
    BAD_FILES[complaint](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=complaint) as caught, opening(path):
        pass
    assert str(path) in str(caught.value)
    assert "--db" in str(caught.value) or "afresh" in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert {p.name for p in tmp_path.iterdir()} <= {"x.db", "x.db.lock"}


@pytest.mark.parametrize("opening", [Writer.open, Reader.open])
def test_a_newer_version_that_is_still_in_the_write_ahead_log_is_refused(database, opening):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST_VERSION + 1}")
        assert database.read_bytes()[60:64] == NEWEST_VERSION.to_bytes(4, "big")  # the file does not know yet
        before = database.read_bytes()
        with pytest.raises(StoreError, match="newer"), opening(database):
            pass
        assert database.read_bytes() == before


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("opening", [Writer.open, Reader.open])
def test_a_truncated_database_is_refused_and_left_untouched(database, share, opening):
    cut = database.read_bytes()[: int(database.stat().st_size * share)]
    database.write_bytes(cut)
    with pytest.raises(StoreError, match="afresh"), opening(database):
        pass
    assert database.read_bytes() == cut


def test_an_absent_database_is_refused_by_a_reader_with_what_makes_one(tmp_path):
    with pytest.raises(StoreError, match="rnnprop bench"), Reader.open(tmp_path / "no.db"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_fresh_database_carries_id_version_and_pragmas(tmp_path):
    path = tmp_path / "deep" / "folder" / "x.db"
    with Writer.open(path) as writer:
        pragmas = {
            name: writer._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {
            "application_id": APPLICATION_ID,
            "user_version": NEWEST_VERSION,
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 30_000,
        }
        mapped = writer._connection.execute("PRAGMA mmap_size").fetchone()
        assert mapped is None or mapped[0] == 0
    assert {p.name for p in path.parent.iterdir()} == {"x.db", "x.db.lock"}


def test_a_reader_cannot_write(database):
    with Reader.open(database) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM run")


def test_a_crash_while_the_database_is_made_leaves_no_half_database(tmp_path, monkeypatch):
    path = tmp_path / "x.db"
    with monkeypatch.context() as patched:
        patched.setattr("rnnprop_cli.store.writer.migrate", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError), Writer.open(path):
            pass
    assert not path.exists()
    (tmp_path / "x.db.new").write_bytes(b"left by kill -9")
    with Writer.open(path) as writer:
        writer.begin_experiment(EXPERIMENT)
    assert {p.name for p in tmp_path.iterdir()} == {"x.db", "x.db.lock"}


def test_the_log_of_a_database_that_is_gone_is_not_replayed_into_a_new_one(tmp_path):
    (tmp_path / "x.db-wal").write_bytes(b"\x37\x7f\x06\x82" * 100)
    with pytest.raises(StoreError, match="gone"), Writer.open(tmp_path / "x.db"):
        pass
    assert not (tmp_path / "x.db").exists()


def test_a_database_that_was_deleted_while_readers_left_files_beside_it_can_be_made_anew(database):
    with Reader.open(database):
        pass
    database.unlink()
    assert database.with_name("rnnprop.db-shm").exists()
    with Writer.open(database) as writer:
        assert writer.begin_experiment(EXPERIMENT) == 1


def unprivileged(action) -> str:
    """What `action` raises, or "", in a child that is not root (root may write anywhere)."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            action()
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def readonly_folder(database):
    for folder in (database.parent, *database.parents):
        if not folder.stat().st_mode & 0o005:
            folder.chmod(0o755)
    for file in database.parent.iterdir():
        file.chmod(0o444)
    database.parent.chmod(0o555)
    yield database.parent
    database.parent.chmod(0o755)


def test_a_read_only_folder_is_refused_at_once_for_writing(readonly_folder):
    def write() -> None:
        with Writer.open(readonly_folder / "rnnprop.db"):
            pass

    said = unprivileged(write)
    assert said.startswith("StoreError")
    assert str(readonly_folder) in said
    assert "--db" in said


def test_a_database_on_a_read_only_medium_can_be_read(readonly_folder):
    def read() -> None:
        with Reader.open(readonly_folder / "rnnprop.db") as reader:
            assert len(reader.runs(1)) == 20

    assert unprivileged(read) == ""


@pytest.mark.parametrize("spare_pages", range(0, 40, 3))
def test_a_full_disk_is_reported_and_rolls_the_batch_back(database, spare_pages):
    with Writer.open(database) as writer:
        (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
        writer._connection.execute(f"PRAGMA max_page_count = {pages + spare_pages}")
        curves = [block(n, 0, range(20_000)) for n in range(20)]
        results = [CellResult(b.key, "diverged", first_bad_step=1) for b in curves]
        with pytest.raises(StoreError, match="bytes are free") as caught:
            writer.record_results(1, results, curves)
        assert str(database) in str(caught.value)
        with Reader.open(database) as reader:
            assert set(reader.keys_with_status(1).values()) == {"done"}
            assert all(len(steps) == 3000 for steps, _ in reader.curves(range(1, 21), "loss").values())
        writer._connection.execute("PRAGMA max_page_count = 1073741823")
        writer.record_results(1, results, curves)  # goes on once there is room
    with Reader.open(database) as reader:
        assert set(reader.keys_with_status(1).values()) == {"diverged"}


FOREIGN_TOOL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM run").fetchone()
connection.close()
"""


def test_opening_a_reader_beside_the_writer_drops_none_of_its_locks(database):
    # POSIX drops all of a process's locks on a file when it closes any descriptor of that file. Without its lock, the
    # next foreign tool to close the database believes itself the last and deletes the log that we go on writing.
    with Writer.open(database) as writer:
        writer.log_event(1, "note", "before")
        with Reader.open(database):
            pass
        subprocess.run([sys.executable, "-c", FOREIGN_TOOL, str(database)], check=True)
        assert database.with_name("rnnprop.db-wal").exists()
        writer.log_event(1, "note", "after")
    with Reader.open(database) as reader:
        assert [event.text for event in reader.events(1)] == ["before", "after"]


DIE_AMID_A_TRANSACTION = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the end
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE run SET error = hex(zeroblob(5000))")
os._exit(0)
"""


def test_a_journal_that_a_killed_writer_left_is_rolled_back_by_the_next_one(database):
    # As after a kill while a database from `db backup` is switched back to the write-ahead log.
    subprocess.run([sys.executable, "-c", DIE_AMID_A_TRANSACTION, str(database)], check=True)
    assert database.with_name("rnnprop.db-journal").exists()
    with pytest.raises(StoreError, match="rnnprop db migrate"), Reader.open(database):
        pass
    assert migrate_database(database) == NEWEST_VERSION
    with Reader.open(database) as reader:
        assert {run.result.error for run in reader.runs(1)} == {None}
        assert len(reader.curve(1, "loss")[0]) == 3000


def test_a_new_database_has_its_write_ahead_log_from_the_start(tmp_path):
    with creating(tmp_path / "x.db") as connection:
        migrate(connection)
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]
    assert (tmp_path / "x.db").read_bytes()[18:20] == b"\x02\x02"  # the file format's numbers for WAL
