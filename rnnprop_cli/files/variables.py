"""Paths from environment variables: `~` is a home there too, which no shell expands for a service or a container."""

import os
from pathlib import Path

from rnnprop_cli.errors import UsageError


def path_variable(name: str) -> Path | None:
    """The path that a variable names; None where it is absent or empty.

    Raises:
        UsageError: it begins with the home of a user that there is not.
    """
    value = os.environ.get(name)
    return expanded(name, Path(value)) if value else None


def expanded(called: str, path: Path) -> Path:
    """A path with `~` or `~user` at its beginning as a folder.

    Args:
        called: the option or variable that it comes from, for the message.
        path: as the user wrote it.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(f"{called} {path}: there is no such user, and so no home of his") from None
