"""One writer at a time, no zombies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_samples import EXPERIMENT, key_of, some_runs, writer_with_runs

import rnnprop_cli
from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.lock import lock_path
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer

ROOT = Path(rnnprop_cli.__file__).parents[1]

KEEP_WRITING = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from store_samples import EXPERIMENT, block, key_of, some_runs
from rnnprop_cli.records import CellResult
from rnnprop_cli.store.writer import Writer
with Writer.open(Path(sys.argv[1])) as writer:
    experiment = writer.begin_experiment(EXPERIMENT)
    writer.add_runs(experiment, some_runs(4000))
    for first in range(0, 4000, 4):
        numbers = range(first, first + 4)
        writer.mark_running(experiment, [key_of(n) for n in numbers])
        writer.append_curves(experiment, [block(n, 0, np.full(500, n)) for n in numbers])
        curves = [block(n, 0, np.full(2500, n)) for n in numbers]
        writer.record_results(experiment, [CellResult(key_of(n), "done", float(n)) for n in numbers], curves)
        print(first, flush=True)
"""


def start_writing(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KEEP_WRITING, str(path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_second_writer_is_refused_at_once_with_the_holders_pid(tmp_path):
    path = tmp_path / "x.db"
    process = start_writing(path)
    try:
        process.stdout.readline()
        started = time.monotonic()
        with pytest.raises(StoreError, match=f"process {process.pid} ") as caught, Writer.open(path):
            pass
        assert time.monotonic() - started < 1
        assert "report, runs, tui" in str(caught.value)
        assert "--db" in str(caught.value)  # the remedy can be pasted
        assert re.search(r"rnnprop db merge \S*x\.db \S*x-2\.db -o \S*x-all\.db", str(caught.value))
        with Reader.open(path) as reader:  # looking goes on
            assert len(reader.runs(1)) == 4000
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("batches", [1, 7, 23])
def test_kill_9_loses_no_recorded_batch_and_leaves_no_zombie(tmp_path, batches):
    path = tmp_path / "x.db"
    process = start_writing(path)
    recorded = [int(process.stdout.readline()) for _ in range(batches)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorded += [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    with Writer.open(path) as writer:  # the lock went with the process
        assert writer.begin_experiment(EXPERIMENT) == 1
    with Reader.open(path) as reader:
        runs = reader.runs(1)
        curves = reader.curves([run.id for run in runs], "loss")
    by_status = {status: [r for r in runs if r.result.status == status] for status in ("done", "interrupted")}
    assert not [run for run in runs if run.result.status == "running"]
    assert len(by_status["done"]) % 4 == 0  # a batch is there as a whole or not at all
    assert {key_of(n) for first in recorded for n in range(first, first + 4)} <= {
        run.facts.key for run in by_status["done"]
    }
    for run in by_status["done"]:
        steps, values = curves[run.id]
        assert len(steps) == 2500
        assert set(values.tolist()) == {run.result.final_loss}


def test_a_stale_running_run_is_interrupted_by_the_next_writer_only(tmp_path):
    path = tmp_path / "x.db"
    with writer_with_runs(path, 2) as (writer, experiment_id):
        writer.mark_running(experiment_id, [key_of(0)])
        with pytest.raises(StoreError), Writer.open(path):
            pass
        with Reader.open(path) as reader:
            assert list(reader.keys_with_status(experiment_id).values()) == ["running", "queued"]
    with Writer.open(path), Reader.open(path) as reader:
        assert list(reader.keys_with_status(experiment_id).values()) == ["interrupted", "queued"]


def test_the_lock_file_names_its_holder_while_held_and_nobody_after(tmp_path):
    path = tmp_path / "x.db"
    with Writer.open(path):
        holder = json.loads(lock_path(path).read_text())
        assert holder["pid"] == os.getpid()
        assert holder["command"]
    assert lock_path(path).read_text() == ""


def test_a_lock_file_with_strange_content_does_not_confuse_the_refusal(tmp_path):
    path = tmp_path / "x.db"
    with Writer.open(path):
        lock_path(path).write_text('{"pid": "\x1b[31m"}')
        with pytest.raises(StoreError, match="another process is writing"), Writer.open(path):
            pass


def test_a_symlink_in_place_of_the_lock_is_refused(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock_path(tmp_path / "x.db").symlink_to(victim)
    with pytest.raises(StoreError), Writer.open(tmp_path / "x.db"):
        pass
    assert victim.read_text() == "precious"


def test_two_names_of_one_database_share_the_lock(tmp_path):
    path = tmp_path / "x.db"
    with writer_with_runs(path, 1):
        (tmp_path / "alias.db").symlink_to(path)
        with pytest.raises(StoreError, match="is writing here"), Writer.open(tmp_path / "alias.db"):
            pass
    assert some_runs(1)
