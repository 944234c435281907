"""Finds the one setting of `rnnprop_cli/spec/calibrated.py` for each rule of `bench_specs/calibrate.toml`.

    rnnprop --db calibrate.db bench --spec bench_specs/calibrate.toml
    python docs/calibrate.py calibrate.db

Regret of a setting on a task and horizon: ln(its mean final loss / the lowest one of its rule there), at most 1, so
that tasks which are learned by heart, with losses near zero, do not decide alone.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.summary import summarize

SHOWN = 5
MOST = 1.0  # regret on one problem


def regrets(losses: Mapping[Problem, Mapping[str, float]]) -> dict[str, list[float]]:
    """Setting → regret on every problem."""
    found: dict[str, list[float]] = defaultdict(list)
    for by_setting in losses.values():
        best = min(by_setting.values())
        for setting, loss in by_setting.items():
            found[setting].append(min(MOST, math.log(loss / best)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("--bench", default="calibrate")
    args = parser.parse_args()
    with Reader.open(args.database) as reader:
        experiment = reader.find_experiment(args.bench, kind="bench")
        rows = summarize(experiment, reader.runs(experiment.id)).rows
    rules: dict[str, dict[Problem, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if "=" in row.optimizer:  # not the calibrated settings of an earlier time
            lost = row.counts.diverged or row.final.mean.centre is None
            loss = math.inf if lost else float(row.final.mean.centre or math.inf)
            rules[row.optimizer.split()[0]][row.problem][row.optimizer] = loss
    for rule, losses in rules.items():
        found = regrets(losses)
        print(f"{rule}: {len(losses)} problems, {len(found)} settings; mean and largest regret")
        for setting, values in sorted(found.items(), key=lambda pair: sum(pair[1]))[:SHOWN]:
            print(f"  {setting:<60} {sum(values) / len(values):.3f}  {max(values):.3f}")


if __name__ == "__main__":
    main()
