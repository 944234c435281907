"""The Ray engine against real Ray on this machine: clusters of one and of two nodes, with and without tokens."""

import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    DB,
    LONG_BENCH,
    TALLY,
    Command,
    Nursery,
    committed,
    is_alive,
    prepare,
    running_cells,
    table,
    wait_until,
)
from faults import NODE_VARIABLE

from rnnprop_cli.store.reader import Reader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="no Ray here: pip install 'rnnprop[ray]'"
    ),
]
Table = dict[str, tuple[object, ...]]
RAY = (*BENCH_COMMAND, "--engine", "ray", "--slots", "2")
PATIENCE = 180.0  # a busy machine starts Ray slowly
TOKEN = "a-token-that-must-stay-where-it-is-7f3a"
WORKERS = ("ray::run", "ray::IDLE", "raylet/raylet", "gcs_server")
SITE = str(Path(__file__).parent / "worker_site")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path / "work", bench=LONG_BENCH)


@pytest.fixture
def undisturbed_table(undisturbed_long_table: Table) -> Table:
    return undisturbed_long_table


@pytest.fixture
def session(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables that lead Ray to a folder of its own; whatever was started with it is ended."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # sockets need short names
    home = tmp_path / "home"
    home.mkdir()
    yield {
        "RAY_TMPDIR": str(folder),
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join((SITE, os.environ.get("PYTHONPATH", ""))),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    kill_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


def processes(folder: str | Path, name: str = "") -> list[int]:
    """Pids of Ray's processes of a session, by what their environment says."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        ours = f"RAY_TMPDIR={folder}".encode() in environment.split(b"\0")
        if (
            ours
            and ("ray" in command or "raylet" in command)
            and name in command
            and is_alive(int(path.name))
        ):
            found.append(int(path.name))
    return found


def kill_all(folder: Path) -> None:
    for pid in processes(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def start(
    nursery: Nursery,
    session: dict[str, str],
    folder: Path,
    *more: str,
    faults: str = "slow",
    environment: dict[str, str] | None = None,
) -> Command:
    return nursery.start(folder, *RAY, *more, faults=faults, environment=session | (environment or {}))


def under_way(folder: Path, command: Command) -> None:
    wait_until(lambda: bool(committed(folder)) or running_cells(folder) > 0 or not command.alive, PATIENCE)


def assert_sound(folder: Path, before: dict[str, object], expected: Table) -> None:
    """Nothing lost, nothing repeated, nothing wrong."""
    now = committed(folder)
    assert {key: now[key] for key in before} == before
    assert table(folder) == expected


def assert_gone(session: dict[str, str]) -> None:
    """Workers within seconds; Ray's own helpers look only now and then whether they are still needed."""
    wait_until(lambda: not any(processes(session["RAY_TMPDIR"], name) for name in WORKERS), seconds=20)
    wait_until(lambda: not processes(session["RAY_TMPDIR"]), PATIENCE)


def listening(pids: list[int]) -> set[str]:
    """Addresses at which these processes listen."""
    said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    found = set()
    for line in said.splitlines():
        if set(map(int, re.findall(r"pid=(\d+)", line))) & set(pids):
            found.add(line.split()[3].rpartition(":")[0].strip("[]").removeprefix("::ffff:"))
    return found


@pytest.mark.parametrize("authentication", ["token", "disabled"])
def test_the_table_is_that_of_this_machine_with_a_token_and_without(
    nursery: Nursery,
    session: dict[str, str],
    folder: Path,
    undisturbed_table: Table,
    authentication: str,
) -> None:
    secret = {"RAY_AUTH_MODE": authentication, "RAY_AUTH_TOKEN": TOKEN}
    command = start(nursery, session, folder, environment=secret)
    under_way(folder, command)
    places = listening([*processes(session["RAY_TMPDIR"]), command.pid])
    assert command.wait() == 0, command.said
    assert_gone(session)
    assert places == {"127.0.0.1"}
    assert_sound(folder, {}, undisturbed_table)
    with Reader.open(folder / DB) as reader:
        assert {run.result.node for run in reader.runs(1)} == {os.uname().nodename}
    assert TOKEN not in command.said
    for path in folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert "raylet" not in command.said


def test_killed_workers_change_nothing(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table
) -> None:
    draw = random.Random(7)
    command = start(nursery, session, folder, faults="slow patient")
    under_way(folder, command)
    struck = 0
    while command.alive and struck < 6:
        time.sleep(draw.uniform(0.1, 1.0))
        if victims := processes(session["RAY_TMPDIR"], "ray::run"):
            os.kill(draw.choice(victims), signal.SIGKILL)
            struck += 1
    assert command.wait() == 0, command.said
    assert struck
    TALLY["kill -9 of a Ray worker"] += struck
    assert_sound(folder, {}, undisturbed_table)


@pytest.mark.parametrize("victim", ["raylet/raylet", "gcs_server"])
def test_a_cluster_whose_node_or_head_is_gone_ends_the_run_and_the_same_command_goes_on(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table, victim: str
) -> None:
    command = start(nursery, session, folder, faults="slow")
    under_way(folder, command)
    for pid in processes(session["RAY_TMPDIR"], victim):
        os.kill(pid, signal.SIGKILL)
    TALLY[f"kill -9 of Ray's {victim.rpartition('/')[2]}"] += 1
    assert command.wait() in (0, 1), command.said
    if command.code:
        assert "the Ray cluster is gone" in command.said
        assert "Traceback" not in command.said
    before = committed(folder)
    kill_all(Path(session["RAY_TMPDIR"]))
    again = start(nursery, session, folder)
    assert again.wait() == 0, again.said
    assert_sound(folder, before, undisturbed_table)


def test_drivers_killed_at_seeded_moments_leave_no_process_and_lose_nothing(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table
) -> None:
    draw = random.Random(8)
    before: dict[str, object] = {}
    for _ in range(3):
        command = start(nursery, session, folder)
        under_way(folder, command)
        time.sleep(draw.uniform(0.0, 1.5))
        command.send(signal.SIGKILL)
        TALLY["kill -9 of a driver of Ray tasks"] += command.wait() == -signal.SIGKILL
        assert_gone(session)
        now = committed(folder)
        assert {key: now[key] for key in before} == before
        before = now
    command = start(nursery, session, folder)
    assert command.wait() == 0, command.said
    assert_sound(folder, before, undisturbed_table)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_keep_what_is_done_and_the_same_command_goes_on_here(
    nursery: Nursery,
    session: dict[str, str],
    folder: Path,
    undisturbed_table: Table,
    number: int,
    code: int,
) -> None:
    command = start(nursery, session, folder)
    under_way(folder, command)
    command.send(number)
    assert command.wait() == code, command.said
    assert_gone(session)
    before = committed(folder)
    assert nursery.run(folder, *BENCH_COMMAND).code == 0
    assert_sound(folder, before, undisturbed_table)


class TwoNodes:
    """A cluster that others have started: a head and a node, each on an address of its own of loopback."""

    def __init__(self, session: dict[str, str], node_faults: str = "", client: bool = False) -> None:
        self.environment = {
            **os.environ,
            **session,
            "RNNPROP_KERNEL": "reference",
            "RNNPROP_TEST_FAULTS": "slow",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        }
        self.folder = session["RAY_TMPDIR"]
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.client_port = free_port()
        more = [f"--ray-client-server-port={self.client_port}"] if client else []
        self.call("start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=1", *more)
        self.call(
            "start",
            f"--address={self.address}",
            "--node-ip-address=127.0.0.2",
            "--num-cpus=1",
            environment={NODE_VARIABLE: node_faults},
        )

    def call(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        options = (
            ["--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=80000000"]
            if "--head" in arguments
            else ["--disable-usage-stats", "--object-store-memory=80000000"]
        )
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ray"), *arguments, *options],
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def raylet_of_the_second(self) -> list[int]:
        return processes(self.folder, "--node_ip_address=127.0.0.2")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def test_a_node_that_dies_amid_its_batches_changes_nothing(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table
) -> None:
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    cluster = TwoNodes(session | secret)
    command = start(nursery, session, folder, "--address", cluster.address, environment=secret)
    under_way(folder, command)
    victims = cluster.raylet_of_the_second()
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    TALLY["kill -9 of a Ray node amid its batches"] += 1
    assert command.wait() == 0, command.said
    assert_sound(folder, {}, undisturbed_table)
    assert processes(session["RAY_TMPDIR"], "gcs_server")  # not ours to end
    for path in folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_node_with_another_torch_is_named_and_computes_nothing(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table
) -> None:
    cluster = TwoNodes(session, node_faults="other_torch")
    command = start(nursery, session, folder, "--address", cluster.address)
    assert command.wait() == 0, command.said
    assert len(re.findall(r"computes nothing here: torch 2.9.0, the driver's", command.said)) == 1
    TALLY["nodes of another torch"] += 1
    assert_sound(folder, {}, undisturbed_table)


def test_a_cluster_is_used_through_ray_client(
    nursery: Nursery, session: dict[str, str], folder: Path, undisturbed_table: Table
) -> None:
    pytest.importorskip("grpc", reason="Ray Client needs pip install 'ray[client]'")
    cluster = TwoNodes(session, client=True)
    address = f"ray://127.0.0.1:{cluster.client_port}"
    command = start(nursery, session, folder, "--address", address)
    assert command.wait() == 0, command.said
    assert_sound(folder, {}, undisturbed_table)


def test_an_address_without_a_cluster_is_exit_2(
    nursery: Nursery, session: dict[str, str], folder: Path
) -> None:
    command = start(nursery, session, folder, "--address", f"127.0.0.1:{free_port()}")
    assert command.wait() == 2, command.said
    assert "nobody answers there" in command.said
    assert "Traceback" not in command.said
