"""Makes the paper's tables and figures and writes them into the documents. What is stored already is not run again.

    python docs/reproduce.py                    # all of it: says how long it will take, then runs it
    python docs/reproduce.py --only table2      # one of them
    python docs/reproduce.py --dry-run

`make reproduce` and `make reproduce ONLY=table2` do the same.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = ("docs/reproduction.md", "README.md")
# what the paper calls it → spec, and a glob over "PROBLEM/OPTIMIZER" as `rnnprop bench --dry-run` lists them
TRAININGS: Final = [ROOT / "results/meta_trainings" / name for name in ("w.db", "variants.db")]
PARTS: Final = {
    "table2": ("paper", "mnist mlp * d1 x100/*"),  # and Figure 4
    "table3": ("paper", "lstm *"),  # and Figure 8
    "table4": ("ablation", "* x100/*"),
    "figure2": ("paper", "mnist mlp sigmoid d1 x*000/*"),  # and Figure 3
    "figure6": ("paper", "mnist mlp sigmoid d* x100/*"),  # and Figure 5
    "figure9": ("ablation", "* x1000/*"),
    "figure7": ("paper", "* conv *"),  # last: the CNNs take longest
}


def command(part: str, options: list[str]) -> list[str]:
    """What runs a part."""
    spec, glob = PARTS[part]
    path = ROOT / "bench_specs" / f"{spec}.toml"
    return [*options, "bench", "--spec", str(path), "--only", glob]


def hours(part: str, program: list[str], options: list[str]) -> float:
    """How long a part will take if nothing of it is stored, by the program's own estimate."""
    asked = [*program, *command(part, options), "--dry-run", "--json"]
    lanes = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)["lanes"]
    return sum(lane["seconds"] for lane in lanes) / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*PARTS], help="may be given several times")
    parser.add_argument("--db", type=Path, default=ROOT / "results/rnnprop.db")
    parser.add_argument("--dry-run", action="store_true", help="say how long it will take, and stop")
    args = parser.parse_args()
    parts = args.only or [*PARTS]
    program, options = [sys.executable, "-m", "rnnprop_cli"], ["--db", str(args.db)]
    if any(PARTS[part][0] == "ablation" for part in parts) and not args.dry_run:  # it names their checkpoints
        merge = [*program, "db", "merge", *map(str, TRAININGS), "--output", str(args.db)]
        subprocess.run(merge, check=True, stdout=subprocess.DEVNULL)
    total = 0.0
    for part in parts:
        estimate = hours(part, program, options)
        total += estimate
        print(f"{part:<8} {estimate:6.1f} h", flush=True)
    print(
        f"{'all':<8} {total:6.1f} h, less what is stored; Ctrl+C stops, the same command goes on", flush=True
    )
    if args.dry_run:
        return
    for part in parts:
        ended = subprocess.run([*program, *command(part, options)]).returncode
        if ended not in (0, 1):  # 1: some cells failed, which the report tells
            sys.exit(ended)
    tables = [sys.executable, str(ROOT / "docs/tables.py"), str(args.db)]
    sys.exit(subprocess.run([*tables, *(str(ROOT / name) for name in DOCUMENTS)]).returncode)


if __name__ == "__main__":
    main()
