"""What runs inside a Ray cluster: a batch, and the question whether a machine may run any."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from rnnprop_cli.execute.brought import Parcel, take
from rnnprop_cli.execute.nodes import Wanted, node_name
from rnnprop_cli.execute.remote import messages
from rnnprop_cli.execute.wire import Ended, decode_job, encode_events

SECONDS_PER_MESSAGE: Final = 1.0
REFUSED: Final = "Refused"  # the kind of an `Ended` of a machine that may not compute


def check(wanted: str, parcels: tuple[Parcel, ...] = ()) -> tuple[str, str | None]:
    """The name of this machine, and why it may not compute for the driver; it takes the datasets that it lacks."""
    return node_name(), _refusal(wanted, parcels)


@lru_cache(maxsize=4)
def _refusal(wanted: str, parcels: tuple[Parcel, ...]) -> str | None:
    """Asked once in a process."""
    asked = Wanted.parse(wanted)
    take(parcels, asked.engine, _content)
    return asked.refusal()


def _content(reference: Any) -> bytes:
    """What Ray's object store has; fetched by those alone who need it, for it may be large."""
    import ray

    found: bytes = ray.get(reference)
    return found


def run(job: bytes, weights: bytes | None, wanted: str, parcels: tuple[Parcel, ...] = ()) -> Iterator[bytes]:
    """Runs a batch.

    Args:
        job: of `encode_job`.
        weights: that it names, if it does.
        wanted: of `Wanted.as_json`.
        parcels: datasets that it may need.

    Yields:
        messages for `decode_events`.
    """
    node, refusal = check(wanted, parcels)
    if refusal is not None:
        yield encode_events([Ended(REFUSED, f"{node}: {refusal}")])
        return
    for message in messages(lambda: decode_job(job, weights), SECONDS_PER_MESSAGE):
        yield message.content


def run_whole(
    job: bytes, weights: bytes | None, wanted: str, parcels: tuple[Parcel, ...] = ()
) -> list[bytes]:
    """As `run`, all messages at its end: a Ray Client takes no others."""
    return list(run(job, weights, wanted, parcels))
