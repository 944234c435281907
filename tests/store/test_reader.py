"""Finding and reading, also while someone writes."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from store_samples import EXPERIMENT, RUN, block, key_of, some_runs, writer_with_runs

from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.records import CellResult
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.db"
    with Writer.open(path) as writer:
        for kind, name in [
            ("bench", "quickstart"),
            ("bench", "deep_mlp"),
            ("train", "quickstart"),
            ("bench", "2"),
        ]:
            experiment_id = writer.begin_experiment(replace(EXPERIMENT, kind=kind, name=name))
            writer.add_runs(experiment_id, some_runs(2))
    return path


def test_an_experiment_is_found_by_name_then_by_id(path):
    with Reader.open(path) as reader:
        assert reader.find_experiment("deep_mlp").id == 2
        assert reader.find_experiment("quickstart").id == 3
        assert reader.find_experiment("quickstart", kind="bench").id == 1
        assert reader.find_experiment("2").id == 4  # a name goes before an id
        assert reader.find_experiment(1).id == 1
        assert [e.id for e in reader.experiments(kind="bench")] == [1, 2, 4]
        assert [e.id for e in reader.experiments(name="quickstart")] == [1, 3]


def test_an_unknown_experiment_is_a_usage_error_that_offers_close_names(path):
    with Reader.open(path) as reader:
        with pytest.raises(UsageError, match=r"no benchmark 'quikstart' .* Did you mean quickstart\?"):
            reader.find_experiment("quikstart", kind="bench")
        with pytest.raises(UsageError, match="There is 2, quickstart, deep_mlp"):
            reader.find_experiment("zzz")


def test_an_empty_database_says_that_it_holds_nothing(tmp_path):
    with Writer.open(tmp_path / "x.db"):
        pass
    with Reader.open(tmp_path / "x.db") as reader:
        assert reader.experiments() == []
        with pytest.raises(UsageError, match="holds none yet"):
            reader.find_experiment("x")


def test_a_run_is_found_by_id_or_by_the_start_of_its_key(tmp_path):
    path = tmp_path / "x.db"
    keys = ["abcd1" + "0" * 59, "abcd2" + "0" * 59, "7777" + "0" * 60]
    with Writer.open(path) as writer:
        for fresh in (False, True):
            experiment_id = writer.begin_experiment(EXPERIMENT, fresh=fresh)
            writer.add_runs(experiment_id, [replace(RUN, key=key) for key in keys])
    with Reader.open(path) as reader:
        assert reader.find_run("2").facts.key == keys[1]
        assert reader.find_run(2).id == 2
        assert reader.find_run("abcd2").id == 5  # the newest run of that key
        assert reader.find_run("7777").id == 6
        with pytest.raises(UsageError, match=r"could be abcd1.*, abcd2.*; give more"):
            reader.find_run("abcd")
        for absent in ("abc", "99", "%%%%", "abce0", "", "9" * 40, "²"):
            with pytest.raises(UsageError, match="no run"):
                reader.find_run(absent)


def test_runs_can_be_narrowed_to_phases(tmp_path):
    path = tmp_path / "x.db"
    phases = ["tuning", "final", "default", "final"]
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(EXPERIMENT)
        writer.add_runs(experiment_id, [replace(RUN, key=key_of(n), phase=p) for n, p in enumerate(phases)])
    with Reader.open(path) as reader:
        assert [run.id for run in reader.runs(experiment_id, phases=("final", "default"))] == [2, 3, 4]
        assert [run.id for run in reader.runs(experiment_id)] == [1, 2, 3, 4]
        assert reader.runs(experiment_id, phases=()) == []


def test_data_version_changes_when_someone_else_commits_and_only_then(path):
    with Reader.open(path) as reader, Writer.open(path) as writer:
        first = reader.data_version()
        assert reader.data_version() == first
        writer.log_event(1, "note", "hello")
        assert reader.data_version() != first


def test_a_chunk_whose_length_is_wrong_is_reported_not_read(tmp_path):
    path = tmp_path / "x.db"
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(0, 0, range(10))])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE chunk SET data = substr(data, 1, 7)")
    with Reader.open(path) as reader, pytest.raises(StoreError, match="curve of run 1 is damaged"):
        reader.curve(1, "loss")


def test_damage_met_while_reading_is_a_storage_error_with_a_remedy(tmp_path):
    path = tmp_path / "x.db"
    with writer_with_runs(path, 200) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(n, 0, range(1000)) for n in range(200)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    with Reader.open(path) as reader, pytest.raises(StoreError, match="rnnprop db check"):
        reader.curves(range(1, 201), "loss")


def test_two_hundred_curves_of_ten_thousand_steps_are_read_in_a_blink(tmp_path):
    path = tmp_path / "x.db"
    curve = np.arange(10_000, dtype=np.float32)
    with writer_with_runs(path, 200) as (writer, experiment_id):
        blocks = [block(n, 0, curve + n) for n in range(200)]
        writer.record_results(experiment_id, [CellResult(b.key, "done", 0.5) for b in blocks], blocks)
    with Reader.open(path) as reader:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            curves = reader.curves(range(1, 201), "loss")
            times.append(time.perf_counter() - started)
    steps, values = curves[200]
    assert np.array_equal(steps, np.arange(10_000))
    assert np.array_equal(values, curve + 199)
    assert min(times) < 0.3  # 0.025 s on the machine it was written on; slower ones and busy ones pass too


def test_reading_goes_on_undisturbed_while_the_writer_writes(tmp_path):
    path = tmp_path / "x.db"
    ready, enough, problems, latest = threading.Event(), threading.Event(), [], time.monotonic() + 60

    def write() -> None:
        try:
            with writer_with_runs(path, 20) as (writer, experiment_id):
                ready.set()
                step = 0
                while not enough.is_set() and time.monotonic() < latest:
                    writer.append_curves(
                        experiment_id, [block(n, step, np.arange(step, step + 50)) for n in range(20)]
                    )
                    step += 50
                    writer.mark_running(experiment_id, [key_of(step % 20)])
        except BaseException as error:
            problems.append(error)
            ready.set()

    thread = threading.Thread(target=write)
    thread.start()
    ready.wait(10)
    lengths = [0]
    with Reader.open(path) as reader:
        while thread.is_alive():
            for steps, values in reader.curves(range(1, 21), "loss").values():
                assert np.array_equal(steps, values)  # no gap, nothing torn
            lengths.append(len(steps))
            reader.runs(1)
            if len(set(lengths)) > 5:
                enough.set()
    thread.join()
    assert not problems
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 5
