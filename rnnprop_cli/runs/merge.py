"""Makes one database of several, with the checkpoints of their meta-trainings: whole, or not at all."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from rnnprop_cli.errors import IntegrityError, StoreError, UsageError, suggested
from rnnprop_cli.records import TRAIN_LOSS, ExperimentInfo, RunInfo
from rnnprop_cli.runs.snapshots import checkpoint_files, checkpoint_folder
from rnnprop_cli.store.checkpoints import inside, load_checkpoint, side_path
from rnnprop_cli.store.database import creating, sync_folder
from rnnprop_cli.store.folders import new_folder
from rnnprop_cli.store.lock import writer_lock
from rnnprop_cli.store.maintenance import check_database
from rnnprop_cli.store.merge import copy_union
from rnnprop_cli.store.migrations import NEWEST_VERSION, migrate
from rnnprop_cli.store.place import prepare_folder
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.several import UnionReader
from rnnprop_cli.store.trouble import storage_errors
from rnnprop_cli.store.union import Copy, Member, Union
from rnnprop_cli.store.writer import Writer

_SHOWN: Final = 10  # conflicts listed in a message


@dataclass(frozen=True)
class Merged:
    """What came of it."""

    experiments: int
    runs: int
    added: int  # runs that the target had not, or not so far


@dataclass
class _Checkpoints:
    """Folders that the new database will have, and where their files come from."""

    folders: dict[int, str | None] = field(default_factory=dict)  # by id of the experiment as shown
    files: dict[str, list[Path]] = field(
        default_factory=dict
    )  # tensor files, by folder; they are to be copied


def merge(sources: Sequence[Path], target: Path) -> Merged:
    """Adds what the sources hold to a database, which is made if need be.

    The same cell with the same result is taken once, the one that got furthest where not all are over. Doing it again
    changes nothing. Until all is there, the target is as it was.

    Raises:
        IntegrityError: the same cell has another result; nothing was written.
        CheckpointError: a checkpoint is absent or damaged.
        StoreError: a database cannot be read, or the target not be written.
    """
    place = prepare_folder(target)
    exists = place.exists()
    paths = list(dict.fromkeys(path.expanduser().resolve() for path in sources))
    paths = [place, *(path for path in paths if path != place)] if exists else paths
    if place in paths and not exists:
        raise UsageError(f"{target}: there is no database.")
    for path in paths:
        check_database(path)
    if exists:
        with Writer.open(place):  # nobody writes there, and all of it is in the file itself afterwards
            pass
    with writer_lock(place), UnionReader.open_several(paths) as reader:
        _refuse_conflicts(reader)
        trainings = _trainings(reader, place if exists else None)
        shown = [run for each in reader.experiments() for run in reader.runs(each.id)]
        kept = 0 if exists else -1
        added = sum(run.id % len(paths) != kept for run in shown)
        new = [each for each in reader.experiments() if each.id % len(paths) != kept]
        if added or new:
            with _copied(trainings, place.parent):
                _write(place, paths, trainings, exists)
        return Merged(len(reader.experiments()), len(shown), added)


def _write(place: Path, paths: Sequence[Path], trainings: _Checkpoints, exists: bool) -> None:
    with creating(place) as connection:
        migrate(connection)
        union = Union(connection, paths, NEWEST_VERSION)
        connection.execute("BEGIN IMMEDIATE")
        copy_union(connection, union, trainings.folders, keep_ids_of_first=exists)
        for (path,) in connection.execute("SELECT path FROM main.checkpoint").fetchall():
            copied = path.rpartition("/")[0] in trainings.files
            if copied and not (place.parent / path).exists():
                raise StoreError(
                    f"{path}: came while checkpoints were copied; the meta-training is running. Merge again."
                )
        connection.execute("COMMIT")
        union.close()


def _refuse_conflicts(reader: UnionReader) -> None:
    paths = reader.union.paths
    found = [
        f"{each.experiment}: {each.optimizer}, seed {each.seed} ({each.key[:12]}): "
        + "; ".join(_told(paths[copy.source], copy) for copy in each.copies)
        for each in reader.union.conflicts()
    ]
    found += list(_differing_curves(reader))
    if not found:
        return
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    remedy = suggested("--db", "DATABASE", "runs", "rm", "ID")
    raise IntegrityError(
        "\n".join(
            [
                "nothing was merged: what has one identity has two results, which should be the same to the bit. "
                f"Remove what is wrong with `{remedy}`, and merge again:",
                *found[:_SHOWN],
                *more,
            ]
        )
    )


def _told(path: Path, copy: Copy) -> str:
    loss = "" if copy.final_loss is None else f" at {copy.final_loss:.9g}"
    return f"{path} run {copy.run_id} {copy.status}{loss}"


def _differing_curves(reader: UnionReader) -> Iterator[str]:
    """Meta-trainings whose losses are not the same as far as two of them go."""
    for members in reader.union.shared().values():
        found = [(each, run) for each in members for run in _train_runs(reader, each)]
        for number, (one, run) in enumerate(found):
            for other, again in found[number + 1 :]:
                if run.facts.key != again.facts.key:
                    continue
                first, second = _losses(reader, one, run), _losses(reader, other, again)
                both = min(len(first), len(second))
                if not np.array_equal(first[:both], second[:both], equal_nan=True):
                    step = int(np.argmax(first[:both] != second[:both])) + 1
                    where = " and ".join(
                        f"{reader.union.paths[each.source]} run {it.id}"
                        for each, it in ((one, run), (other, again))
                    )
                    yield f"meta-training of {run.facts.optimizer}: {where} differ from meta-iteration {step} on"


def _train_runs(reader: UnionReader, member: Member) -> list[RunInfo]:
    with Reader.open(reader.union.paths[member.source]) as own:
        runs = own.runs(member.id)
    return [run for run in runs if run.facts.phase == "train"]


def _losses(
    reader: UnionReader, member: Member, run: RunInfo
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return reader.curve(run.id * reader.union.count + member.source, TRAIN_LOSS)[1]


def _trainings(reader: UnionReader, target: Path | None) -> _Checkpoints:
    """Where the checkpoints of every meta-training are and will be; each recorded one is looked at."""
    found = _Checkpoints()
    for experiment in reader.experiments("train"):
        runs = reader.runs(experiment.id)
        if len(runs) != 1:
            continue  # `db check` says so of its own database
        own_run, source = divmod(runs[0].id, reader.union.count)
        path = reader.union.paths[source]
        with Reader.open(path) as own:
            theirs = own.experiment(own.find_run(own_run).experiment_id)
            recorded = own.checkpoints(own_run)
        if path == target:
            found.folders[experiment.id] = theirs.folder
            continue
        for each in recorded:
            load_checkpoint(inside(path.parent, each.path), each.sha256)
        folder = new_folder(experiment.facts.spec_sha256)
        found.folders[experiment.id] = folder
        files = {inside(path.parent, each.path) for each in recorded} | set(_rolling(path, theirs))
        found.files[folder] = sorted(files)
    return found


def _rolling(path: Path, experiment: ExperimentInfo) -> list[Path]:
    """Checkpoints that a meta-training goes on from, besides those that are recorded."""
    if experiment.folder is None:
        return []
    folder = checkpoint_folder(path, experiment)
    return checkpoint_files(folder) if folder.is_dir() else []


@contextmanager
def _copied(trainings: _Checkpoints, root: Path) -> Iterator[None]:
    """Checkpoints beside the target; gone again if what follows fails."""
    with ExitStack() as undo:
        for name, files in trainings.files.items():
            folder = root / name
            with storage_errors(folder):
                folder.parent.mkdir(exist_ok=True)
                folder.mkdir()
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                for file in files:
                    for part in (side_path(file), file):
                        try:
                            shutil.copyfile(part, folder / part.name)
                        except FileNotFoundError:
                            raise StoreError(
                                f"{part}: went while it was copied; the meta-training is running. Merge again."
                            ) from None
                sync_folder(folder)
        yield
        undo.pop_all()
