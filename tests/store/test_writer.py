"""What is written is there once, as a whole or not at all."""

import math
import sqlite3
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import EXPERIMENT, RUN, block, key_of, some_runs, values_of, writer_with_runs

from rnnprop_cli.errors import StoreError
from rnnprop_cli.records import CellResult, CheckpointInfo
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.db"


def test_the_same_spec_continues_its_experiment_and_says_so_in_the_log(path):
    with Writer.open(path) as writer:
        first = writer.begin_experiment(EXPERIMENT)
        again = writer.begin_experiment(replace(EXPERIMENT, git_sha="another", argv="[]"))
    with Reader.open(path) as reader:
        assert again == first
        assert [e.facts for e in reader.experiments()] == [EXPERIMENT]
        (event,) = reader.events(first)
        assert event.kind == "continued"
        assert '"git_sha": "another"' in event.text


@pytest.mark.parametrize("change", [{"kind": "train"}, {"name": "other"}, {"spec_sha256": "6" * 64}])
def test_another_kind_name_or_spec_is_another_experiment(path, change):
    with Writer.open(path) as writer:
        assert writer.begin_experiment(EXPERIMENT) != writer.begin_experiment(replace(EXPERIMENT, **change))


def test_fresh_starts_anew_and_the_newest_is_continued_afterwards(path):
    with Writer.open(path) as writer:
        first = writer.begin_experiment(EXPERIMENT)
        second = writer.begin_experiment(EXPERIMENT, fresh=True)
        assert second != first
        assert writer.begin_experiment(EXPERIMENT) == second


def test_an_experiment_that_was_taken_up_again_is_the_newest_of_its_name(path):
    edited = replace(EXPERIMENT, spec_sha256="7" * 64)
    with Writer.open(path) as writer, Reader.open(path) as reader:
        first = writer.begin_experiment(EXPERIMENT)
        second = writer.begin_experiment(edited)
        assert reader.find_experiment("quickstart").id == second
        writer.begin_experiment(EXPERIMENT)
        assert reader.find_experiment("quickstart").id == first


def test_ten_thousand_runs_are_queued_fast_and_existing_ones_stay(path):
    with writer_with_runs(path, 3) as (writer, experiment_id):
        writer.record_results(experiment_id, [CellResult(key_of(1), "done", 0.5)])
        started = time.monotonic()
        writer.add_runs(experiment_id, some_runs(10_000))
        assert time.monotonic() - started < 2
        with Reader.open(path) as reader:
            statuses = reader.keys_with_status(experiment_id)
            assert len(statuses) == 10_000
            assert [key for key, status in statuses.items() if status == "done"] == [key_of(1)]
            assert reader.runs(experiment_id)[1].result.final_loss == 0.5


def test_every_fact_and_result_reads_back_as_written(path):
    bare = replace(RUN, key=key_of(1), dataset=None, depth=None, activation=None, lr=None, seed=2**63 - 1)
    result = CellResult(key_of(0), "done", 0.25, 0.5, 0.875, None, 1.5, 2**40, None)
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(EXPERIMENT)
        writer.add_runs(experiment_id, [*some_runs(1), bare])
        writer.record_results(experiment_id, [result])
    with Reader.open(path) as reader:
        first, second = reader.runs(experiment_id)
    assert (first.facts, first.result) == (some_runs(1)[0], result)
    assert (second.facts, second.result) == (bare, CellResult(bare.key, "queued"))
    assert first.facts.is_baseline is True


@pytest.mark.parametrize(
    ("recorded", "activation", "read"),
    [
        ("mlp sigmoid", "sigmoid", "mlp"),
        ("mlp 40 relu torch-init", "relu", "mlp 40 torch-init"),
        ("my relu net", None, "my relu net"),
        ("mlp relu + mlp tanh", None, "mlp relu + mlp tanh"),
    ],
)
def test_a_row_of_before_that_says_the_activation_in_the_label_reads_as_one_of_today(
    path, recorded, activation, read
):
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(EXPERIMENT)
        writer.add_runs(experiment_id, [replace(RUN, optimizee=recorded, activation=activation)])
    with Reader.open(path) as reader:
        (run,) = reader.runs(experiment_id)
    assert (run.facts.optimizee, run.facts.activation) == (read, activation)


@pytest.mark.parametrize("loss", [math.nan, None])
def test_a_diverged_cell_is_stored_as_diverged_and_its_final_loss_reads_nan(path, loss):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.record_results(experiment_id, [CellResult(key_of(0), "diverged", loss, first_bad_step=17)])
    with Reader.open(path) as reader:
        (run,) = reader.runs(experiment_id)
    assert (run.result.status, run.result.first_bad_step) == ("diverged", 17)
    assert math.isnan(run.result.final_loss)


def test_infinity_survives_as_a_final_loss(path):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.record_results(experiment_id, [CellResult(key_of(0), "diverged", math.inf)])
    with Reader.open(path) as reader:
        assert reader.runs(experiment_id)[0].result.final_loss == math.inf


def test_a_failed_run_that_starts_again_forgets_its_error_and_result(path):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.record_results(
            experiment_id, [CellResult(key_of(0), "failed", elapsed_s=3, error="no memory")]
        )
        writer.mark_running(experiment_id, [key_of(0)])
        with Reader.open(path) as reader:
            (run,) = reader.runs(experiment_id)
            assert run.result == CellResult(key_of(0), "running")
            assert run.started_utc.endswith("Z")
        writer.mark(experiment_id, [key_of(0)], "failed", "killed its worker")
        with Reader.open(path) as reader:
            assert reader.runs(experiment_id)[0].result.error == "killed its worker"


def test_a_recorded_curve_replaces_the_live_one_and_leaves_other_metrics(path):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(0, 0, range(5000)), block(0, 0, [7], metric="rate")])
        writer.record_results(experiment_id, [CellResult(key_of(0), "done", 1.0)], [block(0, 10, [1, 2])])
    assert values_of(path, 1) == ([10, 11], [1, 2])
    assert values_of(path, 1, "rate") == ([0], [7])


@pytest.mark.parametrize(
    "write",
    [
        lambda w, e: w.record_results(e, [CellResult("gone", "done")]),
        lambda w, e: w.mark(e, ["gone"], "failed"),
        lambda w, e: w.mark_running(e, ["gone"]),
        lambda w, e: w.rewind(e, "gone", 0),
        lambda w, e: w.add_checkpoint(e, "gone", CheckpointInfo(1, "p", "s", None)),
        lambda w, e: w.append_curves(e, [replace(block(0, 0, [1]), key="gone")]),
        lambda w, e: w.add_runs(e + 99, some_runs(1)),
        lambda w, e: w.log_event(e + 99, "k", "t"),
    ],
)
def test_writing_to_a_run_that_is_not_there_is_an_error_and_changes_nothing(path, write):
    with writer_with_runs(path, 2) as (writer, experiment_id):
        before = list(writer._connection.iterdump())
        with pytest.raises(StoreError):
            write(writer, experiment_id)
        assert list(writer._connection.iterdump()) == before


def test_deleting_runs_takes_their_curves_checkpoints_and_an_empty_experiment_along(path):
    with writer_with_runs(path, 3) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(n, 0, range(10)) for n in range(3)])
        writer.add_checkpoint(experiment_id, key_of(0), CheckpointInfo(1, "p", "s", None))
        writer.log_event(experiment_id, "note", "hello")
        with Reader.open(path) as reader:
            first, second, third = reader.runs(experiment_id)
            assert writer.delete_runs([first, third]) == []
            assert [run.facts.key for run in reader.runs(experiment_id)] == [key_of(1)]
            assert reader.curve(2, "loss")[1].tolist() == list(range(10))
        assert writer.delete_runs([second]) == []
        assert writer.delete_runs([second]) == [second]  # it went meanwhile
        counts = {
            table: writer._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("experiment", "run", "chunk", "checkpoint", "event")
        }
        assert set(counts.values()) == {0}


def test_a_run_that_has_changed_since_it_was_looked_at_is_not_deleted(path):
    with writer_with_runs(path, 4) as (writer, experiment_id), Reader.open(path) as reader:
        writer.mark(experiment_id, [key_of(1)], "failed")
        seen = reader.runs(experiment_id)
        writer.record_results(experiment_id, [CellResult(key_of(1), "done", 0.5)])
        writer.mark_running(experiment_id, [key_of(2)])
        replaced = replace(seen[3], facts=replace(seen[3].facts, key=key_of(77)))  # its id was used again
        assert writer.delete_runs([*seen[:3], replaced]) == [seen[1], seen[2], replaced]
        assert [run.facts.key for run in reader.runs(experiment_id)] == [key_of(1), key_of(2), key_of(3)]


def test_a_checkpoint_recorded_again_is_replaced(path):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        for info in (
            CheckpointInfo(200, "b.safetensors", "1", 0.5),
            CheckpointInfo(100, "a.safetensors", "2", 0.75, 0.25),
            CheckpointInfo(200, "b.safetensors", "3", None),
        ):
            writer.add_checkpoint(experiment_id, key_of(0), info)
    with Reader.open(path) as reader:
        assert reader.checkpoints(1) == [
            CheckpointInfo(100, "a.safetensors", "2", 0.75, 0.25),
            CheckpointInfo(200, "b.safetensors", "3", None),
        ]


class FailingConnection:
    """Lets `allowed` statements through, then fails as a disk does; passes everything else on."""

    def __init__(self, connection: sqlite3.Connection, allowed: int, error: BaseException) -> None:
        self._real, self._left, self._error = connection, allowed, error

    def execute(self, sql, *arguments):
        if sql != "ROLLBACK":
            self._left -= 1
            if self._left < 0:
                raise self._error
        return self._real.execute(sql, *arguments)

    def executemany(self, sql, rows):
        self.execute("SELECT 1")
        return self._real.executemany(sql, rows)

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), KeyboardInterrupt()])
def test_an_error_at_any_statement_of_a_batch_leaves_all_or_nothing(path, error):
    results = [CellResult(key_of(n), "done", 1.0) for n in range(3)]
    curves = [block(n, 0, range(1500)) for n in range(3)]
    with writer_with_runs(path, 3) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(n, 0, [5, 5]) for n in range(3)])
        before = list(writer._connection.iterdump())
        real = writer._connection
        for allowed in range(100):
            writer._transactions._connection = FailingConnection(real, allowed, error)
            try:
                writer.record_results(experiment_id, results, curves)
                break
            except (StoreError, KeyboardInterrupt) as caught:
                assert isinstance(caught, KeyboardInterrupt) or str(path) in str(caught)  # noqa: PT017
                assert not real.in_transaction
                assert list(real.iterdump()) == before
        assert allowed > 10
        writer._transactions._connection = real
        with Reader.open(path) as reader:
            assert set(reader.keys_with_status(experiment_id).values()) == {"done"}


def test_results_wait_for_the_disk_and_live_curves_do_not(path):
    with writer_with_runs(path, 1) as (writer, experiment_id):
        writer.append_curves(experiment_id, [block(0, 0, [1])])
        assert writer._connection.execute("PRAGMA synchronous").fetchone() == (1,)
        writer.record_results(experiment_id, [CellResult(key_of(0), "done", 1.0)])
        assert writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "x.db"
    with Writer.open(path) as writer, Reader.open(path) as reader:
        yield writer, reader


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "mark_running", "done", "diverged", "failed", "interrupted"]),
        st.lists(st.integers(0, 12), max_size=6, unique=True),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_no_run_is_lost_or_doubled(shared, plan):
    writer, reader = shared
    experiment_id = writer.begin_experiment(EXPERIMENT, fresh=True)
    model = {}
    for what, numbers in plan:
        if what == "add":
            writer.add_runs(experiment_id, [replace(RUN, key=key_of(n), seed=n) for n in numbers])
            model = {key_of(n): "queued" for n in numbers} | model
            continue
        keys = [key_of(n) for n in numbers if key_of(n) in model]
        if what == "mark_running":
            writer.mark_running(experiment_id, keys)
        elif what == "interrupted":
            writer.mark(experiment_id, keys, what)
        else:
            writer.record_results(experiment_id, [CellResult(key, what, 1.0) for key in keys])
        model |= dict.fromkeys(keys, "running" if what == "mark_running" else what)
    assert reader.keys_with_status(experiment_id) == model
    assert {run.facts.key: run.result.status for run in reader.runs(experiment_id)} == model
