"""A benchmark as LaTeX tables, for papers: booktabs rules, one table for each problem, rows that win in bold."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.columns import SEEDS, used_columns
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.verdicts import chance_sentence, leads

# What a paper's column has room for; `--format csv` has all of it.
_COLUMNS: Final = (
    "optimizer",
    "lr",
    "final loss",
    "paper",
    "% to *",
    "better",
    "again",
    "seeds",
    "failures",
    "test acc",
)
_PREAMBLE: Final = "% needs \\usepackage{booktabs}; fonts beyond ASCII: any engine with UTF-8 input"
_CAPTION: Final = (
    "Final loss after {steps} steps with its 95\\,\\% $t$-interval over seeds; * is the best tuned baseline, "
    "bold rows differ from it by a paired 95\\,\\% interval that excludes zero."
)
_NEGATIVE: Final = re.compile(r"(?<!\S)-(?=\d)")  # of a number, unlike a hyphen
_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # after the end of a row it would begin an argument of that, and so would a star
    "]": "{]}",
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "\N{REPLACEMENT CHARACTER}": "?",
}


def to_latex(summary: Summary) -> str:
    """All problems of a benchmark; each table stands for itself."""
    lines = [_PREAMBLE, ""]
    for number, (problem, rows) in enumerate(summary.problems, 1):
        lines += [*_table(summary.bench, number, problem, rows), ""]
    if sentence := chance_sentence(summary.rows):
        lines += [_escaped(sentence), ""]
    lines += [f"% {_escaped(safe_text(note))}" for note in summary.notes]
    return "\n".join(lines).rstrip() + "\n"


def _table(bench: str, number: int, problem: Problem, rows: Sequence[SummaryRow]) -> Iterator[str]:
    hidden = [SEEDS] if len({row.counts.planned for row in rows}) == 1 else []
    columns = [column for column in used_columns(rows, hidden) if column.heading in _COLUMNS]
    label = "".join(character if character.isascii() and character.isalnum() else "-" for character in bench)
    yield r"\begin{table}[htbp]"
    yield r"  \centering"
    title = _escaped(safe_text(f"{problem.title}. "))
    yield f"  \\caption{{{title}{_CAPTION.format(steps=f'{problem.horizon:,}')}}}"
    yield f"  \\label{{tab:{label}-{number}}}"
    yield r"  \smallskip\footnotesize\setlength{\tabcolsep}{3pt}% as wide as a page of the article class"
    yield f"  \\begin{{tabular}}{{@{{}}{''.join(column.align[0] for column in columns)}@{{}}}}"
    yield r"    \toprule"
    yield _line([_escaped(column.heading) for column in columns])
    yield r"    \midrule"
    for row in rows:
        texts = [_escaped(column.text(row)) for column in columns]
        yield _line([rf"\textbf{{{text}}}" if text and leads(row, rows) else text for text in texts])
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    for sentence in remarks(rows):
        yield rf"  \par\smallskip {_escaped(safe_text(sentence))}"
    yield r"\end{table}"


def _line(texts: Sequence[str]) -> str:
    return f"    {' & '.join(texts)} \\\\"


def _escaped(text: str) -> str:
    """Text that LaTeX sets as it is, whatever names hold.

    >>> print(_escaped("0.3 ±0.1 & 5 % of my_run"))
    0.3 $\\pm$0.1 \\& 5 \\% of my\\_run
    """
    escaped = "".join(_SPECIAL.get(character, character) for character in text)
    return _NEGATIVE.sub("$-$", escaped)
