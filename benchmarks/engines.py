"""What an engine costs a cell: many small cells through each, the driver's time and memory, and the same table.

    python benchmarks/engines.py                       # local and those that are installed here
    python benchmarks/engines.py --cells 1000 --engines local slurm

The driver's own processor time says most: the rest of the wall time is what starting and sharing the cores costs, on
whatever machine it is. `growth` is the driver's memory at the end less that after a quarter of the cells.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.execute.available import missing
from rnnprop_cli.execute.device import find_engine
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.runs.observer import BatchFinished, BatchStep, Event
from rnnprop_cli.spec.engine import chosen_engine
from rnnprop_cli.spec.load import resolve_bench_text
from rnnprop_cli.store.reader import Reader

ENGINES: Final = ("local", "ray", "slurm")
SEEDS: Final = 10  # cells of a batch
HORIZONS: Final = 10
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def spec(cells: int) -> str:
    """Batches of ten cells of about a millisecond."""
    rates = max(1, cells // (SEEDS * HORIZONS))
    return f"""\
name = "engines"
seeds = {SEEDS}
horizon = {list(range(20, 20 + HORIZONS))}
minibatch = 4
calibrated = false
untuned = false
optimizees = [{{ kind = "quadratic", dimension = 10 }}]
optimizers = [{{ kind = "sgd", lr = {[0.001 * (k + 1) for k in range(rates)]} }}]
"""


class Watch:
    """The driver's memory as the cells come in."""

    def __init__(self, cells: int) -> None:
        self.cells, self.done = cells, 0
        self.first_s: float | None = None  # when the first batch was told of
        self.started = time.monotonic()
        self.megabytes: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchStep | BatchFinished) and self.first_s is None:
            self.first_s = time.monotonic() - self.started
        if isinstance(event, BatchFinished):
            self.done += len(event.batch)
            quarter = 4 * self.done // self.cells
            if quarter not in self.megabytes:
                resident = int(Path("/proc/self/statm").read_text().split()[1])
                self.megabytes[quarter] = resident * PAGE / 2**20


def one(kind: str, cells: int, slots: int, database: Path) -> dict[str, Any]:
    """Runs the benchmark by one engine, in this process."""
    resolved = resolve_bench_text(spec(cells), "engines.toml")
    by = chosen_engine(resolved.spec.engine, kind, None, None, slots)
    engine = find_engine("cpu", None, "reference", threads=1)
    watch = Watch(cells)
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcome = run_bench(resolved.spec, resolved.toml, database, engine, watch, by=by)
    wall_s = time.monotonic() - watch.started
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert outcome.failed == 0, "a cell failed"
    with Reader.open(database) as reader:
        computed_s = sum(run.result.elapsed_s or 0 for run in reader.runs(outcome.experiment_id))
    driver_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cells": outcome.ran,
        "wall_s": wall_s,
        "until_first_batch_s": watch.first_s,
        "computed_s": computed_s,
        "driver_ms_per_cell": 1e3 * driver_s / outcome.ran,
        "wall_ms_per_cell": 1e3 * (wall_s - (watch.first_s or 0)) / outcome.ran,
        "megabytes": watch.megabytes,
        "growth_mb": watch.megabytes[4] - watch.megabytes[1],
    }


def table(database: Path) -> dict[str, tuple[str, str, bytes]]:
    """Every result and curve, to the bit."""
    with Reader.open(database) as reader:
        (experiment,) = reader.experiments("bench")
        runs = reader.runs(experiment.id)
        curves = reader.curves([run.id for run in runs], "loss")
    return {
        run.facts.key: (
            run.result.status,
            repr(run.result.final_loss),
            curves[run.id][0].tobytes() + curves[run.id][1].tobytes(),
        )
        for run in runs
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--database", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.database is not None:
        print(json.dumps(one(args.engines[0], args.cells, args.slots, args.database)))
        return
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.engines:
            if (why := missing(kind)) is not None:
                print(f"{kind}: left out, {why}", file=sys.stderr)
                continue
            command = [sys.executable, __file__, "--engines", kind, "--cells", str(args.cells)]
            command += ["--slots", str(args.slots), "--database", f"{folder}/{kind}.db"]
            load = os.getloadavg()[0]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows[kind] = json.loads(done.stdout.splitlines()[-1]) | {"load_before": load}
        tables = {kind: table(Path(folder) / f"{kind}.db") for kind in rows}
    first = next(iter(tables))
    for kind, row in rows.items():
        row[f"same_table_as_{first}"] = tables[kind] == tables[first]
    if args.json:
        print(json.dumps(rows))
        return
    print("engine     cells  start s   wall s  ms/cell  driver ms/cell  growth MB  same")
    for kind, row in rows.items():
        print(
            f"{kind:<8}{row['cells']:>8,}{row['until_first_batch_s']:>9.1f}{row['wall_s']:>9.1f}"
            f"{row['wall_ms_per_cell']:>9.2f}{row['driver_ms_per_cell']:>16.2f}{row['growth_mb']:>11.1f}"
            f"  {row[f'same_table_as_{first}']} (load {row['load_before']:.1f})"
        )


if __name__ == "__main__":
    main()
