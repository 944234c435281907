"""The whole LaTeX of a small benchmark, to be read by a person when it changes."""

import math
import re

import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.view.formats.latex import _escaped, to_latex
from rnnprop_cli.view.table.summary import summarize

# ruff: noqa: E501 (lines of a table)
GOLDEN = r"""% needs \usepackage{booktabs}; fonts beyond ASCII: any engine with UTF-8 input

\begin{table}[htbp]
  \centering
  \caption{mnist $\cdot$ mlp sigmoid $\cdot$ depth 1 $\cdot$ 100 steps. Final loss after 100 steps with its 95\,\% $t$-interval over seeds; * is the best tuned baseline, bold rows differ from it by a paired 95\,\% interval that excludes zero.}
  \label{tab:demo-1}
  \smallskip\footnotesize\setlength{\tabcolsep}{3pt}% as wide as a page of the article class
  \begin{tabular}{@{}lrrrrlr@{}}
    \toprule
    optimizer & lr & final loss & \% to {*} & better & failures & test acc \\
    \midrule
    \textbf{learned} & \textbf{0.1} & \textbf{0.280 $\pm$0.025} & \textbf{$-$10.6 $\pm$4.6} & \textbf{3/3} &  & \textbf{75.00\%} \\
    adam {*} & 0.03125 & 0.313 $\pm$0.038 &  &  &  & 75.00\% \\
    sgd & 0.03125 & 0.400 $\pm$0.079 & +31.1 $\pm$5.2 & 0/3 & 1 div & 75.00\% \\
    \bottomrule
  \end{tabular}
  \par\smallskip {*} adam is the lowest of 2 baselines on the compared seeds themselves, for want of tuning runs: it looks a little better than it is
\end{table}
"""


def small(*names: str) -> str:
    learned, adam, sgd = names or ("learned", "adam", "sgd")
    runs = [
        *runs_of(learned, [0.27, 0.28, 0.29], is_baseline=False, lr=0.1),
        *runs_of(adam, [0.30, 0.31, 0.33]),
        *runs_of(sgd, [0.39375, 0.40625, math.nan]),
    ]
    return to_latex(summarize(EXPERIMENT, runs))


def test_the_text_of_a_small_benchmark() -> None:
    assert small().startswith(GOLDEN)


def test_names_cannot_be_commands() -> None:
    text = small(r"\input{/etc/passwd}", "100% & more_#1$", "[2pt]\x1b")
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"100\% \& more\_\#1\$" in text
    assert "{[}2pt{]}?" in text
    rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-9.7 ±1", "$-$9.7 $\\pm$1"),
        ("2e-05", "2e-05"),
        ("a-b -", "a-b -"),
        ("~^", "\\textasciitilde{}\\textasciicircum{}"),
    ],
)
def test_signs_are_set_as_signs(text: str, expected: str) -> None:
    assert _escaped(text) == expected
