import time
from fnmatch import fnmatchcase

import pytest

from rnnprop_cli.view.table.filtering import Subject, parse_filter

ADAM = Subject(
    "adam mnist mlp sigmoid d2 x100 done", {"optimizer": "adam", "depth": 2.0, "lr": 0.03125, "loss": None}
)
KEYS = ("optimizer", "depth", "lr", "loss")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("ADAM", True),
        ("adam|sgd d[23]", True),
        ("^sgd", False),
        ("!sgd", True),
        ("!adam", False),
        ("optimizer:^a", True),
        ("optimizer:sgd", False),
        ("depth:2", True),
        ("depth:>1", True),
        ("depth:>=3", False),
        ("depth:1..2", True),
        ("depth:3..", False),
        ("!depth:>1", False),
        ("lr:.03125", True),
        ("lr:<.1", True),
        ("loss:>0", False),
        ("mnist !depth:1", True),
        ("!", False),
    ],
)
def test_every_word_must_fit(text, fits):
    assert parse_filter(text, KEYS).fits(ADAM) is fits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dept:>1", "no key dept: did you mean depth?"),
        ("!dept:2 adam", "no key dept: did you mean depth?"),
        ("colour:red", "no key colour: there is optimizer, depth, lr, loss"),
        ("horizon:>1", ""),  # of another table
    ],
)
def test_an_unknown_key_is_named_and_hides_nothing(text, said):
    found = parse_filter(text, KEYS, elsewhere=("horizon",))
    assert found.problem == said
    assert found.fits(ADAM)


def test_a_colon_after_something_else_than_a_word_is_a_colon():
    assert parse_filter("d2:", KEYS).problem
    assert not parse_filter(r"\d:", KEYS).fits(ADAM)


@pytest.mark.parametrize("text", ["[", "optimizer:(", "!*", "a\\"])
def test_what_is_no_regular_expression_is_looked_for_literally_and_said(text):
    found = parse_filter(text, KEYS)
    assert found.problem
    assert found.fits(Subject("a[(*\\!", {})) in (True, False)


@pytest.mark.parametrize(
    "typed",
    [
        "(a+)+$!",
        "(a|a)*b",
        "(a|aa)+$",
        "((a*)*)*b",
        "(.*a){20}b",
        "optimizer:(a+)+$!",
        "!(a+)+$!",
        "a{1,900}" * 20,
    ],
)
def test_no_pattern_takes_more_than_a_moment(typed: str) -> None:
    subjects = [Subject("a" * 300, {"optimizer": "a" * 300}) for _ in range(100)]
    started = time.process_time()
    parsed = parse_filter(typed, ("optimizer",))
    for subject in subjects:
        parsed.fits(subject)
    assert time.process_time() - started < 2  # milliseconds; of this process alone, however busy the machine


def test_text_that_is_no_unicode_is_looked_through() -> None:
    assert parse_filter("adam", ()).fits(Subject("\ud800adam", {}))
    assert not parse_filter("\ud800(", ()).fits(Subject("adam", {}))


def test_no_glob_takes_more_than_a_moment() -> None:
    started = time.process_time()
    assert not fnmatchcase("a" * 3000, "*a" * 60 + "b")
    assert not fnmatchcase("ab" * 300, "*[ab]?" * 40 + "c")
    assert time.process_time() - started < 2
