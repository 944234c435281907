"""The page: complete, alone, well-formed, safe."""

import math
from html.parser import HTMLParser

import pytest
from bench_samples import EXPERIMENT, runs_of, small_matrix

from rnnprop_cli.view.facts.experiment_facts import experiment_facts
from rnnprop_cli.view.figures.loss_figures import loss_figures
from rnnprop_cli.view.figures.summary_figures import summary_figures
from rnnprop_cli.view.formats.html_page import to_html
from rnnprop_cli.view.table.columns import COLUMNS, SEEDS
from rnnprop_cli.view.table.summary import summarize

VOID = {"meta", "br", "hr", "link", "img", "input"}
EVIL = '<script>alert("x")</script>\x1b]52;'


class Checker(HTMLParser):
    """Every tag is closed by its own; gathers what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(runs, load):
    summary = summarize(EXPERIMENT, runs, load)
    figures = loss_figures(summary, load) + summary_figures(summary)
    page = to_html(summary, experiment_facts(EXPERIMENT, runs), 'name = "<demo>"\n', figures)
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return summary, page, checker


def test_the_page_is_well_formed_and_alone():
    _, page, checker = page_of(*small_matrix())
    assert all(address.startswith("#") for address in checker.addresses)
    assert {address[1:] for address in checker.addresses} <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))
    assert not {"script", "img", "link", "iframe"} & set(checker.tags)
    assert "url(http" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert "NaN" not in page.replace("nan", "NaN").split("</style>")[1]


def test_the_page_has_every_number_of_the_tables_and_a_figure_of_each():
    summary, _, checker = page_of(*small_matrix())
    text = "\n".join(checker.texts)
    for row in summary.rows:
        for column in COLUMNS:
            if column is not SEEDS:
                assert column.text(row) in text
    assert "Overview" in text
    assert checker.tags.count("figure") == 4 * 2 + 2 + 1


def test_names_from_files_cannot_become_markup():
    runs = runs_of(EVIL, [0.3, 0.4]) + runs_of("adam", [0.5, math.nan])
    _, page, checker = page_of(runs, lambda ids: {})
    assert "script" not in checker.tags
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;demo&gt;" in page


def test_a_benchmark_without_runs_has_a_page_too():
    _, page, _ = page_of([], lambda ids: {})
    assert "<h1>demo</h1>" in page


@pytest.mark.parametrize(
    "fact", ["benchmark", "started", "cells", "seeds", "tuning seeds", "device", "spec sha256"]
)
def test_the_facts_say_what_a_reader_needs_to_check(fact):
    runs, _ = small_matrix()
    assert experiment_facts(EXPERIMENT, runs)[fact]


@pytest.mark.parametrize("name", ["problem", "group", "best", "best tuned baseline", "failures", "lr"])
def test_an_optimizer_that_is_called_like_a_column_of_ours_takes_nothing_of_its_place(name):
    runs, load = [], lambda ids: {}
    for horizon in (100, 200):
        runs += runs_of("adam", [0.3, 0.31], horizon=horizon)
        runs += runs_of(name, [0.2, 0.21], horizon=horizon, is_baseline=False)
    summary = summarize(EXPERIMENT, runs, load)
    page = to_html(summary, experiment_facts(EXPERIMENT, runs), "", [])
    overview = page.split("<h2>Overview</h2>")[1].split("</table>")[0]
    assert overview.count("<th>") + overview.count("<th ") == 5
    rows = overview.split("<tr")[2:]
    assert [row.count("<td") for row in rows] == [5, 5]
    assert all('href="#p' in row for row in rows)
