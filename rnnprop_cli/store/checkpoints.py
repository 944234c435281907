"""Checkpoint files: tensors in safetensors, everything else in a JSON file beside them. Nothing is ever unpickled.

The JSON file holds the SHA-256 of the tensor file and one of its own content, and must be spelled exactly as
`save_checkpoint` spells it, so one changed bit in either file is found. Without hashes nearly every flipped bit in a
safetensors file loads as a slightly different number.
"""

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.errors import CheckpointError
from rnnprop_cli.files.reading import parse_json, read_regular
from rnnprop_cli.store.database import sync_folder
from rnnprop_cli.store.trouble import storage_errors

FORMAT: Final = "rnnprop checkpoint 1"
SUFFIX: Final = ".safetensors"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_BYTES: Final = 256 * 2**20  # the meta-params of a learned optimizer are some hundred kilobytes
_REMEDY: Final = "Use an earlier checkpoint, or fetch or make the file again."


class SavedCheckpoint(NamedTuple):
    """Where the tensors went, and the SHA-256 (hex) of that file."""

    path: Path
    sha256: str


def save_checkpoint(
    folder: Path,
    name: str,
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, Any],
    *,
    make_folder: bool = True,
) -> SavedCheckpoint:
    """Write `<name>.safetensors` and `<name>.json` into `folder`.

    Both files are complete on disk under temporary names before either is moved into place, so a full disk leaves what
    was there before. A crash between the two moves leaves a pair that `load_checkpoint` refuses: put the step into the
    name, and it costs this checkpoint only.

    Args:
        folder: where to; name: of the files, letters, digits and `._-`.
        tensors: arrays by name, any numeric dtype and shape.
        metadata: JSON values. Numbers that are not finite become null.
        make_folder: if need be. False where one that was moved away meanwhile must not be made anew in silence.

    Raises:
        CheckpointError: the name could leave the folder.
        StoreError: the files cannot be written; nothing is left of them.
    """
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"'{name}' cannot name a checkpoint: letters, digits, '.', '_' and '-' only.")
    from safetensors.numpy import save

    # order="C": safetensors writes the memory as it lies (np.ascontiguousarray would give a scalar a dimension)
    arrays = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    content = save(arrays)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / (name + SUFFIX)
    side = {
        "format": FORMAT,
        "file": path.name,
        "file_sha256": sha256,
        "tensors": {key: [value.dtype.name, list(value.shape)] for key, value in arrays.items()},
        "metadata": _finite(dict(metadata)),
    }
    with storage_errors(folder):
        if make_folder:
            folder.mkdir(parents=True, exist_ok=True)
        _replace_all({path: content, side_path(path): _spell(side)})
    return SavedCheckpoint(path, sha256)


def load_checkpoint(path: Path, sha256: str | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Tensors and metadata of a checkpoint, verified.

    Args:
        path: the `.safetensors` file; its `.json` lies beside it.
        sha256: what the tensor file must hash to, where that is known from elsewhere (the database).

    Raises:
        CheckpointError: a file is absent, a symlink or damaged; says which one and what to do.
    """
    if path.name.endswith(SUFFIX) and not path.exists():
        raise CheckpointError(f"{path}: there is no such file (seen from {Path.cwd()}).")
    side = _read_side_file(path)
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != side["file_sha256"]:
        raise CheckpointError(f"{path}: is damaged (its SHA-256 is not the one recorded). {_REMEDY}")
    if sha256 is not None and found != sha256:
        raise CheckpointError(f"{path}: is not the checkpoint that the database recorded. {_REMEDY}")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: is not a safetensors file ({error}). {_REMEDY}") from error
    shapes = {key: [value.dtype.name, list(value.shape)] for key, value in tensors.items()}
    if shapes != side["tensors"]:
        raise CheckpointError(f"{path}: holds other tensors than {side_path(path).name} says. {_REMEDY}")
    metadata: dict[str, Any] = side["metadata"]
    return tensors, metadata


def side_path(path: Path) -> Path:
    """The JSON file that belongs to a tensor file."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def inside(folder: Path, relative: str) -> Path:
    """A recorded path as a real one.

    Raises:
        CheckpointError: it leads out of `folder`, by `..`, by being absolute or through a symlink.
    """
    root = folder.resolve()
    path = root / relative
    try:
        resolved = path.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of symlinks, a zero byte
        resolved = None
    if resolved is None or not resolved.is_relative_to(root) or resolved != path:
        raise CheckpointError(
            f"{relative}: leads out of {folder}. Checkpoints are only read from the database's own folder."
        )
    return path


def _read_side_file(path: Path) -> dict[str, Any]:
    side_file = side_path(path)
    if not path.name.endswith(SUFFIX):
        raise CheckpointError(f"{path}: is not a checkpoint; name the {SUFFIX} file.")
    raw = _read(side_file)
    damaged = CheckpointError(f"{side_file}: is damaged. {_REMEDY}")
    try:
        side = parse_json(raw)
        if not isinstance(side, dict) or side.pop("sha256", None) is None:
            raise damaged
        spelled = _spell(side)
    except (ValueError, TypeError, RecursionError):  # of `_spell` too
        raise damaged from None
    # Equal bytes also rule out doubled keys and other spellings of the same content.
    if spelled != raw:
        raise damaged
    if side.get("format") != FORMAT:
        raise CheckpointError(f"{side_file}: is of another version than '{FORMAT}'. Upgrade rnnprop.")
    if side.get("file") != path.name:
        raise CheckpointError(f"{side_file}: belongs to {side.get('file')!r}; keep both files' names.")
    return side


def _read(path: Path) -> bytes:
    """A file's bytes; no symlink is followed at its last component."""
    try:
        return read_regular(path, MAX_BYTES, follow=False)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file. {_REMEDY}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}. {_REMEDY}") from error


def _spell(side: dict[str, Any]) -> bytes:
    """The one way to write a side file: its content, then the hash of that content."""
    canonical = json.dumps(side, sort_keys=True, separators=(",", ":"), allow_nan=False)
    sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    return (json.dumps({**side, "sha256": sha256}, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _replace_all(files: Mapping[Path, bytes]) -> None:
    """Write all files completely, then move each into place; on failure none is left half-written."""
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in files}
    try:
        for path, content in files.items():
            _write(temporary[path], content)
        for path, new in temporary.items():
            new.replace(path)
        sync_folder(next(iter(files)).parent)
    except BaseException:
        for new in temporary.values():
            new.unlink(missing_ok=True)
        raise


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            written = os.write(descriptor, rest)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            rest = rest[written:]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
