"""Files that `e` writes: the table and the curves as CSV, the screen as SVG."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rnnprop_cli.errors import RunError, StoreError
from rnnprop_cli.files.writing import write_whole
from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.formats.records import csv_line, rows_csv
from rnnprop_cli.view.table.seed_groups import SeedGroup


def table_csv(groups: Iterable[SeedGroup]) -> str:
    """The rows of the Runs table with all their columns, as `rnnprop report --format csv` has them."""
    return rows_csv([group.row for group in groups])


def lines_csv(groups: Iterable[SeedGroup], lines: Mapping[int, Curve | Band]) -> str:
    """The lines of the plot as they are drawn: middle, and band where there is one."""
    rows = [csv_line(("optimizer", "phase", "learning_rate", "problem", "step", "loss", "low", "high"))]
    for group in groups:
        line = lines.get(group.id)
        if line is None:
            continue
        facts = group.facts
        start = csv_line((facts.optimizer, facts.phase, facts.lr, group.problem.short_title))
        if isinstance(line, Band):
            columns = zip(line.steps, line.middle, line.low, line.high, strict=True)
            rows += [f"{start},{step:.0f},{y:.7g},{low:.7g},{high:.7g}" for step, y, low, high in columns]
        else:
            rows += [f"{start},{step:.0f},{y:.7g},," for step, y in zip(line.steps, line.values, strict=True)]
    return "\n".join(rows) + "\n"


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """Every metric of a meta-training."""
    rows = [csv_line(("metric", "meta_iteration", "value"))]
    for metric, curve in curves.items():
        start = csv_line((metric,))
        rows += [
            f"{start},{step:.0f},{value:.7g}" for step, value in zip(curve.steps, curve.values, strict=True)
        ]
    return "\n".join(rows) + "\n"


def write_new(folder: Path, name: str, suffix: str, text: str) -> Path:
    """Write under a name that is free; never over another file.

    Raises:
        RunError: the folder cannot be written.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "rnnprop"
    for number in range(1, 1000):
        path = folder / (f"{stem}.{suffix}" if number == 1 else f"{stem}-{number}.{suffix}")
        if not path.exists() and not path.is_symlink():
            try:
                write_whole(path, text)
            except StoreError as error:
                raise RunError(str(error)) from error
            return path
    raise RunError(f"{folder}: there are too many files called {stem}")
