import pytest

from rnnprop_cli.view.filtering import Subject, parse_filter

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
        ("unknown:2", False),
        ("mnist !depth:1", True),
        ("!", False),
    ],
)
def test_every_word_must_fit(text, fits):
    assert parse_filter(text, KEYS).fits(ADAM) is fits


@pytest.mark.parametrize("text", ["[", "optimizer:(", "!*", "a\\"])
def test_what_is_no_regular_expression_is_looked_for_literally_and_said(text):
    found = parse_filter(text, KEYS)
    assert found.problem
    assert found.fits(Subject("a[(*\\!", {})) in (True, False)
