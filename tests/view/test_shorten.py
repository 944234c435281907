"""Names in little room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rnnprop_cli.view.shorten import distinct, shorten


def test_a_name_is_cut_in_the_middle_and_one_that_fits_is_left_alone():
    assert shorten("deep_mlp_with_replacement", 12) == "deep_ml…ment"
    assert shorten("deep_mlp", 8) == "deep_mlp"
    assert shorten("what happened then", 8, tail=0) == "what ha…"


@given(st.text(max_size=40), st.integers(0, 30), st.sampled_from([0.0, 0.4, 0.8]))
def test_nothing_is_ever_wider_than_its_room(text, width, tail):
    assert cell_len(shorten(text, width, tail=tail)) <= width


@pytest.mark.parametrize(
    "names",
    [
        ["adam beta1=0.9 beta2=0.999", "adam beta1=0.95 beta2=0.999", "adam beta1=0.9 beta2=0.99"],
        ["schedule-free-adamw", "schedule-free-adam"],
        ["rnnprop (0123abcd)", "rnnprop (4567abcd)", "rnnprop"],
        ["adam", "adam", "adam"],
    ],
)
def test_no_two_names_look_the_same(names):
    shown = distinct(names, 14)
    assert len(set(shown)) == len(names)
    assert all(cell_len(one) <= 14 for one in shown)
