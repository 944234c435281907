"""Plain values as TOML and back."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.write import to_toml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | text
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(text, values, max_size=4))
def test_what_is_written_is_read_back(spec: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(spec)) == spec


def test_none_is_a_setting_that_is_not_there() -> None:
    assert to_toml({"a": None, "b": {"c": None, "d": 1}}) == "b = { d = 1 }"


def test_tuples_are_lists_and_other_values_are_refused_by_name() -> None:
    assert to_toml({"a": (1, 2.5)}) == "a = [1, 2.5]"
    with pytest.raises(SpecError, match=r"a\[1\]\.b: a bytes is nothing"):
        to_toml({"a": [1, {"b": b"x"}]})
