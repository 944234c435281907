"""What is refused, with which exit code, how soon, and that refusing changes nothing."""

import gzip
import hashlib
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fault_tools import (
    BENCH,
    BENCH_COMMAND,
    ROOT,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    fingerprint,
    prepare,
    running_cells,
    tree,
    wait_until,
)

from rnnprop_cli.errors import CheckpointError
from rnnprop_cli.execute.identity import NUMERICS_VERSION
from rnnprop_cli.runs.snapshots import checkpoint_files, latest_snapshot
from rnnprop_cli.store.checkpoints import side_path
from rnnprop_cli.store.migrations import NEWEST_VERSION
from rnnprop_cli.store.reader import Reader


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut amid a page": lambda path: os.truncate(path, path.stat().st_size - 100),
    "garbage": lambda path: path.write_bytes(random.Random(1).randbytes(20_000)),
    "empty": lambda path: path.write_bytes(b""),
    "newer": _newer,
    "another program's": _foreign,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_database_that_is_not_sound_is_exit_3_with_a_hint_and_stays_as_it_is(
    nursery: Nursery, folder: Path, damage: str
) -> None:
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum").code == 0
    DAMAGE[damage](folder / "a.db")
    before = tree(folder)
    for command in (BENCH_COMMAND, TRAIN_COMMAND, ("report", "small"), ("db", "check")):
        refused = nursery.run(folder, *command)
        assert refused.code == 3, refused.said
        assert "a.db" in refused.said
        assert re.search(r"--db|afresh|Upgrade|backup", refused.said)
        assert refused.seconds < 10  # tenths of a second, but other work may be in the way
    assert tree(folder) == before


def test_a_second_run_is_refused_within_a_second_with_the_holders_pid_and_looking_goes_on(
    nursery: Nursery, folder: Path
) -> None:
    first = nursery.start(folder, *BENCH_COMMAND, faults="slow")
    wait_until(lambda: running_cells(folder) > 0)
    command = [sys.executable, "-m", "rnnprop_cli", "--db", "a.db"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in (BENCH_COMMAND, TRAIN_COMMAND):
        started = time.monotonic()
        second = subprocess.run(
            [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        took = time.monotonic() - started
        assert second.returncode == 3
        assert f"process {first.pid} " in second.stderr
        assert "torch" not in second.stderr
        assert took < 20  # a whole Python start on a busy machine; the check itself takes milliseconds
    assert first.code is None
    looking = subprocess.run(
        [*command, "runs", "list"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert looking.returncode == 0
    assert first.wait() == 0


FIRST_START = """
import sys, time
from pathlib import Path
from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.preflight import check_writable
from rnnprop_cli.store.writer import Writer
time.sleep(max(0, float(sys.argv[1]) - time.time()))
try:
    check_writable(Path("a.db"))
    with Writer.open(Path("a.db")):
        time.sleep(0.05)
    print("wrote")
except StoreError as error:
    print("refused" if "is writing here" in str(error) else error)
"""


def test_eight_first_starts_at_once_give_one_schema_and_one_run(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_START, str(time.time() + 2)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(8)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in started]
    assert set(said) <= {"wrote", "refused"}, said
    assert "wrote" in said
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (NEWEST_VERSION,)


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_reader_beside_a_writer_never_meets_a_lock(
    nursery: Nursery, tmp_path: Path, seconds: float
) -> None:
    folder = prepare(tmp_path / "work", bench=BENCH.replace("seeds = 2\nh", "seeds = 400\nh"))
    writer = nursery.start(folder, *BENCH_COMMAND, "--memory-mb", "1", faults="slow")
    wait_until(lambda: running_cells(folder) > 0)
    looks, slowest, stop = 0, 0.0, time.monotonic() + seconds
    with Reader.open(folder / "a.db") as reader:
        while time.monotonic() < stop:
            started = time.monotonic()
            reader.data_version()
            ids = [run.id for run in reader.runs(1)]
            reader.curves(ids[-20:], "loss")
            slowest = max(slowest, time.monotonic() - started)
            looks += 1
    assert looks > 10
    TALLY["reads beside a writer"] += looks
    assert slowest < 2
    writer.send(15)
    assert writer.wait() in (0, 143)
    assert "locked" not in writer.said


@pytest.fixture(scope="module")
def interrupted(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A meta-training with several checkpoints that is not at its end."""
    folder = prepare(tmp_path_factory.mktemp("interrupted"))
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    assert len(checkpoint_files(checkpoint_folder(folder))) >= 2
    return folder


@pytest.mark.parametrize("which", ["tensors", "side file"])
@pytest.mark.parametrize("how", ["100 cuts", "300 flips"])
def test_no_damaged_checkpoint_is_accepted_and_the_sound_one_before_it_is_named(
    interrupted: Path, which: str, how: str
) -> None:
    place = checkpoint_folder(interrupted)
    *_, before, newest = checkpoint_files(place)
    path = newest if which == "tensors" else side_path(newest)
    good = path.read_bytes()
    draw = random.Random(5)
    try:
        for _ in range(100 if how == "100 cuts" else 300):
            damaged = bytearray(good)
            if how == "100 cuts":
                damaged = damaged[: draw.randrange(len(good))]
            else:
                bit = draw.randrange(8 * len(good))
                damaged[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=f"the last sound one is {before.name}"):
                latest_snapshot(place)
            TALLY["damaged checkpoints (cut or one bit flipped)"] += 1
    finally:
        path.write_bytes(good)
    assert latest_snapshot(place) is not None


def test_a_damaged_checkpoint_is_exit_4_and_without_it_the_training_ends_with_the_same_bits(
    nursery: Nursery, folder: Path, undisturbed_training: str
) -> None:
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    place = checkpoint_folder(folder)
    *_, before, newest = checkpoint_files(place)
    os.truncate(newest, newest.stat().st_size - 1)
    refused = nursery.run(folder, *TRAIN_COMMAND)
    assert refused.code == 4, refused.said
    assert newest.name in refused.said
    assert f"the last sound one is {before.name}" in refused.said
    newest.unlink()
    side_path(newest).unlink()
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    assert fingerprint(folder) == undisturbed_training


def test_another_environment_is_refused_with_the_flag_and_allowed_with_a_mark(
    nursery: Nursery, folder: Path
) -> None:
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    refused = nursery.run(folder, "train", "--resume", "tiny", "--threads", "2")
    assert refused.code == 2
    assert "threads was 1, is 2" in refused.said
    assert "--allow-inexact" in refused.said
    assert nursery.run(folder, *TRAIN_COMMAND, "--allow-inexact").code == 2  # only to resume
    resume = ("train", "--resume", "tiny", "--allow-inexact")
    allowed = nursery.run(folder, *resume, faults="other_version no_room_from_3")
    assert allowed.code == 3  # interrupted once more, then it goes on where it began: still marked
    allowed = nursery.run(folder, "train", "--resume", "tiny")
    assert allowed.code == 0, allowed.said
    with Reader.open(folder / "a.db") as reader:
        (run,) = reader.runs(1)
        assert run.result.status == "done"
        assert run.result.error == f"inexact: numerics was {NUMERICS_VERSION}, is 99"
        assert len(reader.experiments()) == 1
        assert "inexact" in [event.kind for event in reader.events(1)]
    assert f"inexact: numerics was {NUMERICS_VERSION}, is 99" in nursery.run(folder, "runs", "show", "1").said
    assert "inexact" in nursery.run(folder, "weights", "show", "tiny").said


@pytest.mark.parametrize(
    "arguments",
    [("--device", "cuda"), ("--device", "cuda:7"), ("--device", "tpu"), ("--slots", "0"), ("--threads", "0")],
)
def test_devices_that_are_not_there_are_refused_before_the_first_cell(
    nursery: Nursery, folder: Path, arguments: tuple[str, ...]
) -> None:
    import torch

    if torch.cuda.is_available() and arguments == ("--device", "cuda"):
        pytest.skip("there is a CUDA device")
    refused = nursery.run(folder, *BENCH_COMMAND, *arguments)
    assert refused.code == 2, refused.said
    assert not (folder / "a.db").exists()


def test_other_data_is_refused_with_or_without_the_flag(nursery: Nursery, folder: Path) -> None:
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    for flag in ((), ("--allow-inexact",)):
        refused = nursery.run(folder, "train", "--resume", "tiny", *flag, faults="other_data")
        assert refused.code == 2
        assert "dataset_sha256 was" in refused.said
        assert "--allow-inexact" not in refused.said


def test_an_absent_dataset_is_exit_4_with_the_command_that_fetches_it(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "work", bench=BENCH.replace("digits", "mnist"))
    command = nursery.start(
        folder, *BENCH_COMMAND, environment={"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    )
    assert command.wait() == 4, command.said
    assert "rnnprop data fetch mnist" in command.said
    assert not (folder / "a.db").exists()


def test_one_flipped_byte_of_a_dataset_is_exit_4_and_nothing_is_overwritten(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "work", bench=BENCH.replace("digits", "cifar10"))
    place = folder / "data" / "cifar10"
    place.mkdir(parents=True)
    content = bytearray(random.Random(1).randbytes(20 * 3073))
    content[::3073] = bytes(20)
    (place / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  data_batch_1.bin\n")
    content[12345] ^= 1
    (place / "data_batch_1.bin.gz").write_bytes(gzip.compress(bytes(content)))
    before = tree(folder / "data")
    command = nursery.run(folder, *BENCH_COMMAND, "--data-dir", "data")
    assert command.code == 4, command.said
    assert "rnnprop data fetch cifar10" in command.said
    assert tree(folder / "data") == before
    assert not (folder / "a.db").exists()


def test_a_folder_that_is_gone_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone}; rmdir {gone}; exec {sys.executable} -m rnnprop_cli doctor"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 2
    assert "the current folder: No such file or directory" in done.stderr
