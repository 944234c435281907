"""A benchmark as one HTML page that needs nothing else: no script, no network, figures inside.

It shows the numbers of the terminal's table, from the same functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from rnnprop_cli.view.figures.figure import Figure, optimizer_styles
from rnnprop_cli.view.figures.svg import figure_svg, swatch_svg
from rnnprop_cli.view.formats.html_style import style_sheet
from rnnprop_cli.view.numbers import format_difference, format_loss, format_mean, format_rate
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.columns import (
    OPTIMIZER,
    SEEDS,
    Align,
    format_failures,
    legend,
    used_columns,
)
from rnnprop_cli.view.table.profiles import FACTORS, profiles
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.rows import UNKNOWN, Problem, SummaryRow
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.verdicts import chance_sentence, leads, verdict


class Head(NamedTuple):
    """A heading, and how the cells below it look."""

    text: str
    align: Align = "right"
    warns: bool = False  # whatever they say is bad news


_OVERVIEW = tuple(Head(text, "left") for text in ("problem", "group", "lowest mean", "best tuned baseline"))
_OPTIMIZER = Head(OPTIMIZER.heading, "left")
_FAILURES = Head("failures", "left", warns=True)


def to_html(summary: Summary, facts: Mapping[str, str], spec_toml: str, figures: Sequence[Figure]) -> str:
    """The page.

    Args:
        summary: the rows.
        facts: of the experiment, by name.
        spec_toml: the spec as its author wrote it.
        figures: those about one problem stand beside its table, the others at the top.
    """
    styles = optimizer_styles(summary)
    names = {optimizer: f"--s{number}" for number, optimizer in enumerate(styles)}
    colours = {optimizer: f"var({name})" for optimizer, name in names.items()}
    title = _text(summary.bench)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title} · rnnprop</title>\n<style>{style_sheet(styles, names)}</style>\n</head>\n<body>",
        f"<h1>{title}</h1>",
        "<dl>",
        *(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items()),
        "</dl>",
        *(f'<p class="note">{_text(note)}</p>' for note in summary.notes),
        *_overview(summary),
        *_figures([figure for figure in figures if figure.problem is None], colours, titled=True),
        *_profiles(summary),
    ]
    for number, (problem, rows) in enumerate(summary.problems):
        about = [figure for figure in figures if figure.problem == problem]
        parts += _problem(number, problem, rows, about, colours)
    parts += [
        f'<h2>How to read the tables</h2><p class="note">{_text(legend(used_columns(summary.rows)))}</p>',
        f"<details><summary>Spec</summary><pre>{_text(spec_toml, keep_newlines=True)}</pre></details>"
        if spec_toml
        else "",
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _overview(summary: Summary) -> Iterator[str]:
    """Every problem in a line: who is best, and how far the learned optimizers are from the best tuned baseline."""
    problems = summary.problems
    if len(problems) < 2:
        return
    learned = sorted({row.optimizer for row in summary.rows if not row.is_baseline})
    yield "<h2>Overview</h2>"
    if learned:
        yield '<p class="note">Learned optimizers: final loss against the best tuned baseline, in percent.</p>'
    lines = []
    for number, (problem, rows) in enumerate(problems):
        best = next((row for row in rows if row.rank == 1), None)
        baseline = next((row for row in rows if row.is_best_baseline), None)
        finals = {row.optimizer: row for row in reversed(rows) if row.phase == "final"}
        differences = []
        for optimizer in learned:
            row = finals.get(optimizer)
            differences.append("" if row is None else _difference(row))
        link = f'<a href="#p{number}">{_text(problem.title)}</a>'
        texts = [link, _text(rows[0].group), _text(best.label) if best else "-", _with_loss(baseline)]
        lines.append(([*texts, *differences], ""))
    yield _table([*_OVERVIEW, *map(Head, learned)], lines, quoted=True)
    if sentence := chance_sentence(summary.rows):
        yield f'<p class="note">{_text(sentence)}</p>'


def _difference(row: SummaryRow) -> str:
    """In bold where it is a win."""
    text = _text(format_difference(row.comparison.percent if row.comparison else UNKNOWN))
    return f"<strong>{text}</strong>" if verdict(row) == "win" else text


def _with_loss(row: SummaryRow | None) -> str:
    return "-" if row is None else f"{_text(row.optimizer)} {format_loss(row.final.mean.centre)}"


def _profiles(summary: Summary) -> Iterator[str]:
    found = profiles(summary.rows)
    if found:
        yield "<h2>Share of problems within a factor of the best</h2>"
    for group, of_group in groupby(found, lambda one: one.group):
        members = list(of_group)
        yield f'<h3>{_text(group)} <span class="tag">{len(members[0].ratios)} problems</span></h3>'
        lines = [
            ([one.optimizer, *(f"{one.share_within(factor):.0%}" for factor in FACTORS)], "")
            for one in members
        ]
        yield _table([_OPTIMIZER, *(Head(f"{factor:g} ×") for factor in FACTORS)], lines)


def _problem(
    number: int,
    problem: Problem,
    rows: Sequence[SummaryRow],
    figures: Sequence[Figure],
    colours: Mapping[str, str],
) -> Iterator[str]:
    yield f'<section id="p{number}">'
    planned = {row.counts.planned for row in rows}
    tags = [rows[0].group, *([f"{planned.pop()} seeds"] if len(planned) == 1 else [])]
    spans = " ".join(f'<span class="tag">{_text(tag)}</span>' for tag in tags)
    yield f"<h2>{_text(problem.title)} {spans}</h2>"
    columns = used_columns(rows, [SEEDS] if len(tags) > 1 else [])
    lines = [([column.text(row) for column in columns], _row_class(row, rows)) for row in rows]
    yield _table([Head(one.heading, one.align, one.warns) for one in columns], lines)
    for sentence in remarks(rows):
        yield f'<p class="note">{_text(sentence)}</p>'
    yield from _figures(figures, colours, titled=False)
    yield from _search(rows)
    yield "</section>"


def _row_class(row: SummaryRow, rows: Sequence[SummaryRow]) -> str:
    return "best" if leads(row, rows) else "untuned" if row.phase == "default" else ""


def _search(rows: Sequence[SummaryRow]) -> Iterator[str]:
    """Every learning rate that was tried."""
    lines = []
    for row in sorted(rows, key=lambda row: row.optimizer):
        for point in row.search.rates:
            loss, failures, tied = format_mean(point.loss), format_failures(point.counts), row.search.tied
            tie = " ≈ best" if len(tied) > 1 and point.learning_rate in tied else ""
            chosen = "best" if point.learning_rate == row.learning_rate else ""
            rate, seeds = format_rate(point.learning_rate) + tie, str(point.counts.seeds)
            lines.append(([row.optimizer, rate, loss, seeds, failures], chosen))
    if lines:
        told = "the chosen ones in bold, those marked ≈ cannot be told from them"
        yield f"<details><summary>Learning rates tried, on the tuning seeds; {told}</summary>"
        yield _table([_OPTIMIZER, Head("lr"), Head("final loss"), Head("seeds"), _FAILURES], lines)
        yield "</details>"


def _figures(figures: Sequence[Figure], colours: Mapping[str, str], *, titled: bool) -> Iterator[str]:
    if not figures:
        return
    yield '<div class="figures">'
    for figure in figures:
        yield "<figure>"
        yield f"<h3>{_text(figure.title)}</h3>" if titled else ""
        yield figure_svg(figure, colours)
        swatches = (
            f"<span>{swatch_svg(one, colours[one.label])}{_text(one.name)}</span>" for one in figure.lines
        )
        yield f'<div class="legend">{"".join(swatches)}</div>'
        yield f'<figcaption class="caption">{_text(figure.caption)}</figcaption></figure>'
    yield "</div>"


def _table(heads: Sequence[Head], lines: Sequence[tuple[Sequence[str], str]], *, quoted: bool = False) -> str:
    """A table; the lines have a class each, and their texts are HTML already if `quoted`."""
    head = "".join(f"<th{_cell_class(one, '')}>{_text(one.text)}</th>" for one in heads)
    body = []
    for texts, row_class in lines:
        cells_html = "".join(
            f"<td{_cell_class(one, text)}>{text if quoted else _text(text)}</td>"
            for one, text in zip(heads, texts, strict=True)
        )
        body.append(f'<tr class="{row_class}">{cells_html}</tr>' if row_class else f"<tr>{cells_html}</tr>")
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>"
    )


def _cell_class(head: Head, text: str) -> str:
    names = [*(["left"] if head.align == "left" else []), *(["bad"] if head.warns and text else [])]
    return f' class="{" ".join(names)}"' if names else ""


def _text(text: str, *, keep_newlines: bool = False) -> str:
    return escape(safe_text(text, keep_newlines=keep_newlines), quote=True)
