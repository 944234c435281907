"""What two machines must have in common, so that either computes the same bits and the same question."""

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import rnnprop_cli
from rnnprop_cli.errors import DeviceError, RnnpropError
from rnnprop_cli.execute.arrived import find_dataset
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.identity import identity_facts

Facts = Mapping[str, str | int]
_SOURCES: Final = (".py", ".cpp", ".h")
_LONGEST: Final = 60


@dataclass(frozen=True)
class Wanted:
    """What the driver has, and every node must have. A plain value."""

    engine: Engine
    dtype: str
    facts: Facts  # of the program and of the machine, as `node_facts` finds them
    datasets: Mapping[str, str]  # name -> hash

    @classmethod
    def of_here(cls, engine: Engine, dtype: str, datasets: Mapping[str, str]) -> "Wanted":
        """What this machine has."""
        return cls(engine, dtype, node_facts(engine, dtype), datasets)

    def refusal(self) -> str | None:
        """Why this machine may not compute for the driver; None if it may. In one line."""
        try:
            here = node_facts(self.engine, self.dtype)
        except DeviceError as error:
            return str(error)
        wrong = differences(self.facts, here) + list(self._wrong_data())
        return "; ".join(wrong) if wrong else None

    def _wrong_data(self) -> "list[str]":
        wrong = []
        for name, sha256 in self.datasets.items():
            try:
                found = find_dataset(name, self.engine.data_dir, sha256).sha256
            except RnnpropError as error:
                wrong.append(" ".join(str(error).split()))
                continue
            if found != sha256:
                wrong.append(f"dataset {name} is {found[:12]}, the driver's {sha256[:12]}")
        return wrong

    def as_json(self) -> str:
        """As `parse` reads it."""
        engine = vars(self.engine) | {"data_dir": self.engine.data_dir and str(self.engine.data_dir)}
        return json.dumps(
            {
                "engine": engine,
                "dtype": self.dtype,
                "facts": dict(self.facts),
                "datasets": dict(self.datasets),
            }
        )

    @classmethod
    def parse(cls, text: str | bytes) -> "Wanted":
        """Of JSON."""
        found = json.loads(text)
        return cls(engine_of(found["engine"]), found["dtype"], found["facts"], found["datasets"])


def engine_of(settings: Mapping[str, object]) -> Engine:
    """An engine whose folder was written as text."""
    folder = settings["data_dir"]
    return Engine(**{**settings, "data_dir": None if folder is None else Path(str(folder))})  # type: ignore[arg-type]


def node_facts(engine: Engine, dtype: str) -> dict[str, str | int]:
    """Of this machine: the program, to its last line, and what identifies a result."""
    program = {"rnnprop": rnnprop_cli.__version__, "code": program_sha256()}
    return program | identity_facts(engine, dtype)


@cache
def program_sha256() -> str:
    """The first characters of a hash over all sources of this program."""
    root = Path(rnnprop_cli.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in _SOURCES:
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def differences(wanted: Facts, here: Facts) -> list[str]:
    """What a node has otherwise than the driver, a clause each: `torch 2.9.0, the driver's 2.13.0`."""
    names = [*wanted, *(each for each in here if each not in wanted)]
    return [
        f"{name} {_shown(here, name)}, the driver's {_shown(wanted, name)}"
        for name in names
        if wanted.get(name) != here.get(name)
    ]


def _shown(facts: Facts, name: str) -> str:
    return str(facts.get(name, "absent"))[:_LONGEST]


def node_name() -> str:
    """What this machine is called."""
    return socket.gethostname()
