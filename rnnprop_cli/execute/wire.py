"""Jobs, weights and what comes back, as bytes that say by a hash whether they are whole. Never pickled.

A job is JSON, weights and curves are safetensors: whoever reads them runs nothing that they hold. Numbers come out as
they went in, to the bit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import safetensors.numpy
from pydantic import TypeAdapter, ValidationError

from rnnprop_cli import errors
from rnnprop_cli.components.optimizees import AnyOptimizee
from rnnprop_cli.components.optimizers import AnyOptimizer
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.nodes import engine_of
from rnnprop_cli.execute.weights import Weights, weights_from
from rnnprop_cli.files.reading import parse_json
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.records import CellResult, CurveBlock


@dataclass(frozen=True)
class Ended:
    """An error that a batch ended with, which is no result."""

    kind: str  # the name of its class
    text: str

    @classmethod
    def of(cls, error: Exception) -> "Ended":
        """The error, to travel."""
        return cls(type(error).__name__, str(error))

    @property
    def lost_device(self) -> bool:
        """Whether only another process can go on with the batch."""
        return self.kind == errors.DeviceLostError.__name__

    def error(self) -> Exception:
        """To be raised where it is told."""
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, errors.RnnpropError) and kind is not errors.SpecError:
            return kind(self.text)
        return errors.RunError(f"a worker ended with an error: {self.kind}: {self.text}")


Event = BatchProgress | BatchDone | Ended
_HASH_LENGTH: Final = 64
_VALUES: Final = "values"


def sha256(content: bytes) -> str:
    """As hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def seal(body: bytes) -> bytes:
    """The body behind its own hash."""
    return sha256(body).encode() + b"\n" + body


def unseal(content: bytes, where: object) -> bytes:
    """The body that was sealed.

    Raises:
        IntegrityError: it is cut off or damaged.
    """
    head, body = content[:_HASH_LENGTH], content[_HASH_LENGTH + 1 :]
    if content[_HASH_LENGTH : _HASH_LENGTH + 1] != b"\n" or head != sha256(body).encode():
        raise errors.IntegrityError(f"{where}: is damaged or cut off: it is not what its SHA-256 says.")
    return body


def encode_job(job: BatchJob) -> bytes:
    """The same job always gives the same bytes; weights are named by their hash and travel beside it."""
    batch = job.batch
    problem = batch.problem
    plain = {
        "problem": vars(problem) | {"optimizee": problem.optimizee.model_dump(mode="json")},
        "optimizer": batch.optimizer.model_dump(mode="json"),
        "learning_rates": batch.learning_rates,
        "seeds": batch.seeds,
        "phase": batch.phase,
        "keys": job.keys,
        "weights": None if job.weights is None else sha256(encode_weights(job.weights)),
        "engine": vars(job.engine) | {"data_dir": job.engine.data_dir and str(job.engine.data_dir)},
        "curve_points": job.curve_points,
        "dataset_sha256": job.dataset_sha256,
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def weights_named_in(content: bytes) -> str | None:
    """The hash of the weights that a job needs."""
    named = parse_json(content)["weights"]
    return None if named is None else str(named)


def decode_job(content: bytes, weights: bytes | None = None) -> BatchJob:
    """The job as it was before.

    Args:
        content: of `encode_job`.
        weights: of `encode_weights`, where it names some.

    Raises:
        IntegrityError: the weights are others than it names, or something in it is none of ours.
    """
    plain = parse_json(content)
    if (plain["weights"] is None) != (weights is None) or (
        weights is not None and sha256(weights) != plain["weights"]
    ):
        raise errors.IntegrityError("the weights that came with a batch are others than it names")
    problem = plain["problem"]
    try:
        optimizee = _adapter("optimizee").validate_json(json.dumps(problem["optimizee"]))
        optimizer = _adapter("optimizer").validate_json(json.dumps(plain["optimizer"]))
    except ValidationError as error:
        raise errors.IntegrityError(f"a batch cannot be read here: {error.errors()[0]['msg']}") from error
    batch = CellBatch(
        Problem(**{**problem, "optimizee": optimizee}),
        optimizer,
        tuple(plain["learning_rates"]),
        tuple(plain["seeds"]),
        plain["phase"],
    )
    return BatchJob(
        batch,
        tuple(plain["keys"]),
        None if weights is None else decode_weights(weights),
        engine_of(plain["engine"]),
        plain["curve_points"],
        plain["dataset_sha256"],
    )


@cache
def _adapter(what: str) -> TypeAdapter[Any]:
    return TypeAdapter(AnyOptimizee if what == "optimizee" else AnyOptimizer)


def encode_weights(weights: Weights) -> bytes:
    """Meta-params with the architecture that they belong to."""
    about = {
        "optimizer": weights.architecture.model_dump(mode="json"),
        "sha256": weights.sha256,
        "source": weights.source,
    }
    tensors = {name: np.array(value, order="C") for name, value in weights.tensors.items()}
    return safetensors.numpy.save(tensors, metadata={"rnnprop": json.dumps(about, sort_keys=True)})


def decode_weights(content: bytes) -> Weights:
    """Meta-params as they were, but for how they were made, on which no bit depends.

    Raises:
        CheckpointError: they are none of ours.
    """
    about, tensors = open_tensors(content)
    if "optimizer" not in about:
        raise errors.CheckpointError("weights that came with a batch name no learned optimizer")
    return weights_from(tensors, {"optimizer": about["optimizer"]}, about["sha256"], about["source"])


def encode_events(events: Sequence[Event]) -> bytes:
    """What happened to a batch since the last time; its end, if that is among it, comes last."""
    curves = [curve for event in events if isinstance(event, BatchProgress) for curve in event.curves]
    plain = [_plain(event) for event in events]
    values = np.concatenate([np.zeros(0, np.float32), *(curve.values for curve in curves)])
    return safetensors.numpy.save(
        {_VALUES: values.astype(np.float32)}, metadata={"rnnprop": json.dumps(plain)}
    )


def _plain(event: Event) -> dict[str, Any]:
    if isinstance(event, Ended):
        return {"ended": [event.kind, event.text]}
    if isinstance(event, BatchDone):
        return {"results": [asdict(result) for result in event.results]}
    return {
        "steps_done": event.steps_done,
        "notice": event.notice,
        "curves": [[c.key, c.metric, c.step0, len(c.values), c.stride] for c in event.curves],
    }


def decode_events(content: bytes) -> list[Event]:
    """As they were."""
    plain, tensors = open_tensors(content)
    values, at = tensors[_VALUES], 0
    events: list[Event] = []
    for each in plain:
        if "ended" in each:
            events.append(Ended(*each["ended"]))
            continue
        if "results" in each:
            events.append(BatchDone(tuple(CellResult(**result) for result in each["results"])))
            continue
        curves = []
        for key, metric, step0, count, stride in each["curves"]:
            curves.append(CurveBlock(key, metric, step0, values[at : at + count].copy(), stride))
            at += count
        events.append(BatchProgress(each["steps_done"], tuple(curves), each["notice"]))
    return events


def open_tensors(content: bytes) -> tuple[Any, dict[str, Any]]:
    """What a safetensors file of ours says about itself, and its tensors."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = parse_json(content[8 : 8 + length])
        return parse_json(header["__metadata__"]["rnnprop"]), safetensors.numpy.load(content)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise errors.IntegrityError(f"what came from a node cannot be read: {error}") from error
