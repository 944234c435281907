"""The table that every example ends with, and what follows from it."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from compare import Comparison, Options, Problem, Run, Score
from rich import box
from rich.console import Console
from rich.table import Table

from rnnprop_cli.statistics import mean_with_interval, paired_difference
from rnnprop_cli.view.numbers import format_loss, format_rate


def show(problem: Problem, comparison: Comparison, options: Options) -> None:
    """Prints the table, who is better, what a step costs, and how to read the numbers."""
    out = Console(highlight=False, markup=False, emoji=False)
    parameters = sum(each.numel() for each in problem.build_model().parameters())
    out.print(
        f"{problem.title} · {_count(parameters, 'parameter')} · {_count(options.steps, 'step')} · "
        f"{_count(options.seeds, 'seed')}\n"
    )
    out.print(_table(comparison))
    rnnprop, adam = comparison.rnnprop, comparison.adam
    for title, name in (("Training loss", "training_loss"), ("Held-out loss", "heldout_loss")):
        out.print(f"\n{title}: {verdict(_by_seed(rnnprop, name), _by_seed(adam, name))}.", end="")
    out.print(f"\n{_time_line(rnnprop, adam)}\n\n{_footnote(comparison, options)}")


def verdict(rnnprop: Mapping[int, float], adam: Mapping[int, float]) -> str:
    """Who is better, from the losses by seed; a diverged run has an infinite one and is worse than any other."""
    diverged = {"RNNprop": _diverged(rnnprop.values()), "Adam (tuned)": _diverged(adam.values())}
    if len(set(diverged.values())) > 1:
        better, worse = sorted(diverged, key=diverged.__getitem__)
        return f"{better} is better: {worse} diverged on {diverged[worse]} of {_count(len(adam), 'seed')}"
    difference = paired_difference(dict(rnnprop), dict(adam))
    centre, half_width = difference.percent.centre, difference.percent.half_width
    if centre is None or half_width is None:
        return "no verdict, which takes two seeds on which neither diverged"
    if abs(centre) <= half_width:
        return f"no difference within the interval (RNNprop's is {centre:+.1f} ±{half_width:.1f} %)"
    if centre < 0:
        return f"RNNprop is better: its loss is {-centre:.1f} ±{half_width:.1f} % lower"
    return f"Adam (tuned) is better: RNNprop's loss is {centre:.1f} ±{half_width:.1f} % higher"


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("optimizer", no_wrap=True)
    table.add_column("lr", justify="right", no_wrap=True)
    for column in ("training loss", "held-out loss", "accuracy", "ms/step"):
        table.add_column(column, justify="right")
    table.add_row("at the start", "", *_score_cells(list(comparison.start.values())), "")
    for name, runs in (("RNNprop", comparison.rnnprop), ("Adam, tuned", comparison.adam)):
        lr = next(iter(runs.values())).lr
        scores = [run.score for run in runs.values()]
        table.add_row(name, format_rate(lr), *_score_cells(scores), f"{1e3 * _median_s(runs, 'step_s'):.2f}")
    return table


def _score_cells(scores: Sequence[Score]) -> list[str]:
    cells = []
    for name in ("training_loss", "heldout_loss"):
        losses = [getattr(each, name) for each in scores]
        mean = mean_with_interval([loss for loss in losses if isfinite(loss)])
        diverged = _diverged(losses)
        cells.append(
            format_loss(mean.centre, mean.half_width) + (f" ({diverged} diverged)" if diverged else "")
        )
    accuracy = mean_with_interval([100 * each.heldout_accuracy for each in scores])
    uncertainty = "" if accuracy.half_width is None else f" ±{accuracy.half_width:.1f}"
    return [*cells, f"{accuracy.centre:.1f}{uncertainty} %"]


def _time_line(rnnprop: Mapping[int, Run], adam: Mapping[int, Run]) -> str:
    ratio = _median_s(rnnprop, "step_s") / max(_median_s(adam, "step_s"), 1e-9)
    ours, adams = 1e3 * _median_s(rnnprop, "update_s"), 1e3 * _median_s(adam, "update_s")
    return (
        f"Time: a step with RNNprop takes {ratio:.1f} times as long as one with Adam; the update alone takes "
        f"{ours:.2f} ms against {adams:.2f} ms."
    )


def _footnote(comparison: Comparison, options: Options) -> str:
    tuned, tuning_seeds = comparison.tuned, len(options.tuning_seeds)
    tried = (
        f"{len(tuned.losses)} rates from {min(tuned.losses):.2g} to {max(tuned.losses):.2g} on "
        f"up to {_count(tuning_seeds, 'other seed')} ({tuned.runs} runs)"
    )
    edge = ". It lies at their edge: Adam may be better than shown" if tuned.at_edge else ""
    return (
        "± is half of the 95 % t-interval over seeds; differences are paired by seed. Training loss: the final "
        "weights on all minibatches of the run. Accuracy: on held-out data. Adam's rate has the lowest training loss "
        f"of {tried}{edge}. RNNprop (weights '{options.weights}') was not tuned."
    )


def _by_seed(runs: Mapping[int, Run], name: str) -> dict[int, float]:
    return {seed: getattr(run.score, name) for seed, run in runs.items()}


def _median_s(runs: Mapping[int, Run], name: str) -> float:
    return statistics.median(float(getattr(run, name)) for run in runs.values())


def _diverged(losses: Iterable[float]) -> int:
    return sum(not isfinite(loss) for loss in losses)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
