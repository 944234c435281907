"""What a system allows a process and no more: open files, sizes of files, quotas, memory, locks."""

import errno
import os
import time
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
    table,
    temporary_files,
)

from rnnprop_cli.runs.soundness import check_all

TWO_SLOTS = (*BENCH_COMMAND, "--slots", "2")
ONE_LANE = (*BENCH_COMMAND, "--only", "*/momentum")
COMMANDS = pytest.mark.parametrize("command", [BENCH_COMMAND, TRAIN_COMMAND], ids=["bench", "train"])


def assert_ends_as_ever(
    nursery: Nursery,
    folder: Path,
    command: tuple[str, ...],
    table_: dict[str, tuple[object, ...]],
    training: str,
) -> None:
    """With the limit gone the same command goes on."""
    assert not temporary_files(folder)
    again = nursery.run(folder, *command)
    assert again.code == 0, again.said
    if command[0] == "bench":
        assert table(folder) == table_
    else:
        assert fingerprint(folder) == training
    assert check_all(folder / "a.db").problems == ()


@COMMANDS
@pytest.mark.parametrize("most", [8, 10, 11, pytest.param(12, marks=pytest.mark.slow)])
def test_too_few_open_files_are_said_with_what_allows_more(
    nursery: Nursery,
    folder: Path,
    command: tuple[str, ...],
    most: int,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
) -> None:
    stopped = nursery.run(folder, *command, limits={"RLIMIT_NOFILE": most})
    if stopped.code:
        assert stopped.code in (1, 3), (
            stopped.said
        )  # 1: a file that is none of the storage could not be opened
        assert f"may have {most} files open at once" in stopped.said
        assert "ulimit -n" in stopped.said
        TALLY["commands with too few descriptors"] += 1
    assert most > 10 or stopped.code == 3
    assert_ends_as_ever(nursery, folder, command, undisturbed_table, undisturbed_training)


def test_too_few_open_files_for_workers_are_said(nursery: Nursery, folder: Path) -> None:
    stopped = nursery.run(folder, *TWO_SLOTS, limits={"RLIMIT_NOFILE": 14})
    assert stopped.code == 1, stopped.said
    assert "may have 14 files open at once" in stopped.said
    assert "--slots 1" in stopped.said
    TALLY["commands with too few descriptors"] += 1


@COMMANDS
@pytest.mark.parametrize("most", [1_000, 90_000, pytest.param(140_000, marks=pytest.mark.slow)])
def test_a_limit_on_the_size_of_files_is_said_and_without_it_the_run_goes_on(
    nursery: Nursery,
    folder: Path,
    command: tuple[str, ...],
    most: int,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
) -> None:
    stopped = nursery.run(folder, *command, limits={"RLIMIT_FSIZE": most})
    if stopped.code:
        assert stopped.code == 3, stopped.said
        assert f"files of at most {most:,} bytes" in stopped.said
        TALLY["limits on the size of files"] += 1
    assert most > 1_000 or stopped.code == 3
    assert_ends_as_ever(nursery, folder, command, undisturbed_table, undisturbed_training)


@COMMANDS
@pytest.mark.parametrize("failure", [errno.EDQUOT, errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n in (1, 34, 89) else pytest.mark.slow) for n in range(1, 200, 11)],
)
def test_whichever_change_of_a_file_fails_nothing_is_lost(
    shimmed: Nursery,
    folder: Path,
    command: tuple[str, ...],
    failure: int,
    number: int,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
) -> None:
    faults = {
        "SHIM_FAIL_AT": str(number),
        "SHIM_ERRNO": str(failure),
        "SHIM_FOLDER": str(folder / "a.db"),
    }
    stopped = shimmed.run(folder, *command, environment=faults)
    if stopped.code:
        assert stopped.code == 3, stopped.said
        assert "bytes are free" in stopped.said or "a.db" in stopped.said
        TALLY[f"changes of a database that failed with {errno.errorcode[failure]}"] += 1
    before = committed(folder)
    again = shimmed.run(folder, *command)
    assert again.code == 0, again.said
    assert {key: committed(folder)[key] for key in before} == before
    if command[0] == "bench":
        assert table(folder) == undisturbed_table
    else:
        assert fingerprint(folder) == undisturbed_training
    assert check_all(folder / "a.db").problems == ()


@pytest.mark.parametrize("failure", [errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_that_cannot_lock_is_refused_in_words_by_those_who_write_and_by_those_who_look(
    shimmed: Nursery, folder: Path, failure: int
) -> None:
    faults = {"SHIM_LOCK_ERRNO": str(failure)}
    for command in (BENCH_COMMAND, TRAIN_COMMAND):
        refused = shimmed.run(folder, *command, environment=faults)
        assert refused.code == 3
        assert "this file system cannot lock" in refused.said
        assert not (folder / "a.db").exists()
    assert shimmed.run(folder, *ONE_LANE).code == 0
    before = committed(folder)
    for command in (
        ONE_LANE,
        TRAIN_COMMAND,
        ("report", "small"),
        ("runs", "list"),
        ("runs", "rm", "1", "--yes"),
        ("db", "check"),
        ("db", "backup", "b.db"),
        ("db", "migrate"),
    ):
        asked = time.monotonic()
        refused = shimmed.run(folder, *command, environment=faults)
        assert refused.code == 3
        assert f"this file system cannot lock ({os.strerror(failure)}). Choose a local disk" in refused.said
        assert time.monotonic() - asked < 20  # not the 30 s of a database that somebody holds
        TALLY["commands where nothing can be locked"] += 1
    doctor = shimmed.run(folder, "doctor", environment=faults)
    assert "this file system cannot lock" in " ".join(doctor.said.split())
    assert committed(folder) == before
    assert not (folder / "b.db").exists()


@pytest.mark.parametrize("arguments", [("--threads", "99999"), ("--threads", "1024", "--slots", "1024")])
def test_so_many_threads_that_the_system_would_have_room_for_no_other_process_are_refused(
    nursery: Nursery, folder: Path, arguments: tuple[str, ...]
) -> None:
    refused = nursery.run(folder, *BENCH_COMMAND, *arguments)
    assert refused.code == 2, refused.said
    assert not (folder / "a.db").exists()


GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A cgroup whose limit the test sets."""
    place = GROUPS / f"rnnprop-test-{os.getpid()}"
    try:
        place.mkdir()
        (place / "memory.limit_in_bytes").write_text("-1")
    except OSError:
        pytest.skip("needs a cgroup of version 1 for memory, and the right to make one in it")
    yield place
    place.rmdir()


def test_a_driver_that_the_kernel_ends_for_want_of_memory_has_lost_nothing(
    nursery: Nursery,
    tmp_path: Path,
    little_memory: Path,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
) -> None:
    for command in (BENCH_COMMAND, TRAIN_COMMAND):
        whole = prepare(tmp_path / f"whole {command[0]}")
        (little_memory / "memory.limit_in_bytes").write_text("-1")
        (little_memory / "memory.max_usage_in_bytes").write_text("0")
        assert nursery.run(whole, *command, cgroup=little_memory).code == 0
        peak = int((little_memory / "memory.max_usage_in_bytes").read_text())
        for share in (0.9, 0.6):
            folder = prepare(tmp_path / f"{share} {command[0]}")
            (little_memory / "memory.limit_in_bytes").write_text(str(int(peak * share)))
            assert nursery.run(folder, *command, cgroup=little_memory).code in (-9, 0)
            (little_memory / "memory.limit_in_bytes").write_text("-1")
            TALLY["processes that the kernel ended for want of memory"] += 1
            assert_ends_as_ever(nursery, folder, command, undisturbed_table, undisturbed_training)


@pytest.mark.slow
def test_a_worker_that_the_kernel_ends_for_want_of_memory_is_replaced(
    nursery: Nursery,
    folder: Path,
    little_memory: Path,
    undisturbed_table: dict[str, tuple[object, ...]],
) -> None:
    """Two workers and their driver take some 450 MB, one and the driver some 300."""
    (little_memory / "memory.limit_in_bytes").write_text("400000000")
    command = nursery.run(folder, *TWO_SLOTS, cgroup=little_memory)
    assert command.code in (0, 1), command.said  # not -9: the workers go first
    TALLY["processes that the kernel ended for want of memory"] += 1
    (little_memory / "memory.limit_in_bytes").write_text("-1")
    again = nursery.run(folder, *TWO_SLOTS, "--retry-failed")
    assert again.code == 0
    assert table(folder) == undisturbed_table
