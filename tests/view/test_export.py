"""Rows as text."""

import csv
import io
import json
import math

import numpy as np
import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.statistics import Estimate
from rnnprop_cli.view.curves.sparkline import sparkline
from rnnprop_cli.view.formats.curve_export import RunCurve, curves_csv, curves_json
from rnnprop_cli.view.formats.markdown import to_markdown
from rnnprop_cli.view.formats.records import FIELDS, to_csv, to_json
from rnnprop_cli.view.numbers import (
    format_duration,
    format_interval,
    format_loss,
    format_percent,
    format_rate,
    format_seconds,
)
from rnnprop_cli.view.table.columns import OPTIMIZER, format_failures, legend, narrower, used_columns
from rnnprop_cli.view.table.summary import summarize

EVIL = "ev|il\x1b]52;c;\x07\u202e"
NAN = math.nan


@pytest.fixture
def summary():
    groups = [
        runs_of("rnnprop", [0.27, 0.28, 0.29], is_baseline=False),
        runs_of("adam", [0.30, 0.31, 0.33]),
        runs_of(EVIL, [NAN, NAN, NAN]),
        runs_of("sgd", ["failed", "queued", 0.4]),
    ]
    return summarize(EXPERIMENT, [run for group in groups for run in group])


REQUIRED = {
    *("bench", "optimizee", "dataset", "activation", "depth", "horizon", "optimizer", "learning_rate"),
    *("seeds", "final_loss_mean", "final_loss_low", "final_loss_high", "diverged"),
}


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_json_has_an_object_per_row_with_the_promised_keys_and_null_for_what_is_not_finite(summary):
    text = to_json(summary)
    records = json.loads(text, parse_constant=refuse)
    assert len(records) == 4
    assert all(record.keys() >= REQUIRED for record in records)
    lost = next(record for record in records if record["optimizer"] == EVIL)
    assert (lost["final_loss_mean"], lost["final_loss_median"], lost["diverged"]) == (None, None, 3)
    assert text.isascii()
    assert "\x1b" not in text


LISTS = ("rates", "tied_rates", "confirmed")  # which CSV has no place for


def test_csv_holds_what_json_holds(summary):
    records = list(csv.DictReader(io.StringIO(to_csv(summary))))
    assert list(records[0]) == [name for name in FIELDS if name not in LISTS]
    for record, row in zip(records, summary.rows, strict=True):
        if row.final.mean.centre is None:
            assert record["final_loss_mean"] == ""
        else:
            assert float(record["final_loss_mean"]) == row.final.mean.centre
        assert int(record["seeds"]) == row.counts.seeds


@pytest.mark.parametrize("write", [to_json, to_csv, to_markdown])
def test_no_control_character_leaves_an_export(summary, write):
    assert not [c for c in write(summary) if c != "\n" and not c.isprintable()]


def test_markdown_is_a_table_per_problem_with_the_best_in_bold(summary):
    text = to_markdown(summary)
    lines = text.splitlines()
    assert lines[0] == "# demo"
    assert lines[2] == "## mnist · mlp sigmoid · depth 1 · 100 steps · in-distribution"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    unescaped = {line.replace("\\|", "").count("|") for line in table}
    assert len(unescaped) == 1  # a bar in a name opens no column
    assert table[2].startswith("| **1** | **rnnprop** |")
    assert "adam \\*" in table[3]


def test_a_benchmark_without_rows_exports_as_nothing():
    empty = summarize(EXPERIMENT, [])
    assert json.loads(to_json(empty)) == []
    assert to_csv(empty).count("\n") == 1
    assert to_markdown(empty).startswith("# demo")


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.305217, 0.001342, "0.3052 ±0.0013"),
        (0.305217, 0.1342, "0.31 ±0.13"),
        (0.305217, None, "0.3052"),
        (0.305217, 0.0, "0.3052"),
        (2.5, 12.0, "2 ±12"),
        (1.5e-6, 2e-7, "1.500e-06 ±2.0e-07"),
        (1.5e30, None, "1.500e+30"),
        (123.456, None, "123.5"),
        (0.0, None, "0.0000"),
        (math.inf, None, "inf"),
        (None, None, "-"),
    ],
)
def test_a_loss_is_written_to_the_digits_that_mean_something(mean, half, text):
    assert format_loss(mean, half) == text


def test_other_numbers_are_written_short():
    assert format_rate(2**-5.5) == "0.0221"
    assert format_rate(None) == "-"
    assert format_percent(-7.71, 1.04) == "-7.7 ±1.0"
    assert format_percent(12345.6, 78.9) == "+12346 ±79"
    assert format_percent(8.3e10, 1.6e10) == "+8.3e+10 ±2e+10"
    assert format_percent(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.5, "500 ms"),
        (0.9996, "1 s"),
        (3.214, "3.21 s"),
        (59.4, "59.4 s"),
        (59.7, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_written_in_its_unit(seconds, text):
    assert format_duration(seconds) == text


def test_seconds_are_never_written_as_a_power_of_ten():
    assert [format_seconds(s) for s in (0.1234, 12.34, 12345.6, math.inf, None)] == [
        "0.123",
        "12.3",
        "12,346",
        "never",
        "",
    ]


def test_columns_go_by_their_priority_and_the_legend_explains_those_that_stay(summary):
    columns = used_columns(summary.rows)
    gone = []
    while (fewer := narrower(columns)) is not None:
        gone += [column.heading for column in columns if column not in fewer]
        columns = fewer
    assert gone == ["s", "test loss", "IQM", "median", "test acc", "better", "lr"]
    assert {"optimizer", "final loss", "failures"} <= {column.heading for column in columns}
    assert "bootstrap" in legend(used_columns(summary.rows))
    assert "bootstrap" not in legend(columns)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.305217, 0.304112, 0.307391), "0.3052 [0.3041, 0.3074]"),
        ((0.00119, 0.00095, 0.0015), "0.00119 [0.00095, 0.00150]"),
        ((8.25e-9, 7.266e-9, 8.674e-9), "8.25e-09 [7.27e-09, 8.67e-09]"),
        ((0.3, 0.2, math.inf), "0.3000 [0.2000, inf]"),
        ((math.inf, 0.2, math.inf), "inf"),
        ((0.3, None, None), "0.3000"),
        ((0.3, 0.3, 0.3), "0.3000 [0.3000, 0.3000]"),
        ((None, None, None), "-"),
    ],
)
def test_an_interval_is_written_to_the_digits_that_mean_something(values, text):
    assert format_interval(Estimate(*values)) == text


def test_failures_are_told_apart(summary):
    by_name = {row.optimizer: format_failures(row.counts) for row in summary.rows}
    assert by_name == {"rnnprop": "", "adam": "", EVIL: "3 div", "sgd": "1 fail, 1 miss"}


def test_the_best_baseline_is_marked_without_colour(summary):
    assert [OPTIMIZER.text(row) for row in summary.rows][:2] == ["rnnprop", "adam *"]


def some_curves():
    (run,) = runs_of("ad,am", [0.5])
    values = np.array([1.5, NAN, math.inf, 0.1], dtype=np.float32).astype(np.float64)
    return [RunCurve(run, "loss", np.array([0, 1, 2, 9]), values, "demo")] * 2


def test_curves_as_csv_have_a_line_per_value_in_shortest_spelling():
    records = list(csv.reader(io.StringIO("".join(curves_csv(some_curves())))))
    assert len(records) == 1 + 8
    assert [record[-2:] for record in records[1:5]] == [
        ["0", "1.5"],
        ["1", "nan"],
        ["2", "inf"],
        ["9", "0.1"],
    ]
    row = dict(zip(*records[:2], strict=True))
    assert row == {
        "run": "0",
        "experiment": "demo",
        "dataset": "mnist",
        "optimizee": "mlp",
        "depth": "1",
        "activation": "sigmoid",
        "horizon": "100",
        "optimizer": "ad,am",
        "learning_rate": "0.03125",
        "seed": "0",
        "phase": "final",
        "status": "done",
        "metric": "loss",
        "step": "0",
        "value": "1.5",
    }


def test_curves_as_json_are_valid_json():
    records = json.loads("".join(curves_json(some_curves())), parse_constant=refuse)
    assert [record["values"] for record in records] == [[1.5, None, None, 0.1]] * 2
    assert records[0]["steps"] == [0, 1, 2, 9]
    assert json.loads("".join(curves_json([]))) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([5.0], "▁"),
        ([2.0, 2.0, 2.0], "▁▁▁"),
        ([1.0, 10.0, 100.0], "▁▅█"),
        ([0.0, 1.0], "▁█"),
        ([1.0, NAN, 100.0], "▁!█"),
        ([NAN, math.inf], "!!"),
    ],
)
def test_a_sparkline_shows_the_course_of_a_curve(values, line):
    assert sparkline(np.array(values)) == line


def test_a_sparkline_is_no_wider_than_asked():
    assert len(sparkline(np.linspace(1, 2, 10_007), 40)) == 40
