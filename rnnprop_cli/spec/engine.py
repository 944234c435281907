"""Which engine carries out a benchmark's batches: `[engine]` in a spec, `--engine` on the command line.

No part of any identity: a benchmark begun by one engine is finished by another.
"""

import difflib
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from rnnprop_cli.errors import UsageError
from rnnprop_cli.fields import PositiveFloat, PositiveInt, Spec

Slots = Annotated[int, Field(ge=1, le=1024)]
# An option of sbatch: no spaces, commas, or anything that a shell, a log or a control file would take amiss.
OPTION_PATTERN: Final = r"^[A-Za-z0-9_.:/@\[\]&|*()=][A-Za-z0-9_.:,/@\[\]&|*()=-]{0,199}$"
ADDRESS_PATTERN: Final = r"^[A-Za-z0-9_.:/\[\]-]{1,200}$"
Option = Annotated[str, Field(pattern=OPTION_PATTERN)]


class LocalEngine(Spec):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    slots: Slots | None = None  # batches that run side by side


class RayEngine(Spec):
    """Tasks of a Ray cluster; without an address, of one that is started here for as long as it takes."""

    kind: Literal["ray"] = "ray"
    slots: Slots | None = (
        None  # batches that run side by side; as many as the cluster has room for, unless said
    )
    address: Annotated[str, Field(pattern=ADDRESS_PATTERN)] | None = None  # auto, HOST:PORT, ray://HOST:PORT
    cpus: PositiveFloat | None = None  # that a batch takes; as many as it has threads, unless said
    gpus: Annotated[float, Field(ge=0)] | None = (
        None  # that a batch takes, e.g. 0.25; one on CUDA, unless said
    )


class SlurmEngine(Spec):
    """Workers in an array job of SLURM. The settings are options of sbatch by their names there."""

    kind: Literal["slurm"] = "slurm"
    slots: Slots | None = None  # workers, each with a batch at a time
    folder: str | None = None  # that all nodes see; beside the database, unless said
    partition: Option | None = None
    account: Option | None = None
    qos: Option | None = None
    gres: Option | None = None  # e.g. gpu:1
    constraint: Option | None = None
    reservation: Option | None = None
    nodelist: Option | None = None
    exclude: Option | None = None
    mem: Option | None = None  # e.g. 4G
    time: PositiveInt | Option | None = None  # of a worker: minutes, or as sbatch has it
    cpus_per_task: PositiveInt | None = None  # as many as there are threads, unless said

    def options(self) -> dict[str, str]:
        """What sbatch is told, without the cores."""
        own = {"kind", "slots", "folder", "cpus_per_task"}
        return {
            name: str(value)
            for name, value in self.model_dump().items()
            if name not in own and value is not None
        }


AnyEngine = LocalEngine | RayEngine | SlurmEngine
_FORMS: Final[dict[str, type[LocalEngine] | type[RayEngine] | type[SlurmEngine]]] = {
    "local": LocalEngine,
    "ray": RayEngine,
    "slurm": SlurmEngine,
}


def chosen_engine(
    asked: AnyEngine, kind: str | None, address: str | None, slurm: str | None, slots: int | None
) -> AnyEngine:
    """The engine of a spec, with what the command line says instead.

    Args:
        asked: by the spec.
        kind: of the engine; another than the spec's forgets the spec's settings.
        address: of a Ray cluster.
        slurm: options, `partition=gpu,gres=gpu:1,time=60`.
        slots: batches side by side.

    Raises:
        UsageError: an option belongs to another engine, or is none.
    """
    found: AnyEngine = asked if kind in (None, asked.kind) else _FORMS[str(kind)]()
    told: dict[str, object] = {} if slots is None else {"slots": slots}
    if address is not None:
        if not isinstance(found, RayEngine):
            raise UsageError(f"--address is of a Ray cluster: add --engine ray (this is {found.kind}).")
        told["address"] = address
    if slurm is not None:
        if not isinstance(found, SlurmEngine):
            raise UsageError(f"--slurm holds options of SLURM: add --engine slurm (this is {found.kind}).")
        told |= slurm_options(slurm)
    try:
        return type(found).model_validate(found.model_dump() | told)
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, each['loc'][:1]))}: {each['msg']}" for each in error.errors())
        raise UsageError(f"engine {found.kind}: {words}") from None


def slurm_options(text: str) -> dict[str, object]:
    """`partition=gpu,gres=gpu:1,time=60` as settings; a part without a sign belongs to the value before it.

    Raises:
        UsageError: a part is no option that is passed on.

    >>> slurm_options("gres=gpu:1,tmp:10,time=60")
    {'gres': 'gpu:1,tmp:10', 'time': 60}
    """
    known = sorted(set(SlurmEngine.model_fields) - {"kind", "slots"})
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        name, sign, value = part.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if sign and name in known:
            pairs.append((name, value.strip()))
        elif not sign and pairs and part.strip():
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part.strip()}")
        else:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f" - did you mean '{near[0]}'?" if near else "."
            raise UsageError(
                f"--slurm {text}: '{part}' is no setting{meant} There are {', '.join(known)}, each NAME=VALUE."
            )
    numbers = ("time", "cpus_per_task")
    return {name: int(value) if name in numbers and value.isdecimal() else value for name, value in pairs}
