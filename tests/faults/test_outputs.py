"""What a command writes where it is told to: never over what we read, and whole or not at all."""

import os
import resource
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    prepare,
    tree,
    try_mount,
)

from rnnprop_cli.errors import StoreError
from rnnprop_cli.files.writing import write_whole
from rnnprop_cli.store.checkpoints import side_path

# Commands that write a file somewhere, the file comes last.
WRITERS = {
    "report html": ("report", "small", "--format", "html", "--output"),
    "report csv": ("report", "small", "-f", "csv", "-o"),
    "runs export": ("runs", "export", "-e", "small", "-o"),
    "spec init": ("spec", "init", "bench"),
    "weights export": ("weights", "export", "tiny"),
    "weights export npz": ("weights", "export", "tiny"),
    "db backup": ("db", "backup"),
}


@pytest.fixture(scope="module")
def results(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("results"))
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum").code == 0
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    assert nursery.run(folder, "db", "backup", "other.db").code == 0
    newest = sorted(checkpoint_folder(folder).glob("*.safetensors"))[-1]
    (folder / "link").symlink_to("a.db")
    os.link(folder / "a.db", folder / "hard")
    (folder / "mine.safetensors").write_bytes(newest.read_bytes())
    (folder / "mine.json").write_bytes(side_path(newest).read_bytes())
    (folder / "folder").mkdir()
    return folder


def protected(folder: Path) -> list[str]:
    newest = sorted(checkpoint_folder(folder).glob("*.safetensors"))[-1]
    inside = [newest, side_path(newest), newest.with_name("new.html")]
    return [
        *("a.db", "a.db-wal", "a.db-shm", "a.db-journal", "a.db.lock", "a.db.new", "link", "hard", "folder"),
        *("other.db", "other.db-wal", "bench.toml", "train.toml", "mine.safetensors", "mine.json"),
        *(str(path.relative_to(folder)) for path in inside),
    ]


@pytest.mark.parametrize("writer", WRITERS)
def test_no_command_writes_over_what_we_read(nursery: Nursery, results: Path, writer: str) -> None:
    if not (results / "other.db-wal").exists():
        (results / "other.db-wal").write_bytes(b"")
    before = {**tree(results)}
    for target in protected(results):
        refused = nursery.run(results, *WRITERS[writer], target)
        # A name with another suffix is no place for weights, which is said first.
        assert refused.code in ((2, 3) if writer.startswith("weights") else (3,)), (target, refused.said)
        assert refused.seconds < 10
        assert {**tree(results)} == before, target
        TALLY["outputs aimed at what we read"] += 1


def test_a_report_is_written_again_over_itself_and_through_links_pipes_and_devices(
    nursery: Nursery, results: Path
) -> None:
    command = ("report", "small", "-f", "csv", "-o")
    assert nursery.run(results, *command, "page.csv").code == 0
    wanted = (results / "page.csv").read_bytes()
    (results / "page.csv").write_bytes(b"old")
    (results / "page.csv").chmod(0o640)
    (results / "to-page").symlink_to("page.csv")
    assert nursery.run(results, *command, "to-page").code == 0
    assert (results / "to-page").is_symlink()
    assert (results / "page.csv").read_bytes() == wanted
    assert stat.S_IMODE((results / "page.csv").stat().st_mode) == 0o640
    os.mkfifo(results / "pipe")
    refused = nursery.run(results, *command, "pipe")  # nobody reads it
    assert (refused.code, refused.seconds < 2) == (3, True)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((results / "pipe").read_bytes()))
    reader.start()
    while nursery.run(results, *command, "pipe").code:  # until the reader has opened it
        continue
    reader.join()
    assert got == [wanted]
    assert nursery.run(results, *command, "/dev/null").code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    for made in ("page.csv", "to-page", "pipe"):
        (results / made).unlink()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() != 0 or not try_mount("-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)):
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "spec init"])
def test_a_full_disk_under_an_output_is_exit_3_and_leaves_no_half_of_it(
    nursery: Nursery, results: Path, tiny_disk: Path, writer: str
) -> None:
    name = {"weights export": "out.safetensors", "weights export npz": "out.npz"}.get(writer, "out")
    is_report = writer.startswith("report")
    (tiny_disk / "filler").write_bytes(b"x" * (4096 if is_report else 8192))
    if is_report:
        (tiny_disk / name).write_bytes(b"old")
    before = tree(tiny_disk)
    refused = nursery.run(results, *WRITERS[writer], str(tiny_disk / name))
    assert refused.code == 3, refused.said
    assert str(tiny_disk) in refused.said
    assert "bytes are free" in refused.said
    assert tree(tiny_disk) == before
    TALLY["full disks under an output"] += 1


def test_a_file_that_cannot_be_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    limit, on_limit = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(StoreError, match="at most 1,000 bytes"):
            write_whole(tmp_path / "x", b"y" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, on_limit)
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_write_one_new_file_one_is_refused(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        yield "first"
        (tmp_path / "x").write_text("second")

    with pytest.raises(StoreError, match="exists already"):
        write_whole(tmp_path / "x", pieces())
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "second"
