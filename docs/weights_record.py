"""Writes the table of shipped weights into `docs/reproduction.md`, but for those of laws, and draws their curves.

python docs/weights_record.py docs/reproduction.md docs/images/meta-training.png
"""

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

from rnnprop_cli.runs.shipped_weights import shipped_names
from rnnprop_cli.runs.weights import find_weights

MARK = re.compile(r"(<!-- weights -->\n).*?(<!-- end -->)", re.DOTALL)
TICKS = (0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
COLUMNS = (
    "weights",
    "seed",
    "meta-iterations",
    "chosen",
    "moving average",
    "validation",
    "SHA-256",
    "commit",
)


def row(name: str, made: dict[str, Any], sha256: str) -> str:
    """What tells one set of weights from another."""
    spec = made["spec"]
    chosen = made["meta_iteration"]
    values = (
        f"`{name}`",
        spec["seed"],
        f"{spec['meta_iterations']:,}",
        f"{chosen:,}",
        f"{made['moving_average']:.3f}",
        f"{made['validation_loss']:.3f}",
        f"`{sha256[:12]}`",
        f"`{made['commit'][:9]}`",
    )
    return f"| {' | '.join(map(str, values))} |"


def commands(name: str, made: dict[str, Any]) -> str:
    """The commands that made the weights, in the order in which they were run."""
    own = {"command": made["command"], "commit": made["commit"], "time_utc": made["created_utc"]}
    starts = sorted([own, *made.get("starts", [])], key=lambda start: start["time_utc"])
    lines = [f"{shlex.join(start['command'])}  # at {start['commit'][:9]}" for start in starts]
    lines = list(dict.fromkeys(lines))
    return "\n".join([f"# {name}{': ' + made['inexact'] if 'inexact' in made else ''}", *lines])


def draw(records: dict[str, dict[str, Any]], path: Path) -> None:
    """Moving average of the train loss, and validation loss, over meta-iterations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, metric in zip(axes, ("moving_average", "validation_loss"), strict=True):
        for name, made in records.items():
            curve = made["curve"]
            axis.plot(curve["meta_iteration"], curve[metric], label=name, linewidth=1)
        axis.set(xlabel="meta-iterations", yscale="log", title=metric.replace("_", " "))
        axis.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axis.set_yticks([], minor=True)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("figure", type=Path)
    args = parser.parse_args()
    every = {name: find_weights(name, None) for name in shipped_names()}
    weights = {name: each for name, each in every.items() if not each.made["spec"].get("evolution")}
    table = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
        *(row(name, each.made, each.tensors_sha256) for name, each in weights.items()),
        "",
        "SHA-256 is that of the numbers. Made by (first the commit is checked out):",
        "",
        "```sh",
        "\n\n".join(commands(name, each.made) for name, each in weights.items()),
        "```",
        "",
    ]
    text = args.document.read_text(encoding="utf-8")
    args.document.write_text(
        MARK.sub(lambda match: match[1] + "\n".join(table) + match[2], text), encoding="utf-8"
    )
    draw({name: each.made for name, each in weights.items() if "curve" in each.made}, args.figure)


if __name__ == "__main__":
    main()
