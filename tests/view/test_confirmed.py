import pytest
from bench_samples import EXPERIMENT, runs_of, with_spec

from rnnprop_cli.records import ExperimentInfo
from rnnprop_cli.view.formats.records import as_record
from rnnprop_cli.view.table.columns import COLUMNS
from rnnprop_cli.view.table.confirmed import confirmations, with_confirmations
from rnnprop_cli.view.table.summary import summarize

AGAIN = next(column for column in COLUMNS if column.heading == "again")


def experiment(number: int, seed: int, *, numerics: int = 3, **changes: object) -> ExperimentInfo:
    spec = {"name": "demo", "seed": seed, "seeds": 10} | changes
    return with_spec({"spec": spec, "environment": {"numerics": numerics, "threads": number}}, id=number)


def test_the_same_spec_from_another_root_seed_confirms_whatever_the_threads() -> None:
    asked = experiment(1, 0)
    others = [asked, experiment(2, 1), experiment(3, 1), experiment(4, 7)]
    assert {root: one.id for root, one in confirmations(asked, others).items()} == {1: 3, 7: 4}


@pytest.mark.parametrize("changed", [{"seeds": 20}, {"numerics": 2}])
def test_another_question_or_other_numerics_confirm_nothing(changed: dict[str, int]) -> None:
    assert confirmations(experiment(1, 0), [experiment(2, 1, **changed)]) == {}  # type: ignore[arg-type]
    assert confirmations(EXPERIMENT, [experiment(2, 1)]) == {}  # of a version that recorded no spec


def test_both_samples_stand_side_by_side() -> None:
    first = summarize(EXPERIMENT, [*runs_of("adam", [0.3, 0.32]), *runs_of("sgd", [0.4, 0.42])])
    second = summarize(EXPERIMENT, runs_of("adam", [0.31, 0.33], lr=0.0625))
    rows = {row.optimizer: row for row in with_confirmations(first, [(1, second)]).rows}
    (one,) = rows["adam"].confirmed
    assert (one.root, one.seeds, one.learning_rate, one.loss.centre) == (
        1,
        2,
        0.0625,
        pytest.approx(0.32),
    )
    assert AGAIN.text(rows["adam"]) == "0.32 ±0.13 @ 0.0625"
    assert rows["sgd"].confirmed == ()
    assert AGAIN.text(rows["sgd"]) == ""
    assert as_record(rows["adam"])["confirmed"][0]["root"] == 1
