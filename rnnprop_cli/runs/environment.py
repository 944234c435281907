"""The facts of this machine and this program that go into a run's identity and its record."""

import json
import platform
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, cast

from rnnprop_cli import __version__
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.execute.device import DTYPES, Engine, gpu_name
from rnnprop_cli.fields import Spec
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.records import ExperimentFacts, Kind

# Raised whenever a change of the code moves any number, so that old results are never mixed with new ones.
NUMERICS_VERSION: Final = 3
# Likewise of what is computed on GPUs, so that results of CPUs stay what they are.
CUDA_NUMERICS_VERSION: Final = 2
_PACKAGES: Final = ("torch", "numpy", "rnnprop")


def settle_kernel(engine: Engine, dtype: str) -> tuple[Engine, str]:
    """The engine with the body that "auto" finds here by its name, so that no worker finds another one; and one line
    that says which it is and why.

    Raises:
        DeviceError: a body was asked for by name and cannot be had.
    """
    kernel, reason = select_kernel(engine.kernel, engine.torch_device, DTYPES[dtype])
    return replace(engine, kernel=cast(KernelName, kernel.name)), reason


def identity_facts(engine: Engine, dtype: str) -> dict[str, str | int]:
    """What the bits of a result depend on besides the spec and the data.

    Of the compiled kernel that is the instruction set, which PyTorch's own loops depend on as well, and the version of
    its sources, which `NUMERICS_VERSION` counts; not whether it came from a wheel, a cache or a compiler. On a GPU it
    is its model, not its number, and not the threads of the CPU beside it.
    """
    device = engine.torch_device
    kernel = settle_kernel(engine, dtype)[0].kernel  # bodies differ in the last bits
    facts: dict[str, str | int] = {"device": device.type}
    if device.type == "cuda":
        facts |= {"gpu": gpu_name(device), "tf32": engine.tf32, "cuda_numerics": CUDA_NUMERICS_VERSION}
        if kernel == "cuda":
            facts["triton"] = version("triton")
    else:
        facts |= {"threads": engine.threads, "instructions": host_instructions()}
    return facts | {
        "dtype": dtype,
        "kernel": kernel,
        "torch": version("torch"),
        "numerics": NUMERICS_VERSION,
    }


def experiment_facts(
    kind: Kind, name: str, spec: Spec, spec_toml: str, environment: dict[str, str | int]
) -> ExperimentFacts:
    """The record of an experiment. Its hash covers the resolved spec and the environment: another thread count or
    another version of torch gives other bits, and so another experiment. Where a file lies that the spec names does
    not count."""
    resolved = {"spec": spec.model_dump(mode="json"), "environment": environment}
    identity = {"spec": spec.model_dump(mode="json", context=IDENTITY), "environment": environment}
    return ExperimentFacts(
        kind=kind,
        name=name,
        spec_toml=spec_toml,
        spec_json=canonical_json(resolved),
        spec_sha256=content_hash(identity),
        git_sha=_git_sha(),
        versions=json.dumps(_versions()),
        argv=json.dumps(sys.argv[1:]),
        host=f"{socket.gethostname()} {platform.system()} {platform.machine()}",
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "rnnprop": __version__}
    for package in _PACKAGES:
        try:
            found.setdefault(package, version(package))
        except PackageNotFoundError:
            continue
    return found


def _git_sha() -> str | None:
    """The commit that this code was run from, with a + if files were changed since; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        sha = _git(folder, "rev-parse", "HEAD")
        return sha + ("+" if _git(folder, "status", "--porcelain", "--", str(folder)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # Without locks: who is killed amid a refresh of the index would leave one that stops every later git command.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
