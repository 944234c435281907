"""Weights that were trained anew under the same name stand in rows of their own names."""

from dataclasses import replace

from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.facts.namesakes import tell_apart
from rnnprop_cli.view.table.summary import summarize


def learned(sha256: str | None, losses: list[float]) -> list[RunInfo]:
    config = {"environment": {"weights_sha256": sha256} if sha256 else {}, "lr": 0.1}
    runs = runs_of("rnnprop", losses, is_baseline=False, lr=0.1)
    return [replace(run, config=config) for run in runs]


def test_the_weights_used_last_keep_the_name_and_older_ones_say_which_they_are() -> None:
    runs = [*learned("a" * 64, [0.3, 0.4]), *runs_of("adam", [0.2, 0.3]), *learned("b" * 64, [0.1, 0.2])]
    rows = summarize(EXPERIMENT, tell_apart(runs)).rows
    means = {row.optimizer: row.final.mean.centre for row in rows}
    assert [*means] == ["rnnprop", "adam", "rnnprop (aaaaaaaa)"]
    assert abs((means["rnnprop"] or 0) - 0.15) < 1e-12


def test_nothing_is_renamed_without_need() -> None:
    runs = [*learned("a" * 64, [0.3, 0.4]), *runs_of("adam", [0.2, 0.1])]
    assert tell_apart(runs) == runs


def of(environment: dict[str, object], losses: list[float], **facts: object) -> list[RunInfo]:
    runs = runs_of("adam", losses, **facts)
    return [replace(run, config={"environment": environment, "optimizer": {"beta1": 0.9}}) for run in runs]


def names(*runs: list[RunInfo]) -> list[str]:
    return [run.facts.optimizer for run in tell_apart([run for part in runs for run in part])]


def test_results_of_two_devices_stand_in_rows_of_two_names() -> None:
    cpu, gpu = {"device": "cpu", "threads": 1}, {"device": "cuda", "gpu": "H200"}
    assert names(of(cpu, [0.2]), of(gpu, [0.3])) == ["adam (device cpu, gpu none)", "adam"]
    assert names(of(gpu, [0.2]), of(cpu, [0.3])) == ["adam (device cuda, gpu H200)", "adam"]


def test_three_versions_have_three_names_and_the_search_goes_with_its_row() -> None:
    old, middle, new = ({"numerics": n, "same": 1} for n in (1, 2, 3))
    runs = [of(old, [0.2]), of(middle, [0.3]), of(new, [0.4])]
    searched = [replace(run, facts=replace(run.facts, phase="tuning")) for run in of(old, [0.5])]
    assert names(searched, *runs) == ["adam (numerics 1)", "adam (numerics 1)", "adam (numerics 2)", "adam"]


def test_a_tuned_row_and_one_that_is_not_may_have_one_name() -> None:
    tuned = of({"a": 1}, [0.2])
    other = [replace(run, facts=replace(run.facts, phase="default")) for run in of({"a": 2}, [0.2])]
    assert names(tuned, other) == ["adam", "adam"]


def test_what_cannot_be_told_in_words_is_numbered() -> None:
    runs = [of({"x": (1, {"deep": n})}, [0.2]) for n in range(3)]
    assert len(set(names(*runs))) == 3


def on(horizon: int, runs: list[RunInfo]) -> list[RunInfo]:
    return [replace(run, facts=replace(run.facts, horizon=horizon)) for run in runs]


def test_a_name_means_the_same_weights_on_every_problem() -> None:
    old, new = learned("a" * 64, [0.3]), learned("b" * 64, [0.1])
    found = names(on(10, old), on(20, old), on(30, old), on(10, new))
    assert found == ["rnnprop (aaaaaaaa)"] * 3 + ["rnnprop"]
    assert names(on(10, old), on(20, new)) == ["rnnprop (aaaaaaaa)", "rnnprop"]  # also where they do not meet


def test_settings_that_differ_between_problems_alone_rename_nothing() -> None:
    assert names(on(10, of({"dataset_sha256": "x"}, [0.2])), on(20, of({"dataset_sha256": "y"}, [0.2]))) == [
        "adam",
        "adam",
    ]


def with_config(config: dict[str, object]) -> list[RunInfo]:
    return [replace(run, config=config) for run in runs_of("adam", [0.2])]


def test_every_difference_between_two_rows_gives_them_two_names() -> None:
    pairs: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"optimizer": {"eps": None}}, {"optimizer": {}}),
        (
            {"optimizee": {"depth": 1}, "optimizer": {"depth": 1}},
            {"optimizee": {"depth": 2}, "optimizer": {"depth": 1}},
        ),
        ({"optimizer": {"lr": 1}}, {"optimizer": {"lr": 2}}),
        ({"optimizer": {"list": list(range(90))}}, {"optimizer": {"list": [1]}}),
    ]
    for old, new in pairs:
        first, last = names(with_config(old), with_config(new))
        assert last == "adam" != first, (old, new)
        assert len(first) < 40
