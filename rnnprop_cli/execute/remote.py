"""What a worker of a cluster does with a batch: runs it, and says what happens as bytes."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rnnprop_cli.errors import DeviceLostError
from rnnprop_cli.execute.bench import BatchJob, BatchProgress
from rnnprop_cli.execute.dispatch import run_job
from rnnprop_cli.execute.wire import Ended, Event, encode_events


class Message(NamedTuple):
    """For `decode_events`."""

    content: bytes
    last: bool
    usable: bool = True  # whether this process can go on afterwards


def messages(read: Callable[[], BatchJob], every_s: float) -> Iterator[Message]:
    """Runs a batch in this process.

    Args:
        read: gives the batch, or says what is wrong with what came.
        every_s: events are gathered for so long, so that a short batch is one message.

    Yields:
        what happened, the last one with the end.
    """
    gathered: list[Event] = []
    last = time.monotonic()
    try:
        job = read()
        job.engine.prepare()
        for event in run_job(job):
            if gathered and isinstance(event, BatchProgress) and _says_only_how_far(gathered[-1]):
                gathered.pop()  # the newest is enough
            gathered.append(event)
            if isinstance(event, BatchProgress) and time.monotonic() - last > every_s:
                yield Message(encode_events(gathered), last=False)
                gathered.clear()
                last = time.monotonic()
    except Exception as error:  # what `run_job` does not make a result of: the driver's to report
        ended = Ended.of(error)
        yield Message(encode_events([ended]), True, usable=not isinstance(error, DeviceLostError))
        return
    yield Message(encode_events(gathered), last=True)


def _says_only_how_far(event: Event) -> bool:
    return isinstance(event, BatchProgress) and not event.curves and event.notice is None
