"""Whether a database, its curves and its checkpoints are whole, and which command mends what is not."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import CheckpointError, RnnpropError, suggested
from rnnprop_cli.files.writing import CHECKPOINTS
from rnnprop_cli.records import LOSS, LOSS_MAX, LOSS_MIN, ExperimentInfo, RunInfo
from rnnprop_cli.runs.progress import Progress, disagreement, remedies
from rnnprop_cli.runs.snapshots import checkpoint_folder
from rnnprop_cli.runs.train import recipe_of
from rnnprop_cli.store.checkpoints import inside, load_checkpoint
from rnnprop_cli.store.database import open_reader
from rnnprop_cli.store.maintenance import CheckReport, check_database
from rnnprop_cli.store.migrations import NEWEST_VERSION, OLDEST_READ
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.trouble import storage_errors

_SHOWN: Final = 20  # problems of one sort


@dataclass(frozen=True)
class Soundness:
    """What there is, and what is not as it should be."""

    counts: CheckReport
    problems: tuple[str, ...]  # each with what mends it
    remarks: tuple[str, ...]  # nothing is wrong with that


def check_all(path: Path) -> Soundness:
    """Reads everything once: rows, curves, checkpoint files.

    Raises:
        StoreError: the database itself is damaged.
    """
    counts = check_database(path)
    if counts.version < OLDEST_READ:
        text = f"schema {counts.version}: curves and checkpoints are checked after `rnnprop db migrate`"
        return Soundness(counts, (), (text,))
    with Reader.open(path) as reader:
        trainings = [(each, reader.runs(each.id)) for each in reader.experiments("train")]
        problems = [text for each, runs in trainings for text in _of_training(reader, path, each, runs)]
        known = {each.folder for each, _ in trainings}
    problems += _of_benchmarks(path)
    return Soundness(counts, tuple(problems), tuple(_foreign_folders(path, known)))


def _of_training(
    reader: Reader, path: Path, experiment: ExperimentInfo, runs: list[RunInfo]
) -> Iterator[str]:
    name = experiment.facts.name
    if len(runs) != 1:
        yield f"'{name}' (id {experiment.id}) has {len(runs)} runs instead of one: put a backup in the database's place"
        return
    progress = Progress.of(reader, runs[0].id)
    try:
        folder = checkpoint_folder(path, experiment)
        problem = disagreement(folder, recipe_of(experiment), progress)
    except RnnpropError as error:
        yield str(error)
        return
    # An older one of the same name is found by its id.
    called = name if reader.find_experiment(name, "train").id == experiment.id else str(experiment.id)
    if problem is not None:
        yield f"'{called}': {problem}. {remedies(called, folder, progress)}"
    bad = []
    for each in progress.checkpoints:
        try:
            load_checkpoint(inside(path.expanduser().resolve().parent, each.path), each.sha256)
        except CheckpointError as error:
            bad.append(str(error))
    yield from bad[:_SHOWN]
    if bad:
        count = f"{len(bad)} of {len(progress.checkpoints)} checkpoints are not whole"
        yield f"'{called}': {count}. {remedies(called, folder, progress)}"


def _of_benchmarks(path: Path) -> Iterator[str]:
    """Curves of finished cells that do not go from step 0 to the horizon without a hole."""
    opened = open_reader(path, NEWEST_VERSION)
    with closing(opened.connection), storage_errors(path):
        rows = opened.connection.execute(_BROKEN_CURVES, (LOSS, LOSS_MIN, LOSS_MAX)).fetchmany(_SHOWN)
        opened.check_current()
    for run_id, name, metric, values, wanted in rows:
        yield (
            f"run {run_id} of '{name}': the curve '{metric}' has {values} of {wanted} values or a hole. To run this "
            f"cell again: {suggested('runs', 'rm', run_id)}, then the same bench command"
        )


# A curve of values at 0, stride, 2 stride, ... is whole if each chunk begins where the one before it ended, the first
# at 0, and all together reach the horizon.
_BROKEN_CURVES: Final = """
SELECT run_id, name, metric, sum(n) AS total, (horizon + max(stride) - 1) / max(stride) AS wanted FROM (
    SELECT run.id AS run_id, experiment.name AS name, metric.name AS metric, run.horizon AS horizon, n, stride,
        step0 - coalesce(
            lag(step0 + n * stride) OVER (PARTITION BY run.id, metric.id ORDER BY step0), 0
        ) AS gap
    FROM chunk JOIN run ON run.id = chunk.run_id JOIN metric ON metric.id = chunk.metric_id
        JOIN experiment ON experiment.id = run.experiment_id
    WHERE experiment.kind = 'bench' AND run.status IN ('done', 'diverged') AND metric.name IN (?, ?, ?)
) GROUP BY run_id, metric HAVING max(abs(gap)) > 0 OR total != wanted OR min(stride) != max(stride)
"""


def _foreign_folders(path: Path, known: set[str | None]) -> Iterator[str]:
    place = path.expanduser().resolve().parent / CHECKPOINTS
    try:
        found = sorted(each.name for each in place.iterdir() if each.is_dir())
    except OSError:
        return
    foreign = [name for name in found if f"{CHECKPOINTS}/{name}" not in known]
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        yield (
            f"{len(foreign)} folders in {place} are no meta-training's of this database: another's, or of removed runs "
            f"({shown}). They may be deleted if no other database lies here."
        )
