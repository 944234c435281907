"""Whatever is named as a file: pipes, devices, folders, sparse giants and deep nesting are refused within a second."""

import os
import socket
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    running_cells,
    wait_until,
)

from rnnprop_cli.store.checkpoints import side_path


def make_unfit(path: Path, sort: str) -> None:
    path.unlink(missing_ok=True)
    if sort == "pipe":
        os.mkfifo(path)
    elif sort == "device":
        path.symlink_to("/dev/zero")
    elif sort == "folder":
        path.mkdir()
    elif sort == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket must be short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)
    elif sort == "giant":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif sort == "loop":
        path.symlink_to(path.name)
    else:
        path.write_bytes({"deep": b"[" * 200_000, "empty": b""}[sort])


SORTS = ["pipe", "device", "folder", "socket", "giant", "loop", "deep", "empty"]


@pytest.fixture(scope="module")
def results(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fault_tools import prepare

    folder = prepare(tmp_path_factory.mktemp("unfit"))
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum").code == 0
    return folder


@pytest.fixture
def place(results: Path, tmp_path: Path) -> Path:
    import shutil

    return shutil.copytree(results, tmp_path / "place")


def assert_refused(nursery: Nursery, folder: Path, *arguments: str, codes: tuple[int, ...]) -> None:
    command = nursery.run(folder, *arguments)
    assert command.code in codes, command.said
    assert command.seconds < 10  # tenths of a second, but other work may be in the way; a pipe takes for ever
    assert "unexpected" not in command.said
    TALLY["unfit files"] += 1


@pytest.mark.parametrize("sort", SORTS)
def test_as_a_spec(nursery: Nursery, place: Path, sort: str) -> None:
    for name in ("bench.toml", "train.toml"):
        make_unfit(place / name, sort)
    for command in (BENCH_COMMAND, TRAIN_COMMAND, ("spec", "check", "bench.toml")):
        assert_refused(nursery, place, *command, codes=(2,))


@pytest.mark.parametrize("sort", SORTS)
def test_as_weights(nursery: Nursery, place: Path, sort: str) -> None:
    newest = sorted(checkpoint_folder(place).glob("*.safetensors"))[-1]
    make_unfit(place / "w.safetensors", sort)
    (place / "w.json").write_bytes(side_path(newest).read_bytes())
    assert_refused(nursery, place, "weights", "show", "w.safetensors", codes=(4,))
    (place / "v.safetensors").write_bytes(newest.read_bytes())
    make_unfit(place / "v.json", sort)
    assert_refused(nursery, place, "weights", "show", "v.safetensors", codes=(4,))
    for path in (newest, side_path(newest)):
        make_unfit(path, sort)
        # A link to nowhere is no file: then this checkpoint was never finished, and the one before it serves.
        codes = (0, 4) if sort == "loop" else (4,)
        assert_refused(nursery, place, "train", "--resume", "tiny", codes=codes)


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort != "giant"])
def test_as_the_database_or_a_file_beside_it(nursery: Nursery, place: Path, sort: str) -> None:
    make_unfit(place / "b.db", sort)
    for command in (("report", "small"), ("db", "check"), BENCH_COMMAND):
        assert_refused(nursery, place, "--db", "b.db", *command, codes=(3,))
    if sort in ("deep", "empty"):
        return
    for side in ("-wal", "-journal", ".lock"):
        beside = place / f"a.db{side}"
        make_unfit(beside, sort)
        commands = [("bench", "--spec", "bench.toml", "--only", "*/momentum")]
        commands += [] if side == ".lock" else [("report", "small")]
        for command in commands:
            assert_refused(nursery, place, *command, codes=(3,))
        beside.rmdir() if sort == "folder" else beside.unlink()


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"pid": 1e999, "command": 3}', b"\xff\xfe", b"{}" * 5000]
)
def test_a_lock_file_of_any_content_is_none(nursery: Nursery, place: Path, content: bytes) -> None:
    (place / "a.db.lock").write_bytes(content)
    assert nursery.run(place, *BENCH_COMMAND, "--only", "*/momentum").code == 0


def test_the_text_that_is_recorded_is_the_one_that_was_read(nursery: Nursery, folder: Path) -> None:
    spec = folder / "bench.toml"
    text = spec.read_text()
    command = nursery.start(folder, *BENCH_COMMAND, "--only", "*/momentum", faults="slow")
    wait_until(lambda: running_cells(folder) > 0)
    spec.write_text(text.replace("seeds = 2", "seeds = 3"))
    assert command.wait() == 0
    from rnnprop_cli.store.reader import Reader

    with Reader.open(folder / "a.db") as reader:
        assert [each.facts.spec_toml for each in reader.experiments()] == [text]
    # The edited spec asks for something else: another experiment, beside the first one.
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum").code == 0
    with Reader.open(folder / "a.db") as reader:
        assert len(reader.experiments()) == 2
