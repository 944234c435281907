"""What runs inside a Ray cluster: a batch, and the question whether a machine may run any."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rnnprop_cli.execute.nodes import Wanted, node_name
from rnnprop_cli.execute.remote import messages
from rnnprop_cli.execute.wire import Ended, decode_job, encode_events

SECONDS_PER_MESSAGE: Final = 1.0
REFUSED: Final = "Refused"  # the kind of an `Ended` of a machine that may not compute


def check(wanted: str) -> tuple[str, str | None]:
    """The name of this machine, and why it may not compute for the driver."""
    return node_name(), _refusal(wanted)


@lru_cache(maxsize=4)
def _refusal(wanted: str) -> str | None:
    """Asked once in a process."""
    return Wanted.parse(wanted).refusal()


def run(job: bytes, weights: bytes | None, wanted: str) -> Iterator[bytes]:
    """Runs a batch.

    Args:
        job: of `encode_job`.
        weights: that it names, if it does.
        wanted: of `Wanted.as_json`.

    Yields:
        messages for `decode_events`.
    """
    node, refusal = check(wanted)
    if refusal is not None:
        yield encode_events([Ended(REFUSED, f"{node}: {refusal}")])
        return
    for message in messages(lambda: decode_job(job, weights), SECONDS_PER_MESSAGE):
        yield message.content


def run_whole(job: bytes, weights: bytes | None, wanted: str) -> list[bytes]:
    """As `run`, all messages at its end: a Ray Client takes no others."""
    return list(run(job, weights, wanted))
