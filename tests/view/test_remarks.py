from dataclasses import replace

import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.statistics import Estimate
from rnnprop_cli.view.table.remarks import edge_sentence
from rnnprop_cli.view.table.rows import Counts, RatePoint, Search, SummaryRow
from rnnprop_cli.view.table.summary import summarize


def searched(best: float, tried: list[float]) -> SummaryRow:
    row = summarize(EXPERIMENT, runs_of("adam", [0.3, 0.31])).rows[0]
    points = tuple(
        RatePoint(rate, Counts(2, 0, 0, 0, 0), Estimate(0.3, 0.2, 0.4), 0.29, 0.31) for rate in tried
    )
    return replace(row, learning_rate=best, lr_source="tuned", search=Search(points))


@pytest.mark.parametrize("best", [0.01, 0.04])
def test_a_search_that_ended_at_its_edge_is_told(best: float) -> None:
    sentence = edge_sentence(searched(best, [0.01, 0.02, 0.04]))
    assert sentence is not None
    assert "edge of the 3 that were tried" in sentence


def test_a_search_with_worse_rates_on_both_sides_needs_no_remark() -> None:
    assert edge_sentence(searched(0.02, [0.01, 0.02, 0.04])) is None


def test_a_rate_that_was_given_was_not_searched() -> None:
    assert edge_sentence(replace(searched(0.01, [0.01, 0.02]), lr_source="given")) is None
