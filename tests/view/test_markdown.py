"""The whole text of a small benchmark, to be read by a person when it changes."""

import math

from bench_samples import runs_of, with_spec

from rnnprop_cli.view.formats.markdown import to_markdown
from rnnprop_cli.view.table.columns import legend, used_columns
from rnnprop_cli.view.table.summary import summarize

PAPER = {"where": {}, "horizon": 100, "optimizer": "adam", "final_loss": 0.31, "source": "Table 2"}
# ruff: noqa: E501 (lines of a table)
GOLDEN = r"""# demo

## mnist · mlp sigmoid · depth 1 · 100 steps · in-distribution

| \# | optimizer | lr | final loss | paper | % to \* | better | seeds | failures | median | IQM | test loss | test acc | s |
| ---: | :--- | ---: | ---: | ---: | ---: | ---: | ---: | :--- | ---: | ---: | ---: | ---: | ---: |
| **1** | **learned** | **0.1** | **0.280 ±0.025** |  | **-10.6 ±4.6** | **3/3** | **3** |  | **0.280 \[0.270, 0.290\]** | **0.280 \[0.270, 0.290\]** | **1.280 ±0.025** | **75.00%** | **2** |
| 2 | adam \* | 0.03125 | 0.313 ±0.038 | 0.31 |  |  | 3 |  | 0.310 \[0.300, 0.330\] | 0.313 \[0.300, 0.330\] | 1.313 ±0.038 | 75.00% | 2 |
| 3 | adam, untuned | 0.001 | 2.3000 |  | +634.0 ±12.1 | 0/3 | 3 | 3 chance | 2.3000 \[2.3000, 2.3000\] | 2.3000 \[2.3000, 2.3000\] | 3.3000 | 75.00% | 2 |
| 4 | sgd | 0.03125 | 0.400 ±0.079 |  | +31.1 ±5.2 | 0/3 | 3 | 1 div | 0.4062 \[0.3937, inf\] | inf | 1.400 ±0.079 | 75.00% | 1.67 |

- adam: the paper has 0.31 (Table 2), which agrees with 0.313 here
- \* adam is the lowest of 2 baselines on the compared seeds themselves, for want of tuning runs: it looks a little better than it is
"""


def test_the_text_of_a_small_benchmark():
    experiment = with_spec({"spec": {"paper": [PAPER]}})
    runs = [
        *runs_of("learned", [0.27, 0.28, 0.29], is_baseline=False, lr=0.1),
        *runs_of("adam", [0.30, 0.31, 0.33]),
        *runs_of("adam", [2.3, 2.3, 2.3], phase="default", lr=0.001),
        *runs_of("sgd", [0.39375, 0.40625, math.nan]),
    ]
    summary = summarize(experiment, runs)
    how_to_read = legend(used_columns(summary.rows)).replace("*", r"\*")
    assert to_markdown(summary) == f"{GOLDEN}\n{how_to_read}\n"
