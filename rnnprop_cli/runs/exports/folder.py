"""A folder that is there as a whole or not at all, and the names of what is in it."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.records import RunInfo
from rnnprop_cli.store.trouble import storage_errors
from rnnprop_cli.view.formats.curve_export import RunCurve

_ODD: Final = re.compile(r"[^A-Za-z0-9._=+-]+")


def require(library: str, what: str) -> None:
    """Raises UsageError where a library is not installed; every extra is called as its library is."""
    if find_spec(library) is None:
        raise UsageError(f"{what} needs {library}, which is not installed: pip install 'rnnprop[{what}]'")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `target` if nothing fails.

    Raises:
        StoreError: something is there already, or it cannot be written.
    """
    with storage_errors(target):
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise StoreError(f"{target}: exists already. Name a folder that does not, or an empty one.")
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        filling = Path(tempfile.mkdtemp(dir=target.absolute().parent, prefix=f".{target.name[:100]}."))
        try:
            yield filling
            filling.chmod(0o755)
            if target.exists():
                target.rmdir()
            filling.rename(target)
        except BaseException:
            shutil.rmtree(filling, ignore_errors=True)
            raise


def by_run(curves: Sequence[RunCurve]) -> Iterator[tuple[RunInfo, str, list[RunCurve]]]:
    """Curves of one run after the other: the run, its experiment's name, its curves."""
    for run, group in groupby(curves, lambda curve: curve.run):
        members = list(group)
        yield run, members[0].experiment, members


def problem_name(run: RunInfo) -> str:
    """e.g. "mnist_mlp_sigmoid_d1_x100"."""
    facts = run.facts
    depth = "" if facts.depth is None else f"d{facts.depth}"
    return file_name(" ".join(filter(None, (facts.dataset, facts.network, depth, f"x{facts.horizon}"))))


def run_name(run: RunInfo) -> str:
    """e.g. "adam_lr=0.03125_seed=4_run=12": no two runs of a database have the same."""
    facts = run.facts
    rate = "" if facts.lr is None else f" lr={facts.lr:g}"
    return file_name(f"{facts.optimizer}{rate} seed={facts.seed} run={run.id}")


def file_name(text: str) -> str:
    """A name that is nothing but a name, whatever a database holds."""
    return _ODD.sub("_", text).strip(".") or "_"
