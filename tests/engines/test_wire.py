"""Jobs, weights and results as bytes: the same come out, damaged ones do not."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from engine_samples import job

from rnnprop_cli.components.learned import AnyArchitecture  # noqa: F401  the registry is complete
from rnnprop_cli.errors import CheckpointError, DataError, IntegrityError, RunError
from rnnprop_cli.execute import wire
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.wire import Ended
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.records import CellResult, CurveBlock
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import resolve, resolve_bench_text
from rnnprop_cli.spec.shipped import shipped_specs


def batches_of(spec: BenchSpec) -> list[BatchJob]:
    """A batch for each lane."""
    found = []
    for lane in lanes(spec):
        batch = lane.first_batches()[0]
        found.append(replace(job(), batch=batch, keys=tuple(map(str, range(len(batch))))))
    return found


def test_every_batch_of_every_shipped_benchmark_comes_out_as_it_went_in() -> None:
    seen = set()
    for path in shipped_specs().values():
        resolved = resolve(path)
        if not isinstance(resolved.spec, BenchSpec):
            continue
        for each in batches_of(resolved.spec):
            batch = each.batch
            if (what := (batch.problem.optimizee, batch.optimizer.kind)) in seen:
                continue
            seen.add(what)
            content = wire.encode_job(each)
            assert wire.decode_job(content) == each
            assert wire.encode_job(wire.decode_job(content)) == content
    assert len({kind for _, kind in seen}) > 5


def test_code_from_outside_travels_as_its_text(tmp_path) -> None:
    (tmp_path / "rules.py").write_text("class Plain: ...\n")
    text = (
        'name = "x"\ncalibrated = false\noptimizees = [{ kind = "mlp", dataset = "digits" }]\n'
        '[[optimizers]]\nkind = "torch"\nsource = "rules.py:Plain"\nlr = 0.1\nsettings = { betas = [[0.9, 0.99]] }\n'
    )
    (each, *_) = batches_of(resolve_bench_text(text, str(tmp_path / "x.toml")).spec)
    (tmp_path / "rules.py").unlink()
    found = wire.decode_job(wire.encode_job(each))
    assert found == each
    assert "class Plain" in found.batch.optimizer.code.text


def test_weights_travel_by_their_hash_and_others_are_refused() -> None:
    asked = job(learned=True)
    content, weights = wire.encode_job(asked), wire.encode_weights(asked.weights)
    assert wire.weights_named_in(content) == wire.sha256(weights)
    found = wire.decode_job(content, weights)
    assert found.batch == asked.batch
    assert found.weights.tensors_sha256 == asked.weights.tensors_sha256
    assert found.weights.architecture == asked.weights.architecture
    assert wire.encode_weights(found.weights) == weights
    for others in (None, weights[:-1] + bytes([weights[-1] ^ 1])):
        with pytest.raises(IntegrityError, match="others than it names"):
            wire.decode_job(content, others)
    with pytest.raises(CheckpointError):
        wire.decode_weights(wire.encode_events([]))


def test_numbers_come_out_to_the_last_bit() -> None:
    values = np.array([0.1, math.nan, math.inf, -0.0, 1e-45], dtype=np.float32)
    events = [
        BatchProgress(3, (CurveBlock("a", "loss", 0, values), CurveBlock("b", "loss", 4, values[:2], 7))),
        BatchProgress(5, notice="look"),
        BatchDone(
            (
                CellResult("a", "done", 0.1 + 0.2, 1e-310, 0.5, None, 1.5, 2**40, None, "n1"),
                CellResult("b", "diverged", math.nan, first_bad_step=3, error="\x1b[31m\ud800"),
            )
        ),
    ]
    progress, notice, done = wire.decode_events(wire.encode_events(events))
    assert [(c.key, c.step0, c.stride, c.values.tobytes()) for c in progress.curves] == [
        ("a", 0, 1, values.tobytes()),
        ("b", 4, 7, values[:2].tobytes()),
    ]
    assert notice == events[1]
    assert repr(done) == repr(events[2])


def test_an_error_comes_out_as_what_it_is_or_as_a_failed_run() -> None:
    (ended,) = wire.decode_events(wire.encode_events([Ended.of(DataError("mnist is absent"))]))
    assert isinstance(ended.error(), DataError)
    assert str(ended.error()) == "mnist is absent"
    for strange in ("SystemExit", "SpecError", "suggested", "RnnpropError.__init__"):
        assert isinstance(Ended(strange, "x").error(), RunError | wire.errors.RnnpropError)
        assert type(Ended(strange, "x").error()) is RunError


def test_no_cut_and_no_flipped_bit_is_taken_for_whole() -> None:
    whole = wire.seal(wire.encode_job(job()))
    assert wire.unseal(whole, "x") == wire.encode_job(job())
    for cut in range(0, len(whole), 7):
        with pytest.raises(IntegrityError, match="cut off"):
            wire.unseal(whole[:cut], "x")
    for bit in range(0, 8 * len(whole), 61):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            wire.unseal(bytes(flipped), "x")


@pytest.mark.parametrize("content", [b"", b"x" * 40, (5).to_bytes(8, "little") + b"[1,2]"])
def test_what_is_none_of_our_messages_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        wire.decode_events(content)


def test_a_batch_of_another_version_is_refused_in_words() -> None:
    plain = json.loads(wire.encode_job(job()))
    plain["optimizer"]["kind"] = "from-the-future"
    with pytest.raises(IntegrityError, match="cannot be read here"):
        wire.decode_job(json.dumps(plain).encode())
