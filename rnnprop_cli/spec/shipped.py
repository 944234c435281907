"""The specs that come with the package: `bench_specs/` of the repository, which a wheel carries inside the package."""

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import SpecError, suggested

FOLDER: Final = "bench_specs"
SUFFIX: Final = ".toml"


def shipped_folder() -> Path:
    """Where they lie: in the package of a wheel, beside the package in a checkout."""
    package = Path(str(files("rnnprop_cli")))
    inside = package / FOLDER
    return inside if inside.is_dir() else package.parent / FOLDER


def shipped_specs() -> dict[str, Path]:
    """Every shipped spec by its name, which is that of its file without the suffix."""
    return {path.stem: path for path in sorted(shipped_folder().glob(f"*{SUFFIX}"))}


def find_spec(named: Path) -> Path:
    """The spec that a user names: a file, else a shipped spec.

    Args:
        named: a path; or the name of a shipped spec, with or without `.toml` and with or without `bench_specs/`.

    Raises:
        SpecError: neither is there; says what is close.
    """
    try:
        if named.exists() and not named.is_dir():
            return named
    except OSError:  # a name too long, a folder that may not be looked into
        return named
    may_be_shipped = named.parent in (Path(), Path(FOLDER))
    if may_be_shipped and (found := shipped_specs().get(named.name.removesuffix(SUFFIX))) is not None:
        return found
    if not may_be_shipped or named.is_symlink() or named.is_dir():
        return named  # the reading says what is wrong with it
    raise SpecError([f"{named}: no such file, and {_not_shipped(named.name)}"])


def find_shipped(name: str) -> Path:
    """The file of a shipped spec, by its name with or without `.toml`.

    Raises:
        SpecError: there is none of that name; says what is close.
    """
    found = shipped_specs().get(name.removesuffix(SUFFIX))
    if found is None:
        raise SpecError([f"{name}: {_not_shipped(name)}"])
    return found


def _not_shipped(name: str) -> str:
    close = difflib.get_close_matches(name.removesuffix(SUFFIX), shipped_specs(), n=3)
    meant = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"no spec of that name comes with rnnprop{meant} `{suggested('spec', 'list')}` shows those that do"
