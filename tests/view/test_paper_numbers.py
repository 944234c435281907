"""The paper's numbers find their rows."""

import json

import pytest
from bench_samples import runs_of, with_spec

from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.view.table.columns import COLUMNS
from rnnprop_cli.view.table.remarks import paper_sentence
from rnnprop_cli.view.table.summary import summarize

SPEC = BenchSpec.model_validate_json(
    json.dumps(
        {
            "name": "demo",
            "optimizees": [{"kind": "mlp"}],
            "optimizers": [{"kind": "adam"}],
            "paper": [
                {
                    "where": {"activation": ["sigmoid"]},
                    "optimizer": "adam",
                    "final_loss": 0.31,
                    "source": "Table 2",
                },
                {
                    "where": {"activation": "relu"},
                    "optimizer": "adam",
                    "final_loss": 0.28,
                    "source": "Table 2",
                },
                {"where": {}, "horizon": 2000, "optimizer": "adam", "final_loss": 0.07},
            ],
        }
    )
)


def experiment(spec=SPEC):
    return with_spec({"spec": spec.model_dump(mode="json")})


def row_of(losses, optimizer="adam", **facts):
    return summarize(experiment(), runs_of(optimizer, losses, **facts)).rows[0]


@pytest.mark.parametrize(
    ("facts", "number"),
    [
        ({}, 0.31),
        ({"activation": "relu"}, 0.28),
        ({"activation": "elu"}, None),
        ({"optimizer": "sgd"}, None),
        ({"horizon": 2000}, 0.07),
        ({"horizon": 500}, None),
        ({"phase": "default"}, None),
    ],
)
def test_a_number_belongs_to_the_run_that_does_what_the_paper_did(facts, number):
    found = row_of([0.3, 0.31], **facts).paper
    assert (found and found.final_loss) == number


def test_the_table_has_a_column_for_it():
    (paper,) = [column for column in COLUMNS if column.heading == "paper"]
    assert paper.text(row_of([0.3])) == "0.31"
    assert paper.text(row_of([0.3], "sgd")) == ""


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.305, 0.309], "adam: the paper has 0.31 (Table 2), which agrees with 0.307 here"),
        ([0.305], "adam: the paper has 0.31 (Table 2), which agrees with 0.305 here"),
        ([0.30, 0.30], "adam: the paper has 0.31 (Table 2), here 0.300 is 3.2 % lower"),
        ([0.62, 0.62], "adam: the paper has 0.31 (Table 2), here 0.620 is 100.0 % higher"),
        ([float("nan")], "adam: the paper has 0.31 (Table 2), here it gave no finite loss"),
    ],
)
def test_the_difference_is_told_in_words(losses, words):
    assert paper_sentence(row_of(losses)) == words


@pytest.mark.parametrize("resolved", [{}, {"spec": 3}, {"spec": {"paper": [{"optimizer": 3}]}}])
def test_a_spec_of_another_version_has_none(resolved):
    row = summarize(with_spec(resolved), runs_of("adam", [0.3])).rows[0]
    assert row.paper is None
    assert paper_sentence(row) is None
