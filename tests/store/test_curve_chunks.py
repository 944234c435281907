"""Curves in, curves out: whatever the pieces, the same steps and values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import EXPERIMENT, block, key_of, same, some_runs

from rnnprop_cli.store.chunks import CHUNK_VALUES, Chunk, as_chunk, pack, unpack
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer

values32 = st.floats(width=32, allow_nan=True, allow_infinity=True)
pieces_of_lengths = st.lists(
    st.tuples(st.integers(1, 700), st.integers(1, 3), st.integers(0, 40)), min_size=1, max_size=12
)


def build_pieces(plan):
    """Chunks in ascending steps: (length, stride, gap to the next) each; values count up."""
    step, count, pieces = 0, 0, []
    for length, stride, gap in plan:
        pieces.append(as_chunk(step, stride, np.arange(count, count + length, dtype=np.float32)))
        count += length
        step = pieces[-1].last_step + 1 + gap
    return pieces


@settings(deadline=None)
@given(pieces_of_lengths)
def test_packing_keeps_every_step_and_value(plan):
    pieces = build_pieces(plan)
    chunks = pack(pieces)
    steps, values = unpack(chunks)
    wanted = np.concatenate([p.step0 + p.stride * np.arange(len(p.values)) for p in pieces])
    assert np.array_equal(steps, wanted)
    assert np.array_equal(values, np.concatenate([p.values for p in pieces]))
    assert all(0 < len(chunk.values) <= CHUNK_VALUES for chunk in chunks)
    assert chunks[0].step0 == pieces[0].step0


@settings(deadline=None)
@given(pieces_of_lengths, st.integers(0, 10_000))
def test_cutting_keeps_exactly_the_steps_before(plan, step):
    for piece in build_pieces(plan):
        kept = piece.before(step)
        steps = piece.step0 + piece.stride * np.arange(len(piece.values))
        assert np.array_equal(kept.values, piece.values[steps < step])


def test_values_given_one_by_one_every_hundred_steps_fill_chunks():
    chunks = pack([as_chunk(100 * k, 1, np.array([k], dtype=np.float32)) for k in range(1, 3001)])
    assert [len(chunk.values) for chunk in chunks] == [1024, 1024, 952]
    assert {chunk.stride for chunk in chunks} == {100}


def test_a_span_that_fits_by_chance_is_not_taken_for_one_range():
    two = np.zeros(2, dtype=np.float32)
    one = np.zeros(1, dtype=np.float32)
    steps, _ = unpack([Chunk(0, 2, two), Chunk(3, 2, one), Chunk(6, 2, one)])
    assert steps.tolist() == [0, 2, 3, 6]


@pytest.mark.parametrize(
    ("step0", "stride", "shape"), [(-1, 1, (3,)), (0, 0, (3,)), (0, 1, (3, 1)), (0, 1, ())]
)
def test_what_is_not_a_curve_is_refused(step0, stride, shape):
    with pytest.raises(ValueError, match="not a curve"):
        as_chunk(step0, stride, np.zeros(shape, dtype=np.float32))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A writer, a reader beside it and a source of fresh runs, shared by all examples."""
    path = tmp_path_factory.mktemp("curves") / "x.db"
    with Writer.open(path) as writer, Reader.open(path) as reader:
        experiment = writer.begin_experiment(EXPERIMENT)
        writer.add_runs(experiment, some_runs(2000))
        yield writer, reader, experiment, iter(range(2000))


@settings(max_examples=60, deadline=None)
@given(st.lists(values32, max_size=60), st.lists(st.integers(1, 25), max_size=20))
def test_a_curve_written_in_any_pieces_reads_back_bit_for_bit(store, values, lengths):
    writer, reader, experiment, numbers = store
    number, at = next(numbers), 0
    for length in [*lengths, len(values)]:
        writer.append_curves(experiment, [block(number, at, values[at : at + length])])
        at = min(len(values), at + length)
    steps, read = reader.curve(number + 1, "loss")
    assert steps.tolist() == list(range(len(values)))
    assert same(read, values)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 30), st.integers(1, 1500)),
        st.tuples(st.just("rewind"), st.integers(0, 3000), st.integers(1, 40)),
        st.tuples(st.just("truncate"), st.integers(0, 4000), st.just(0)),
        st.tuples(st.just("replace"), st.integers(0, 30), st.integers(1, 1500)),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(operations)
def test_appending_rewinding_truncating_and_replacing_agree_with_a_plain_dictionary(store, plan):
    writer, reader, experiment, numbers = store
    number, model, fill = next(numbers), {}, 0
    for what, where, length in plan:
        end = max(model, default=-1) + 1
        fill += 1
        step0 = {"append": end + where, "rewind": min(where, end), "replace": where, "truncate": 0}[what]
        written = block(number, step0, np.full(length, fill))
        if what == "truncate":
            writer.rewind(experiment, key_of(number), where - 1)
            model = {step: value for step, value in model.items() if step < where}
            continue
        if what == "replace":
            model = {}
            writer.record_results(experiment, [], [written])
        else:
            model = {step: value for step, value in model.items() if step < step0}
            writer.append_curves(experiment, [written])
        model |= dict.fromkeys(range(step0, step0 + length), fill)
    steps, values = reader.curve(number + 1, "loss")
    assert dict(zip(steps.tolist(), values.tolist(), strict=True)) == model
    assert steps.tolist() == sorted(model)


def test_extremes_of_a_chunk_count_finite_values_only(store):
    writer, reader, experiment, numbers = store
    number = next(numbers)
    writer.append_curves(experiment, [block(number, 0, [3.0, math.nan, -2.0, math.inf])])
    writer.append_curves(experiment, [block(number, 0, [math.nan, math.inf], metric="moving_average")])
    rows = reader._connection.execute(
        "SELECT vmin, vmax, nonfinite, n FROM chunk WHERE run_id = ? ORDER BY metric_id", (number + 1,)
    ).fetchall()
    assert rows == [(-2.0, 3.0, 2, 4), (None, None, 2, 2)]
    assert set(reader.metrics(number + 1)) == {"loss", "moving_average"}


def test_blocks_of_many_runs_and_metrics_in_one_call_do_not_mix(store):
    writer, reader, experiment, numbers = store
    first, second = next(numbers), next(numbers)
    writer.append_curves(
        experiment,
        [
            block(first, 0, [1, 2]),
            block(second, 0, [10]),
            block(first, 0, [5], metric="other"),
            block(first, 2, [3]),
            block(second, 5, [11], stride=7),
            block(second, 12, [12, 13], stride=7),
        ],
    )
    assert reader.curve(first + 1, "loss")[1].tolist() == [1, 2, 3]
    assert reader.curve(first + 1, "other")[1].tolist() == [5]
    steps, values = reader.curve(second + 1, "loss")
    assert (steps.tolist(), values.tolist()) == ([0, 5, 12, 19], [10, 11, 12, 13])
    assert [len(steps) for steps, _ in reader.curves([second + 1, first + 1, 1999], "other").values()] == [
        0,
        1,
        0,
    ]
    assert len(reader.curve(first + 1, "no such metric")[0]) == 0
