"""The facts of this machine and this program that go into the record of an experiment."""

import json
import platform
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from rnnprop_cli import __version__
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.fields import Spec
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.records import ExperimentFacts, Kind

_PACKAGES: Final = ("torch", "numpy", "rnnprop")


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
