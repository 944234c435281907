"""Whether the search for a learning rate chooses by luck: Adam on the ELU network, where three tuning seeds once did.

For each of several root seeds the rate that the search finds is run on fresh seeds beside the rates next to it, once
with the confirming round and once with the grid alone. A search is right where the chosen rate's mean is not above a
neighbour's by more than the 95 % interval of their difference, paired by seed.

    python benchmarks/search.py                     # MNIST, some minutes
    python benchmarks/search.py --dataset digits    # no data needed
"""

import argparse
import json
import tempfile
from math import log2
from pathlib import Path

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.tuning import grid_rate
from rnnprop_cli.records import RunInfo
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.spec.bench import BenchSpec, TuningSpec
from rnnprop_cli.statistics import paired_difference
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.table.run_losses import losses_by_seed


def runs_of(spec: BenchSpec, database: Path, engine: Engine) -> list[RunInfo]:
    """Runs a benchmark, and reads it."""
    run_bench(spec, "", database, engine, lambda event: None)
    with Reader.open(database) as reader:
        return reader.runs(reader.find_experiment(spec.name).id)


def bench(
    root: int, args: argparse.Namespace, name: str, *rates: float, confirm: int | None = None
) -> BenchSpec:
    """Adam on the network, searched or at given rates."""
    optimizers = tuple(AdamSpec(lr=rate, label=f"{rate:g}") for rate in rates) or (AdamSpec(),)
    return BenchSpec(
        name=name,
        seed=root,
        seeds=args.seeds,
        horizon=(args.steps,),
        calibrated=False,
        untuned=False,
        optimizees=(MLPSpec(dataset=args.dataset, activation="elu"),),
        optimizers=optimizers,
        tuning=TuningSpec(confirm_seeds=confirm),
    )


def judge(
    root: int, confirm: int | None, args: argparse.Namespace, database: Path, engine: Engine
) -> dict[str, object]:
    """One search, and what fresh seeds say of its choice."""
    label = f"{root}-{'confirmed' if confirm else 'grid'}"
    runs = runs_of(bench(root, args, f"search-{label}", confirm=confirm), database, engine)
    (rate,) = {run.facts.lr for run in runs if run.facts.phase == "final"}
    k = round(-2 * log2(rate or 1.0))
    near = runs_of(
        bench(root, args, f"near-{label}", grid_rate(k), grid_rate(k - 1), grid_rate(k + 1)), database, engine
    )
    losses = {
        rate: losses_by_seed([run for run in near if run.facts.lr == rate])
        for rate in map(grid_rate, (k, k - 1, k + 1))
    }
    if undone := [run.result for run in (*runs, *near) if run.result.status != "done"]:
        raise SystemExit(
            f"root {root}: {len(undone)} runs gave no loss ({undone[0].status}: {undone[0].error})"
        )
    chosen, *neighbours = losses.values()
    excess = [paired_difference(chosen, other).percent for other in neighbours]
    return {
        "root": root,
        "search": "grid and confirmation" if confirm else "grid alone",
        "runs": sum(run.facts.phase == "tuning" for run in runs),
        "rate": rate,
        "final_loss": sum(chosen.values()) / len(chosen),
        "percent_over_neighbours": [None if e.centre is None else round(e.centre, 2) for e in excess],
        "right": all(e.low is not None and e.low <= 0 for e in excess),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="mnist", choices=["mnist", "digits"])
    parser.add_argument("--roots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=50, help="fresh ones, of every rate")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = Engine("cpu", args.threads, None, "auto")
    with tempfile.TemporaryDirectory() as folder:
        found = [
            judge(root, confirm, args, Path(folder) / "a.db", engine)
            for root in range(args.roots)
            for confirm in (10, None)
        ]
    if args.json:
        print(json.dumps(found))
        return
    for one in found:
        print(
            f"root {one['root']}  {one['search']:<22} {one['runs']:>4} runs  rate {one['rate']:.4f}  "
            f"loss {one['final_loss']:.4f}  over its neighbours {one['percent_over_neighbours']} %  "
            f"{'right' if one['right'] else 'WRONG'}"
        )
    for search in ("grid and confirmation", "grid alone"):
        of_it = [one for one in found if one["search"] == search]
        print(f"{search}: {sum(bool(one['right']) for one in of_it)} of {len(of_it)} right")


if __name__ == "__main__":
    main()
