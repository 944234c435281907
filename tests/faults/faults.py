"""What can be made to go wrong inside a process of ours, by name: in the command itself and in its workers."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnprop_cli.seeds import fresh_seeds, tuning_seeds

VARIABLE = "RNNPROP_TEST_FAULTS"  # names, separated by spaces; obeyed by workers
NODE_VARIABLE = "RNNPROP_TEST_NODE_FAULTS"  # likewise, by workers of a cluster alone


def jumping_clock() -> None:
    """The wall clock jumps by a day at every look, back and forth."""
    real, jumps = time.time, iter(range(10**9))
    time.time = lambda: real() + (-1) ** next(jumps) * 86400.0  # type: ignore[assignment]


def no_room_from(number: int) -> Callable[[], None]:
    """The number-th write of a checkpoint, and every one after it, finds no room."""

    def patch() -> None:
        real, calls = os.write, iter(range(1, 10**9))

        def write(descriptor: int, data: bytes) -> int:
            if next(calls) >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, data)

        os.write = write  # type: ignore[assignment]

    return patch


def patient() -> None:
    """A batch may kill any number of workers: who kills them here is not the batch."""
    from rnnprop_cli.execute import attempts

    attempts.TRIES = 1000  # type: ignore[misc]


def other_version() -> None:
    """The program's numerics have changed."""
    from rnnprop_cli.execute import identity

    identity.NUMERICS_VERSION = 99  # type: ignore[misc]


def other_torch() -> None:
    """Another version of torch is installed."""
    from rnnprop_cli.execute import identity

    real = identity.version
    identity.version = lambda package: "2.9.0" if package == "torch" else real(package)


def other_data() -> None:
    """The dataset holds other images than before."""
    from dataclasses import replace

    from rnnprop_cli.runs import train_identity

    real = train_identity.load_dataset
    train_identity.load_dataset = lambda *arguments: replace(real(*arguments), sha256="0" * 64)


def clock_set_back() -> None:
    """The wall clock is two days behind."""
    real = time.time
    time.time = lambda: real() - 2 * 86400.0  # type: ignore[assignment]
    from datetime import datetime, timedelta

    from rnnprop_cli.store import writer

    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(days=2)

    writer.datetime = Behind  # type: ignore[misc]


def other_host() -> None:
    """The machine has another name."""
    import socket

    socket.gethostname = lambda: "elsewhere"


def data_exchanged_before_first_batch() -> None:
    """Whoever comes second to the data finds others: a worker that took over, or the training after its preparation."""
    from rnnprop_cli.execute import bench, tasks

    place = Path("data/cifar10/data_batch_1.bin")

    def exchanged(load: Callable[..., Any]) -> Callable[..., Any]:
        def after_exchange(*arguments: Any) -> Any:
            place.write_bytes(bytes(place.stat().st_size))
            return load(*arguments)

        return after_exchange

    bench.find_dataset = exchanged(bench.find_dataset)
    tasks.load_dataset = exchanged(tasks.load_dataset)


def turned_signal() -> None:
    """SIGTERM comes amid a library that makes an exception of its own of every one that it meets."""
    from rnnprop_cli.spec import source

    def fail(*arguments: object, **more: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except BaseException as error:
            raise ValueError("the schema cannot be built") from error

    source.tomllib.loads = fail  # type: ignore[assignment]


def slow() -> None:
    """Every inner step takes 5 ms: time to interfere."""
    from rnnprop_cli.components.minibatches import ImageMinibatches

    real = ImageMinibatches.at

    def at(self: ImageMinibatches, step: int) -> Any:
        time.sleep(0.005)
        return real(self, step)

    ImageMinibatches.at = at  # type: ignore[method-assign]


def poison() -> None:
    """The cell of tuned SGD's first learning rate and first seed kills the process that runs it."""

    def is_poison(job: Any) -> bool:
        return job.batch.phase == "tuning" and job.batch.optimizer.kind == "sgd" and _has_first_cell(job)

    _before_batches(is_poison, lambda: os.kill(os.getpid(), signal.SIGKILL))


def lost_gpu() -> None:
    """That cell makes a GPU answer nothing more to the process that runs it, whatever is asked next."""
    _lose_gpu(lambda: True)


def lost_gpu_once() -> None:
    """The same, but it happens once."""
    mark = Path("the GPU was lost")

    def first_time() -> bool:
        first = not mark.exists()
        mark.touch()
        return first

    _lose_gpu(first_time)


def _lose_gpu(happens: Callable[[], bool]) -> None:
    from rnnprop_cli.execute import dispatch

    lost = False

    def is_hit(job: Any) -> bool:
        nonlocal lost
        is_poison = job.batch.phase == "tuning" and job.batch.optimizer.kind == "sgd" and _has_first_cell(job)
        lost = lost or (is_poison and happens())
        return lost

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    _before_batches(is_hit, fail)
    dispatch.is_lost = lambda device: lost


def _has_first_cell(job: Any) -> bool:
    first_rate = 2.0 ** (-(job.batch.optimizer.centre_k - 1) / 2)
    return tuning_seeds(0, range(1))[0] in job.batch.seeds and first_rate in job.batch.learning_rates


def no_memory_for_several() -> None:
    """Batches of more than two cells of Adam do not fit."""

    def large(job: Any) -> bool:
        return job.batch.optimizer.kind == "adam" and len(job.keys) > 2

    _before_batches(large, _out_of_memory)


def no_memory_for_seed_0() -> None:
    """Whatever has the first fresh seed of Adam in it does not fit."""
    (first,) = fresh_seeds(0, 1)
    _before_batches(
        lambda job: job.batch.optimizer.kind == "adam" and first in job.batch.seeds, _out_of_memory
    )


def _out_of_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _before_batches(condition: Callable[[Any], bool], action: Callable[[], None]) -> None:
    from rnnprop_cli.execute import bench

    real = bench.run_batch

    def run_batch(job: Any) -> Iterator[Any]:
        if condition(job):
            action()
        yield from real(job)

    bench.run_batch = run_batch  # type: ignore[assignment]


FAULTS: dict[str, Callable[[], None]] = {
    "jumping_clock": jumping_clock,
    "other_version": other_version,
    "other_torch": other_torch,
    "patient": patient,
    "other_data": other_data,
    "slow": slow,
    "turned_signal": turned_signal,
    "clock_set_back": clock_set_back,
    "other_host": other_host,
    "data_exchanged_before_first_batch": data_exchanged_before_first_batch,
    "poison": poison,
    "lost_gpu": lost_gpu,
    "lost_gpu_once": lost_gpu_once,
    "no_memory_for_several": no_memory_for_several,
    "no_memory_for_seed_0": no_memory_for_seed_0,
    **{f"no_room_from_{number}": no_room_from(number) for number in range(1, 20)},
}


def inject(names: str) -> None:
    """Makes these things go wrong from now on."""
    for name in names.split():
        FAULTS[name]()
