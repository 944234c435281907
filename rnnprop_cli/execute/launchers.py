"""Which rank of how many this process is: told by torchrun, by srun, or by nobody. Loads no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rnnprop_cli.errors import UsageError

_TORCHRUN: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FIRST_HOST: Final = re.compile(r"(?P<prefix>[^\[,]+)(?:\[(?P<number>[0-9]+)[^\]]*\](?P<suffix>[^\[,]*))?")
# Where the first of srun's tasks listens: the job's and the step's numbers choose among these.
_FIRST_PORT: Final = 20_000
_PORTS: Final = 20_000
_HERE: Final = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """One rank of a meta-training."""

    rank: int
    ranks: int
    local: int  # its number on its machine
    rendezvous: (
        str | None
    )  # where the ranks meet, as torch.distributed takes it; None: the first one starts the others
    one_machine: bool


def find_place(asked: int | None, environment: Mapping[str, str]) -> Place | None:
    """The place of this process.

    Args:
        asked: the number of ranks that the user named; 1 leaves a launcher aside.
        environment: variables, of which launchers set some.

    Returns:
        None where nobody asks for ranks.

    Raises:
        UsageError: a launcher has started another number of ranks than was asked for.
    """
    if asked == 1:
        return Place(0, 1, 0, None, True)
    for name, find in (("torchrun", _by_torchrun), ("srun", _by_srun)):
        place = find(environment)
        if place is None:
            continue
        if asked not in (None, place.ranks):
            raise UsageError(
                f"--ranks {asked}, but {name} has started {place.ranks}: leave --ranks out, or name their number"
            )
        return place
    return None if asked is None else Place(0, asked, 0, None, True)


def _by_torchrun(environment: Mapping[str, str]) -> Place | None:
    if not all(name in environment for name in _TORCHRUN):
        return None
    rank, ranks = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    here = _number(environment, "LOCAL_WORLD_SIZE", 0) == ranks
    return Place(rank, ranks, _number(environment, "LOCAL_RANK", 0), "env://", here)


def _by_srun(environment: Mapping[str, str]) -> Place | None:
    """Of a job step with several tasks. In the job's own script these variables are not set."""
    if _number(environment, "SLURM_STEP_NUM_TASKS", 1) == 1:
        return None
    here = _number(environment, "SLURM_STEP_NUM_NODES", 0) == 1
    host = _HERE if here else _first_host(environment.get("SLURM_STEP_NODELIST", ""))
    job, step = _number(environment, "SLURM_JOB_ID", 0), _number(environment, "SLURM_STEP_ID", 0)
    host = environment.get("MASTER_ADDR", host)
    port = environment.get("MASTER_PORT", str(_FIRST_PORT + (job + step) % _PORTS))
    return Place(
        _number(environment, "SLURM_PROCID"),
        _number(environment, "SLURM_STEP_NUM_TASKS"),
        _number(environment, "SLURM_LOCALID", 0),
        f"tcp://{host}:{port}",
        here,
    )


def _first_host(nodes: str) -> str:
    """The first of "node[01-04,7],other", where the first task runs."""
    found = _FIRST_HOST.match(nodes)
    if found is None:
        raise UsageError(
            f"SLURM_STEP_NODELIST={nodes!r} names no host: set MASTER_ADDR to that of the first task"
        )
    return "".join(part for part in found.groups() if part is not None)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, None if default is None else str(default))
    if text is None or not text.isdecimal():
        raise UsageError(f"{name}={text or ''} in the environment is no number, and a launcher should set it")
    return int(text)
