"""Writes the tables of `docs/reproduction.md` and the README from a database, so that no number is copied by hand.

A table stands between two comments, the first of which says what is in it:

    <!-- table BENCH: OPTIMIZER, OPTIMIZER, ... -->
    <!-- end -->

or, for a part of its problems, `table BENCH / GLOB: ...` with a glob such as `mnist mlp * d1 x100`. `held-out` in the
place of `table` gives the loss on data that training never sees, without a verdict.

    python docs/tables.py results/rnnprop.db docs/reproduction.md README.md
"""

import argparse
import re
from fnmatch import fnmatchcase
from pathlib import Path

from rnnprop_cli.runs.report import read_report
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.numbers import format_mean
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.verdicts import leads

MARK = re.compile(
    r"(<!-- (table|held-out) ([\w.-]+)(?: / ([^:\n]+))?: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL
)
BEST = "best tuned"  # a column of its own: the best of all tuned baselines, with its name


def table(summary: Summary, columns: list[str], problems: str, heldout: bool) -> str:
    """A row for each problem, a column for each optimizer. Bold is what wins over the best tuned baseline, or that
    baseline where all others of the line lose to it; of held-out losses, nothing."""
    lines = [f"| | {' | '.join(columns)} |", f"| :--- | {' | '.join('---:' for _ in columns)} |"]
    for problem, rows in summary.problems:
        if not fnmatchcase(problem.short_title, problems):
            continue
        found = [_find(rows, column) for column in columns]
        if not any(found):
            continue
        shown = [row for row in found if row is not None]
        if heldout:
            texts = ["" if row is None else _heldout(row) for row in found]
            if not any(texts):
                continue
        else:
            texts = [_text(row, column, shown) for row, column in zip(found, columns, strict=True)]
        lines.append(f"| {_title(problem, found)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def _heldout(row: SummaryRow) -> str:
    return "" if row.heldout.loss.centre is None else format_mean(row.heldout.loss)


def _notes(summary: Summary, columns: list[str]) -> list[str]:
    """Of weights, but for those of optimizers that have no column."""
    absent = {_plain(row.optimizer) for row in summary.rows} - set(map(_plain, columns))
    return [note for note in summary.notes if _plain(note.split(" after ")[0]) not in absent]


def _plain(name: str) -> str:
    return name.replace("-", " ")


def _find(rows: tuple[SummaryRow, ...], column: str) -> SummaryRow | None:
    if column == BEST:
        return next((row for row in rows if row.is_best_baseline), None)
    return next((row for row in rows if row.optimizer == column and row.phase == "final"), None)


def _text(row: SummaryRow | None, column: str, shown: list[SummaryRow]) -> str:
    if row is None:
        return ""
    counts = row.counts
    failures = [
        f"{count} of {counts.planned} {what}"
        for count, what in (
            (counts.diverged, "diverged"),
            (counts.stuck, "at chance"),
            (counts.failed, "failed"),
        )
        if count
    ]
    mean, _, high = row.final.mean
    if mean is None or high is None:
        return ", ".join(failures) or "-"
    digits = 3 if mean < 10 else 1
    text = f"{mean:.{digits}f} ±{high - mean:.{digits}f}"
    if leads(row, shown):
        text = f"**{text}**"
    if column == BEST:
        text += f" {row.optimizer}"
    if row.lr_source == "tuned" and row.learning_rate is not None:
        text += f" @ {row.learning_rate:.3g}"
    for one in row.confirmed:
        if one.loss.centre is not None:
            text += f"; again {one.loss.centre:.{digits}f}"
    if row.paper is not None:
        text += f" (paper {row.paper.final_loss:g})"
    return ", ".join([text, *failures])


def _title(problem: Problem, rows: list[SummaryRow | None]) -> str:
    seeds = {row.counts.seeds for row in rows if row is not None}
    return f"{problem.title} · {min(seeds)} seeds" if len(seeds) == 1 else f"{problem.title}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("documents", type=Path, nargs="+")
    args = parser.parse_args()
    with Reader.open(args.database) as reader:

        def fill(match: re.Match[str]) -> str:
            whole, what, bench, problems, names, end = match.groups()
            if not reader.experiments("bench", bench):
                return match[0]  # it lies in another database
            found, heldout = read_report(reader, bench), what == "held-out"
            columns = [name.strip() for name in names.split(",")]
            notes = "" if heldout else "".join(f"\n{note}.\n" for note in _notes(found.summary, columns))
            return whole + table(found.summary, columns, problems or "*", heldout) + notes + end

        for path in args.documents:
            path.write_text(MARK.sub(fill, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
