"""No room: what was there stays, nothing half-written is left, the message says where and how much, and it goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    fingerprint,
    prepare,
    table,
    temporary_files,
    try_mount,
)

from rnnprop_cli.runs.snapshots import checkpoint_files, latest_snapshot
from rnnprop_cli.store.checkpoints import side_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB with the specs on it; the log of a database alone may grow that large."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux") or os.getuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    if not try_mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)):
        pytest.skip("mounting is not permitted here")
    yield prepare(disk)
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("command", [BENCH_COMMAND, TRAIN_COMMAND], ids=["bench", "train"])
@pytest.mark.parametrize(
    "room",
    [
        pytest.param(room, marks=() if room in (4_000, 150_000, 500_000) else pytest.mark.slow)
        for room in (4_000, 60_000, 100_000, 120_000, 150_000, 200_000, 300_000, 500_000)
    ],
)
def test_a_full_disk_is_exit_3_and_with_room_again_it_ends_as_ever(
    nursery: Nursery,
    small_disk: Path,
    command: tuple[str, ...],
    room: int,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
) -> None:
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast.write_bytes(bytes(free - room - 8192))
    stopped = nursery.run(small_disk, *command)
    if stopped.code != 0:  # a shorter run fits
        assert stopped.code == 3, stopped.said
        assert str(small_disk) in stopped.said.replace("\n", "")
        assert "bytes are free" in stopped.said
    assert room >= 300_000 or stopped.code == 3  # the whole run fits
    assert not temporary_files(small_disk)
    TALLY["full disks"] += stopped.code == 3
    if (small_disk / "checkpoints").exists():
        latest_snapshot(checkpoint_folder(small_disk))  # what is there is whole
    ballast.unlink()
    again = nursery.run(small_disk, *command)
    assert again.code == 0, again.said
    if command == BENCH_COMMAND:
        assert table(small_disk) == undisturbed_table
    else:
        assert fingerprint(small_disk) == undisturbed_training


# Eight checkpoints of two files each; what is not marked slow is the first two, one amid and the last.
@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n in (1, 2, 3, 4, 9, 16) else pytest.mark.slow) for n in range(1, 17)],
)
def test_whichever_write_of_a_checkpoint_fails_the_last_one_is_intact(
    nursery: Nursery, folder: Path, undisturbed_training: str, number: int
) -> None:
    command = nursery.run(folder, *TRAIN_COMMAND, faults=f"no_room_from_{number}")
    assert command.code == 3, command.said
    assert "No space left on device" in command.said
    assert "bytes are free" in command.said
    assert not temporary_files(folder)
    TALLY["failing writes of a checkpoint"] += 1
    place = checkpoint_folder(folder)
    assert all(side_path(path).exists() for path in place.glob("*.safetensors"))
    for path in checkpoint_files(place):
        latest_snapshot(path.parent)
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    assert fingerprint(folder) == undisturbed_training


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a read-only mount."""
    folder = prepare(tmp_path / "frozen")
    if (
        not sys.platform.startswith("linux")
        or os.getuid() != 0
        or not try_mount("--bind", str(folder), str(folder))
    ):
        pytest.skip("mounting is not permitted here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("command", [BENCH_COMMAND, TRAIN_COMMAND], ids=["bench", "train"])
def test_a_read_only_folder_is_refused_before_anything_is_computed(
    nursery: Nursery, read_only: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    place = prepare(tmp_path / "here")
    refused = nursery.run(place, "--db", str(read_only / "results" / "x.db"), *command)
    assert refused.code == 3, refused.said
    assert refused.seconds < 10  # tenths of a second, but other work may be in the way
    assert "Read-only file system" in refused.said
    assert "--db" in refused.said
