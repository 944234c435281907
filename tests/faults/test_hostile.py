"""Files and databases made by an enemy: no code is run, no file outside is touched, no control byte is shown."""

import io
import json
import os
import pickle
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from fault_tools import (
    BENCH,
    BENCH_COMMAND,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    prepare,
)
from test_signals import Terminal
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import IntegrityError, RnnpropError
from rnnprop_cli.runs.snapshots import checkpoint_files, latest_snapshot
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.store.checkpoints import inside, save_checkpoint, side_path


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.marker),))


def _torch_file(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weights": bomb}, buffer)
    return buffer.getvalue()


def _numpy_file(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([bomb], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _numpy_archive(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([bomb], dtype=object))
    return buffer.getvalue()


def _zip(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(bomb))
    return buffer.getvalue()


PAYLOADS: dict[str, Callable[[Bomb], bytes]] = {
    **{f"pickle {n}": lambda bomb, n=n: pickle.dumps(bomb, protocol=n) for n in range(6)},  # type: ignore[misc]
    "torch.save": _torch_file,
    "npy": _numpy_file,
    "npz": _numpy_archive,
    "zip": _zip,
}


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "the bomb went off"
    yield path
    assert not path.exists()
    TALLY["hostile pickles"] += 1


def test_the_payloads_are_live(tmp_path: Path) -> None:
    for number in range(6):
        pickle.loads(PAYLOADS[f"pickle {number}"](Bomb(tmp_path / str(number))))
        assert (tmp_path / str(number)).exists()


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz", ".json"])
def test_a_pickle_in_place_of_weights_is_refused_and_never_run(
    tmp_path: Path, marker: Path, payload: str, suffix: str
) -> None:
    content = PAYLOADS[payload](Bomb(marker))
    saved = save_checkpoint(tmp_path, "weights", {"x": np.ones(3)}, {})
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    name = str(saved.path if suffix == ".json" else path)
    with pytest.raises(RnnpropError) as caught:
        find_weights(name, tmp_path / "a.db")
    assert "weights" in str(caught.value)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_pickle_in_place_of_a_checkpoint_is_refused_and_never_run(
    tmp_path: Path, marker: Path, payload: str
) -> None:
    content = PAYLOADS[payload](Bomb(marker))
    for number, target in ((1, "tensors"), (2, "side file")):
        folder = tmp_path / target
        saved = save_checkpoint(folder, f"meta-{number:09d}", {"x": np.ones(3)}, {})
        (saved.path if target == "tensors" else side_path(saved.path)).write_bytes(content)
        with pytest.raises(IntegrityError):
            latest_snapshot(folder)


def test_a_side_file_of_endless_depth_is_refused(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, "meta-000000001", {"x": np.ones(3)}, {})
    side_path(saved.path).write_text("[" * 200_000)
    with pytest.raises(IntegrityError):
        latest_snapshot(tmp_path)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "..", ".hidden", "a/b", "a\\b", "a\x00b", "~x", "a b", "x" * 101]
)
def test_a_name_that_could_leave_the_folder_is_exit_2(tmp_path: Path, name: str) -> None:
    folder = prepare(tmp_path / "work")
    (folder / "bad.toml").write_text(BENCH.replace('"small"', json.dumps(name)))
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ("bench", "--spec", str(folder / "bad.toml")),
        ("train", "--spec", str(folder / "train.toml"), "--name", name),
    ):
        refused = CliRunner().invoke(app, ["--db", str(folder / "results" / "a.db"), *command])
        assert refused.exit_code == 2, refused.output
    assert sorted(tmp_path.rglob("*")) == before
    TALLY["paths and names that lead out"] += 2


LEADING_OUT = [
    "../secret/x.safetensors",
    "checkpoints/../../secret/x.safetensors",
    "/x.safetensors",
    "checkpoints/link/x.safetensors",
    "link.safetensors",
    "checkpoints/loop/x.safetensors",
    "..",
    "a\x00b.safetensors",
    "//etc/passwd",
    "checkpoints/./../../secret/x.safetensors",
    "checkpoints/" + "../" * 40 + "etc/passwd",
]


@pytest.mark.parametrize("recorded", LEADING_OUT)
def test_a_recorded_checkpoint_path_that_leads_out_is_exit_4(trained: Path, recorded: str) -> None:
    with closing(sqlite3.connect(trained / "a.db")) as connection, connection:
        connection.execute("UPDATE checkpoint SET path = ?", (recorded,))
    with pytest.raises(IntegrityError, match="leads out of"):
        inside(trained, recorded)
    for command in (("weights", "show", "tiny"), ("weights", "export", "tiny", "out.npz"), ("db", "check")):
        refused = CliRunner().invoke(app, ["--db", str(trained / "a.db"), *command])
        assert refused.exit_code == 4, refused.output
        assert "leads out of" in refused.output
    assert not Path("out.npz").exists()
    TALLY["paths and names that lead out"] += 1


@pytest.fixture(scope="module")
def trained(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished meta-training, with a secret beside its folder and links to it inside."""
    above = tmp_path_factory.mktemp("trained")
    folder = prepare(above / "work")
    assert nursery.run(folder, *TRAIN_COMMAND, "--set", "meta_iterations=1").code == 0
    secret = above / "secret"
    secret.mkdir()
    (newest,) = checkpoint_files(checkpoint_folder(folder))
    for path in (newest, side_path(newest)):
        (secret / path.name).write_bytes(path.read_bytes())
    (folder / "checkpoints" / "link").symlink_to(secret)
    (folder / "checkpoints" / "loop").symlink_to("loop")
    (folder / "link.safetensors").symlink_to(secret / newest.name)
    return folder


def test_no_checkpoint_is_written_through_a_link_in_place_of_the_folder(
    nursery: Nursery, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "checkpoints").symlink_to(elsewhere)
    refused = nursery.run(folder, *TRAIN_COMMAND)
    assert refused.code == 4, refused.said
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("column", ["key", "spec_json"])
def test_what_a_resumed_run_takes_from_the_database_is_checked(
    nursery: Nursery, folder: Path, tmp_path: Path, column: str
) -> None:
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    table, value = (
        ("run", "/../../../evil/" + "x" * 60) if column == "key" else ("experiment", '{"spec": {"name": 3}}')
    )
    with closing(sqlite3.connect(folder / "a.db")) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    command = nursery.run(folder, "train", "--resume", "tiny", "--allow-inexact", faults="other_version")
    assert command.code == 3, command.said
    assert "damaged" in command.said
    assert not (tmp_path / "evil").exists()


PAYLOAD = "x\x1b]52;c;cHduZWQ=\x07\x1b[2J\x9b31m\x1b[8mhid\x08\r\u202e\x00y\u2028\ue000"
COLUMNS = {
    "experiment": ("name", "spec_toml", "git_sha", "argv", "host", "created_utc"),
    "run": (
        "optimizer",
        "optimizee",
        "dataset",
        "activation",
        "device",
        "dtype",
        "error",
        "started_utc",
        "phase",
    ),
    "metric": ("name",),
    "event": ("kind", "text"),
    "checkpoint": ("path",),
}
# What Rich and we send by ourselves: colours, cursor on and off, up a line, erase a line, start of line.
OURS = re.compile(rb"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[1A|\x1b\[2K|\r")


def control_bytes(shown: bytes) -> list[str]:
    text = OURS.sub(b"", shown).decode("utf-8", "surrogateescape")
    return [
        hex(ord(c)) for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\ue000"
    ]


def test_no_control_byte_of_a_database_or_a_name_reaches_the_terminal(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "work")
    assert nursery.run(folder, *BENCH_COMMAND, "--only", "*x20/*").code == 0
    assert nursery.run(folder, *TRAIN_COMMAND, "--set", "meta_iterations=1").code == 0
    with closing(sqlite3.connect(folder / "a.db")) as connection, connection:
        connection.execute("UPDATE run SET status = 'failed' WHERE id % 5 = 0")
        for table, columns in COLUMNS.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = ? || {column}", (PAYLOAD,))
        connection.execute("UPDATE run SET error = ?", (PAYLOAD,))
        connection.execute("UPDATE experiment SET versions = ?", (json.dumps({PAYLOAD: PAYLOAD}),))
    (folder / "bad.toml").write_text(
        f"{json.dumps(PAYLOAD)} = 1\nname = {json.dumps(PAYLOAD)}\n", encoding="utf-8"
    )
    hostile = PAYLOAD.replace("\x00", "")
    commands = [
        ("runs", "list"),
        ("runs", "list", "1"),
        ("runs", "list", hostile),
        ("runs", "show", "1"),
        ("runs", "show", "5"),
        ("runs", "show", hostile),
        ("runs", "rm", hostile, "--yes"),
        ("report", "1"),
        ("report", hostile),
        ("report", "1", "--format", "markdown"),
        ("weights", "list"),
        ("weights", "show", "2"),
        ("weights", "show", hostile),
        ("db", "check"),
        ("db", "backup", f"{hostile}/x"),
        ("spec", "check", "bad.toml"),
        ("bench", "--spec", "bad.toml"),
        ("bench", "--spec", hostile),
        ("bench", "--spec", "bench.toml", "--only", hostile),
        ("train", "--resume", hostile),
        ("train", "--resume", "2"),
        ("train", "--spec", "train.toml", "--set", f"{hostile}={hostile}"),
        ("train", "--spec", "train.toml", "--name", hostile),
        ("data", "verify", hostile),
        ("--db", hostile, "db", "check"),
        ("--db", hostile, "doctor"),
        (hostile,),
        (f"--{hostile}",),
    ]
    found = {}
    for arguments in commands:
        terminal = Terminal()
        command = nursery.start(folder, *arguments, terminal=terminal.name)
        code = command.wait()
        terminal.drain()
        terminal.close()
        assert code != 99, bytes(terminal.shown).decode(errors="replace")
        assert terminal.shown, arguments
        if bad := control_bytes(bytes(terminal.shown)):
            found[arguments] = bad
    assert found == {}
    TALLY["commands shown hostile text on a terminal"] += len(commands)
