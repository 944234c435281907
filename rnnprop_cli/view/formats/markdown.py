"""A benchmark as Markdown, for notes and pull requests."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.columns import OPTIMIZER, Align, Column, legend, used_columns
from rnnprop_cli.view.table.profiles import FACTORS, profiles
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.verdicts import chance_sentence, leads


def to_markdown(summary: Summary) -> str:
    """A heading and a table for each problem, rows that win in bold; then the profiles over all problems."""
    lines = [f"# {_escape(safe_text(summary.bench))}", ""]
    explained: set[Column] = set()
    for problem, rows in summary.problems:
        columns = used_columns(rows)
        explained |= {*columns}
        title = f"{problem.title} · {rows[0].group}"
        heads = [(column.heading, column.align) for column in columns]
        lines += [f"## {_escape(safe_text(title))}", "", *_head(heads)]
        for row in rows:
            texts = [_escape(column.text(row)) for column in columns]
            bold = leads(row, rows)
            lines.append(_line([f"**{text}**" if bold and text else text for text in texts]))
        sentences = remarks(rows)
        lines += ["", *(f"- {_escape(safe_text(sentence))}" for sentence in sentences)] if sentences else []
        lines.append("")
    lines += _profile_lines(summary)
    for note in summary.notes:
        lines += [f"- {_escape(safe_text(note))}", ""]
    if sentence := chance_sentence(summary.rows):
        lines += [_escape(sentence), ""]
    lines += [_escape(legend(explained)), ""] if summary.rows else []
    return "\n".join(lines)


def _profile_lines(summary: Summary) -> Iterator[str]:
    for group, found in groupby(profiles(summary.rows), lambda one: one.group):
        members = list(found)
        yield f"## Share of {len(members[0].ratios)} problems within a factor of the best · {_escape(group)}"
        yield ""
        heads: list[tuple[str, Align]] = [(f"{factor:g}", "right") for factor in FACTORS]
        yield from _head([(OPTIMIZER.heading, OPTIMIZER.align), *heads])
        for one in members:
            shares = [f"{one.share_within(factor):.0%}" for factor in FACTORS]
            yield _line([_escape(safe_text(one.optimizer)), *shares])
        yield ""


def _head(columns: Sequence[tuple[str, Align]]) -> list[str]:
    return [
        _line([_escape(name) for name, _ in columns]),
        _line([":---" if align == "left" else "---:" for _, align in columns]),
    ]


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escape(text: str) -> str:
    for character in "\\`*_|<>[]#":
        text = text.replace(character, "\\" + character)
    return text
