"""Curves as offline runs of Weights & Biases. `wandb sync DIR/wandb/offline-run-*` uploads them; nothing here does."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.runs.exports.folder import by_run, problem_name, require, run_name, whole_folder
from rnnprop_cli.view.formats.curve_export import RunCurve, facts_of

# Nothing but what is exported: no code, commit, packages, console or statistics of this machine; no prompt, no network.
_ENVIRONMENT: Final = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
_SETTINGS: Final[dict[str, Any]] = {
    "mode": "offline",
    "silent": True,
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "disable_job_creation": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}


def write_wandb(curves: Sequence[RunCurve], target: Path) -> int:
    """Fill a new folder; returns how many runs it holds.

    Raises:
        UsageError: wandb is not installed.
        StoreError: the folder is there already, or cannot be written.
    """
    require("wandb", "wandb")
    count = 0
    with whole_folder(target) as folder, _offline():
        import wandb

        for run, experiment, members in by_run(curves):
            count += 1
            facts = facts_of(members[0])
            with wandb.init(
                project="rnnprop",
                group=f"{experiment} {problem_name(run)}",
                name=run_name(run),
                tags=[facts["phase"], facts["status"]],
                config={name: value for name, value in facts.items() if name not in ("run", "metric")},
                dir=str(folder),
                settings=wandb.Settings(**_SETTINGS),
                reinit="create_new",
            ) as record:
                for step, values in _rows(members):
                    record.log(values, step=step)
                if run.result.final_loss is not None:
                    record.summary["final_loss"] = run.result.final_loss
        wandb.teardown()
        _forget_logs(folder / "wandb")
    return count


def _forget_logs(folder: Path) -> None:
    """What wandb says of itself, which names folders of this machine, and a link to where all of it was made."""
    for path in [*folder.glob("debug*.log"), *folder.glob("latest-run")]:
        path.unlink()
    for path in folder.glob("offline-run-*/*"):
        if path.is_dir() and path.name in ("logs", "tmp"):
            shutil.rmtree(path)


def _rows(curves: Sequence[RunCurve]) -> Iterator[tuple[int, dict[str, float]]]:
    """All metrics of a step together, as wandb keeps them."""
    rows: dict[int, dict[str, float]] = {}
    for curve in curves:
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            rows.setdefault(step, {})[curve.metric] = value
    yield from sorted(rows.items())


@contextmanager
def _offline() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
