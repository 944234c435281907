"""The one place that chooses an engine."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rnnprop_cli.execute.available import require
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.dispatch import Dispatcher
from rnnprop_cli.execute.in_process import InProcess
from rnnprop_cli.execute.local import LocalSlots
from rnnprop_cli.execute.nodes import Wanted
from rnnprop_cli.plan.identity import content_hash
from rnnprop_cli.spec.engine import AnyEngine, LocalEngine, RayEngine

SLURM_SLOTS: Final = 8
_NAME_LENGTH: Final = 12


def slots_of(spec: AnyEngine) -> int:
    """Batches side by side that decide how threads are shared out; on a cluster each node has its own."""
    return (spec.slots or 1) if spec.kind == "local" else 1


def threads_of(spec: AnyEngine, threads: int | None) -> int | None:
    """Threads of a batch; None: those of this machine, shared out among the slots. On a cluster one, unless said."""
    if threads is not None or spec.kind == "local":
        return threads
    cores = spec.cpus if isinstance(spec, RayEngine) else spec.cpus_per_task
    return max(1, math.floor(cores or 1))


def open_dispatcher(
    spec: AnyEngine,
    engine: Engine,
    dtype: str,
    datasets: Mapping[str, str],
    database: Path,
    ledger: str,
) -> Dispatcher:
    """Who carries out the batches of a benchmark.

    Args:
        spec: of the engine.
        engine: with which every machine computes.
        dtype: of all cells.
        datasets: name -> hash, that every machine must have.
        database: beside which a folder may be made.
        ledger: names what the results are for: the same after a restart, another for every other experiment.

    Raises:
        UsageError: the engine is not here, or what was asked of it is not possible.
        RunError: it does not start.
    """
    if isinstance(spec, LocalEngine):
        slots = spec.slots or 1
        return InProcess() if slots == 1 else LocalSlots(slots)
    require(spec.kind)
    wanted = Wanted.of_here(engine, dtype, datasets)
    if isinstance(spec, RayEngine):
        from rnnprop_cli.execute.ray_tasks import RayTasks

        return RayTasks.start(spec, wanted)
    from rnnprop_cli.execute.slurm import SlurmJobs

    name = f"rnnprop-{content_hash([ledger, wanted.as_json()])[:_NAME_LENGTH]}"
    beside = database.expanduser().resolve().parent / "slurm"
    folder = beside if spec.folder is None else Path(spec.folder).expanduser().resolve()
    cores = spec.cpus_per_task or engine.threads
    return SlurmJobs(name, folder / name, wanted, spec.slots or SLURM_SLOTS, cores, spec.options())
