"""`rnnprop bench`: run a benchmark matrix."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli.console import EXIT_FAILED, settings, stderr, stdout, this_command
from rnnprop_cli.cli.options import (
    AUTO_DEVICE,
    AllowCodeOption,
    BenchSpecOption,
    DataDirOption,
    DeviceOption,
    EngineKind,
    JsonOption,
    KernelOption,
    Tf32Option,
    ThreadsOption,
)
from rnnprop_cli.errors import suggested
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from pathlib import Path

    from rnnprop_cli.cli.progress import ProgressDisplay
    from rnnprop_cli.execute.device import Engine
    from rnnprop_cli.plan.cells import CellBatch
    from rnnprop_cli.runs.observer import Event
    from rnnprop_cli.spec.bench import BenchSpec


def bench(
    ctx: typer.Context,
    spec: BenchSpecOption,
    only: Annotated[
        str | None,
        typer.Option("--only", help="Glob over 'PROBLEM/OPTIMIZER' as --dry-run lists them, e.g. '*/adam'."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Another root of randomness than the spec's: another sample, which the report shows beside the first.",
        ),
    ] = None,
    device: DeviceOption = AUTO_DEVICE,
    kernel: KernelOption = "auto",
    threads: ThreadsOption = None,
    tf32: Tf32Option = False,
    allow_code: AllowCodeOption = False,
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots",
            min=1,
            max=1024,
            envvar="RNNPROP_SLOTS",
            help="Batches that run side by side, each in a process with --threads threads (default: the cores shared).",
        ),
    ] = None,
    engine: Annotated[
        EngineKind | None,
        typer.Option(
            "--engine",
            envvar="RNNPROP_ENGINE",
            help="Who carries batches out: processes here, a Ray cluster, or SLURM (default: the spec's, else local).",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="auto|HOST:PORT|ray://HOST:PORT",
            help="Of a Ray cluster that is there (default: one is started here).",
        ),
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            "--slurm",
            metavar="NAME=VALUE,...",
            help="Options of sbatch for the workers, e.g. partition=gpu,gres=gpu:1,time=60.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            "--memory-mb", min=1, help="Most memory of a batch of cells (default: the spec's memory_mb)."
        ),
    ] = None,
    max_cells: Annotated[
        int, typer.Option("--max-cells", min=1, help="Refuse a benchmark of more cells than this.")
    ] = 100_000,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew even if results are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tune and race optimizers over a matrix; running the command again does only what is missing."""
    from rnnprop_cli.spec.load import resolve_bench
    from rnnprop_cli.spec.shipped import find_spec

    resolved = resolve_bench(find_spec(spec))
    asked, text = resolved.spec, resolved.toml
    if seed is not None:
        asked = asked.model_copy(update={"seed": seed})
    if memory_mb is not None:
        asked = asked.model_copy(update={"memory_mb": memory_mb})
    from rnnprop_cli.execute.available import require
    from rnnprop_cli.plan.count import count_cells
    from rnnprop_cli.spec.engine import chosen_engine
    from rnnprop_cli.store.preflight import check_writable

    shared = settings(ctx)
    by = chosen_engine(asked.engine, None if engine is None else engine.value, address, slurm, slots)
    require(by.kind)
    count_cells(asked, only, max_cells)
    if not dry_run:
        check_writable(shared.db)  # before torch, which takes seconds to load
    from rnnprop_cli.execute.device import find_engine
    from rnnprop_cli.execute.engines import slots_of, threads_of

    threads = threads_of(by, threads)
    if by.kind != "local" and data_dir is not None:
        data_dir = data_dir.absolute()
    place = find_engine(device, data_dir, kernel, threads, slots_of(by), tf32=tf32, allow_code=allow_code)
    if dry_run:
        _show_plan(asked, place, by.kind, only, as_json, None if fresh else shared.db)
        return
    from rnnprop_cli.cli.progress import progress_display
    from rnnprop_cli.runs.bench import run_bench

    with progress_display(stderr(), shared.quiet) as display:
        outcome = run_bench(
            asked,
            text,
            shared.db,
            place,
            _Watcher(display),
            only=only,
            fresh=fresh,
            retry_failed=retry_failed,
            by=by,
            max_cells=max_cells,
        )
    if as_json:
        stdout().print_json(json.dumps({"bench": asked.name, **vars(outcome)}))
    elif not shared.quiet:
        text = f"{asked.name}: {outcome.cells} cells, {outcome.ran} run now"
        text += f", {outcome.diverged} diverged" if outcome.diverged else ""
        text += f", {outcome.failed} failed" if outcome.failed else ""
        stderr().print(text)
        if outcome.stopped_by is not None:
            stderr().print(safe_text(f"stopped; the same command goes on: {this_command()}"), soft_wrap=True)
        else:
            report = suggested(*shared.place, "report", asked.name)
            stderr().print(safe_text(f"see it with: {report}"), soft_wrap=True)
    if outcome.stopped_by is not None:
        raise typer.Exit(outcome.stopped_by)
    if outcome.failed:
        raise typer.Exit(EXIT_FAILED)


def _show_plan(
    spec: "BenchSpec", engine: "Engine", by: str, only: str | None, as_json: bool, database: "Path | None"
) -> None:
    from rnnprop_cli.cli.progress import duration
    from rnnprop_cli.errors import RnnpropError
    from rnnprop_cli.plan.lanes import lanes
    from rnnprop_cli.runs.already import kept_lanes
    from rnnprop_cli.runs.estimate import estimate_bench

    kept = {}
    if database is not None:
        try:
            kept = kept_lanes(spec, lanes(spec, only), engine, database)
        except RnnpropError as error:  # a plan needs neither datasets nor weights
            why = (str(error).splitlines() or [type(error).__name__])[0]
            stderr().print(safe_text(f"what is there already was not looked for: {why}"), soft_wrap=True)
    rows = estimate_bench(spec, engine, only, kept)
    if as_json:
        stdout().print_json(
            json.dumps({"bench": spec.name, "engine": by, "lanes": [vars(row) for row in rows]})
        )
        return
    machine = f"{engine.device} with {engine.threads} threads"
    machine += "" if by == "local" else f" of this machine ({by} will run it)"
    width = max(len(row.lane) for row in rows)
    n_kept = sum(row.kept for row in rows)
    there = f"{n_kept:,} of them are there already, the rest takes " if n_kept else ""
    if n_kept and not any(row.batches for row in rows):
        stdout().print(f"nothing is left to run: all {n_kept:,} cells are there already", soft_wrap=True)
        return
    stdout().print(
        f"{'problem/optimizer':<{width}}  cells{'  there' if n_kept else ''}  batches      time    memory",
        soft_wrap=True,
    )
    for row in rows:
        cells = f"{row.cells:>5}  {row.kept:>5}" if n_kept else f"{row.cells:>5}"
        stdout().print(
            f"{safe_text(row.lane):<{width}}  {cells}  {row.batches:>7}  {duration(row.seconds):>8}"
            f"  {row.peak_mb:>5.0f} MB",
            soft_wrap=True,
        )
    stdout().print(
        f"{sum(row.cells for row in rows):,} cells in {sum(row.batches for row in rows)} batches;"
        f" {there}roughly {duration(sum(row.seconds for row in rows))} on {machine},"
        f" at most {max(row.peak_mb for row in rows):,.0f} MB a batch."
        " A search adds cells where its best rate lies at an edge, or ties with more than two others.",
        soft_wrap=True,
    )


class _Watcher:
    """Shows the events of a benchmark."""

    def __init__(self, display: "ProgressDisplay") -> None:
        self.display = display
        self.done = 0.0
        self.shares: dict[CellBatch, float] = {}  # cells' worth of work done, of every batch under way

    def __call__(self, event: "Event") -> None:
        from rnnprop_cli.runs import observer

        match event:
            case observer.Notice():
                self.display.line(event.text)
            case observer.BenchPlanned():
                self.display.begin(event.name, event.cells, 0)
                if event.done:
                    self.display.line(f"{event.done:,} cells are in the store already")
            case observer.CellsAdded():
                self.display.grow(event.cells)
            case observer.BatchStep():
                batch = event.batch
                self.shares[batch] = len(batch) * event.steps_done / batch.problem.horizon
                status = f"{batch.phase} {batch.optimizer.name} x{batch.problem.horizon}"
                self.display.update(self.done + sum(self.shares.values()), status)
            case observer.BatchFinished():
                self.done += len(event.batch)
                self.shares.pop(event.batch, None)
                status = f"{event.batch.phase} {event.batch.optimizer.name}"
                self.display.update(self.done + sum(self.shares.values()), status)
            case _:
                pass
