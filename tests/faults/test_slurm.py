"""The SLURM engine against a real SLURM on this machine: one node, on loopback."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_cluster
from fault_tools import (
    BENCH_COMMAND,
    DB,
    LONG_BENCH,
    TALLY,
    Command,
    Nursery,
    committed,
    prepare,
    running_cells,
    table,
    try_mount,
    wait_until,
)
from faults import NODE_VARIABLE
from slurm_cluster import SlurmCluster

from rnnprop_cli.store.reader import Reader

pytestmark = pytest.mark.slow
Table = dict[str, tuple[object, ...]]
SLURM = (*BENCH_COMMAND, "--engine", "slurm", "--slots", "2")
PATIENCE = 180.0  # a busy machine starts workers slowly


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path / "work", bench=LONG_BENCH)


@pytest.fixture
def undisturbed_table(undisturbed_long_table: Table) -> Table:
    return undisturbed_long_table


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if (why := slurm_cluster.absent()) is not None:
        pytest.skip(f"no SLURM here: {why}")
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def empty_queue(cluster: SlurmCluster) -> Iterator[None]:
    yield
    cluster.call("scancel", "--me")
    wait_until(lambda: not cluster.jobs(), PATIENCE)


def start(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, *more: str, faults: str = "slow", nodes: str = ""
) -> Command:
    environment = {**cluster.environment, NODE_VARIABLE: nodes}
    return nursery.start(folder, *SLURM, *more, faults=faults, environment=environment)


def under_way(folder: Path, command: Command) -> None:
    wait_until(lambda: running_cells(folder) > 0 or not command.alive, PATIENCE)


def assert_sound(folder: Path, before: dict[str, object], expected: Table) -> None:
    """Nothing lost, nothing repeated, nothing wrong."""
    now = committed(folder)
    assert {key: now[key] for key in before} == before
    assert table(folder) == expected


def workers(cluster: SlurmCluster) -> list[int]:
    """Pids of workers that run."""
    found = subprocess.run(["pgrep", "-f", "execute.slurm_worker"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_the_table_is_that_of_this_machine_and_nothing_is_left_behind(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, undisturbed_table: Table
) -> None:
    command = start(nursery, cluster, folder)
    seen: set[str] = set()
    whole = re.compile(rb'[0-9a-f]{64}\n(\{"|[\x00-\xff]{7}\x00\{"|[^\n]+\nready)')
    while command.alive:
        for path in (folder / "slurm").rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except OSError:
                continue
            if content and path.parent.name not in ("claims", "logs") and not path.name.startswith("."):
                assert whole.match(content), f"{path}: {content[:100]!r}"  # JSON or safetensors behind a hash
                seen.add(path.parent.name)
        time.sleep(0.05)
    assert command.wait() == 0, command.said
    assert seen >= {"jobs", "events", "workers"}
    assert_sound(folder, {}, undisturbed_table)
    assert not (folder / "slurm").exists()
    wait_until(lambda: not cluster.jobs() and not workers(cluster), PATIENCE)
    with Reader.open(folder / DB) as reader:
        assert {run.result.node for run in reader.runs(1)} == {os.uname().nodename}
    shown = nursery.run(folder, "runs", "show", "1").said
    assert re.search(rf"node +{os.uname().nodename}", shown)


def test_drivers_killed_at_seeded_moments_find_their_jobs_and_results_again(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, undisturbed_table: Table
) -> None:
    draw = random.Random(5)
    before: dict[str, object] = {}
    struck = found = 0
    for _ in range(4):
        command = start(nursery, cluster, folder)
        under_way(folder, command)
        time.sleep(draw.uniform(0.1, 1.5))
        command.send(signal.SIGKILL)
        struck += command.wait() == -signal.SIGKILL
        found += "workers of before are still there" in command.said
        now = committed(folder)
        assert {key: now[key] for key in before} == before
        before = now
    command = start(nursery, cluster, folder)
    assert command.wait() == 0, command.said
    found += "workers of before are still there" in command.said
    assert struck > 1
    assert found
    TALLY["kill -9 of a driver of SLURM jobs"] += struck
    assert_sound(folder, before, undisturbed_table)
    assert not (folder / "slurm").exists()


def test_cancelled_jobs_and_killed_workers_change_nothing(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, undisturbed_table: Table
) -> None:
    draw = random.Random(6)
    command = start(nursery, cluster, folder, faults="slow patient")
    struck = 0
    while command.alive and struck < 8:
        wait_until(lambda: bool(workers(cluster)) or not command.alive, PATIENCE)
        time.sleep(draw.uniform(0.3, 2.0))
        tasks = cluster.call("squeue", "-h", "-r", "-t", "R", "-o", "%F_%K").split()
        if struck % 2 and tasks:
            cluster.call("scancel", draw.choice(tasks))
            TALLY["scancel of a worker"] += 1
            struck += 1
        elif pids := workers(cluster):
            os.kill(draw.choice(pids), signal.SIGKILL)
            TALLY["kill -9 of a worker under SLURM"] += 1
            struck += 1
    assert command.wait() == 0, command.said
    assert struck >= 4
    assert_sound(folder, {}, undisturbed_table)


def test_a_killed_node_daemon_and_a_controller_that_is_away_are_survived(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, undisturbed_table: Table
) -> None:
    command = start(nursery, cluster, folder)
    under_way(folder, command)
    cluster.kill("slurmd")
    TALLY["kill -9 of slurmd"] += 1
    time.sleep(1)
    cluster.kill("slurmctld")
    TALLY["kill -9 of slurmctld"] += 1
    time.sleep(3)
    before = committed(folder)
    cluster.start_controller()
    cluster.start_daemon()
    assert command.wait() == 0, command.said
    assert_sound(folder, before, undisturbed_table)


def test_a_node_with_another_torch_computes_nothing(
    nursery: Nursery, cluster: SlurmCluster, folder: Path
) -> None:
    command = start(nursery, cluster, folder, nodes="other_torch")
    assert command.wait() == 1, command.said
    assert "torch 2.9.0, the driver's" in command.said
    assert committed(folder) == {}
    TALLY["nodes of another torch"] += 1


def test_a_poison_cell_fails_alone_and_its_log_is_shown(
    nursery: Nursery, cluster: SlurmCluster, folder: Path
) -> None:
    spec = (folder / "bench.toml").read_text().replace("horizon = [100, 150]", "horizon = [20]")
    (folder / "bench.toml").write_text(spec)
    command = start(nursery, cluster, folder, "--only", "*/sgd", faults="poison")
    assert command.wait() == 1, command.said
    with Reader.open(folder / DB) as reader:
        failed = [run for run in reader.runs(1) if run.result.status == "failed"]
        others = [run for run in reader.runs(1) if run.result.status == "done"]
    assert len(failed) == 1
    assert others
    shown = nursery.run(folder, "runs", "show", str(failed[0].id)).said
    assert "its SLURM job died 2 times with this cell alone" in shown
    assert "job " in shown
    TALLY["workers under SLURM that a poison cell killed"] += 6


def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on_here(
    nursery: Nursery, cluster: SlurmCluster, folder: Path, undisturbed_table: Table
) -> None:
    command = start(nursery, cluster, folder)
    under_way(folder, command)
    command.send(signal.SIGINT)
    assert command.wait() == 130, command.said
    wait_until(lambda: not cluster.jobs() and not workers(cluster), PATIENCE)
    before = committed(folder)
    assert nursery.run(folder, *BENCH_COMMAND).code == 0
    assert_sound(folder, before, undisturbed_table)


def test_a_full_shared_folder_is_exit_3_and_loses_nothing(
    nursery: Nursery, cluster: SlurmCluster, tmp_path: Path, undisturbed_table: Table
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    if not try_mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(shared)):
        pytest.skip("no file system can be mounted here")
    try:
        place = f'engine = {{ kind = "slurm", slots = 2, folder = "{shared}" }}\n'
        folder = prepare(tmp_path / "work", bench=place + LONG_BENCH)
        environment = {**cluster.environment}
        command = nursery.start(folder, *BENCH_COMMAND, faults="slow", environment=environment)
        under_way(folder, command)
        with (shared / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                TALLY["shared folders full"] += 1
        assert command.wait() in (0, 3), command.said
        if command.code == 3:
            assert "bytes are free" in command.said or "disk is full" in command.said
        before = committed(folder)
        (shared / "filler").unlink()
        again = nursery.run(folder, *BENCH_COMMAND, environment=environment)
        assert again.code == 0, again.said
        assert_sound(folder, before, undisturbed_table)
    finally:
        cluster.call("scancel", "--me")
        wait_until(lambda: not workers(cluster), PATIENCE)
        subprocess.run(["umount", "--lazy", str(shared)], check=True)
