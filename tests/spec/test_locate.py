"""The locator finds every key of any text that tomllib accepts."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.spec.locate import Path, excerpt, find, line_and_column, locate

TEXT = '''\
# a comment with [brackets] and = signs
title = "a # \\" [x] = 1"   # trailing
plain.dotted."quoted key".'lit' = 1979-05-27 07:32:00
long = """
[not.a.table]
key = 1 \\""" still inside"""""
raw = \'\'\'
]] }} \'\'\'
list = [ 1, [2, 3], # comment ] here
  { a = 1, b.c = [4] },
]
[table]
\tkey = { inner = { deep = true } }
[[many]]
x = 1
[many.sub]
y = 2
[[many]]
x = 3
[[many.more]]
z = 4
[[many.more]]
z = 5
["odd.name"]
v = 1
'''


def _paths(value: Any, path: Path = ()) -> list[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in [(*path, key), *_paths(inner, (*path, key))]]


def test_every_path_is_found() -> None:
    places = locate(TEXT)
    assert [path for path in _paths(tomllib.loads(TEXT)) if path not in places] == []


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("title",), (2, 1), (2, 9)),
        (("plain", "dotted", "quoted key", "lit"), (3, 27), (3, 35)),
        (("long",), (4, 1), (4, 8)),
        (("list", 0), (9, 10), (9, 10)),
        (("list", 1, 1), (9, 17), (9, 17)),
        (("list", 2, "b", "c", 0), (10, 19), (10, 19)),
        (("table",), (12, 1), (12, 1)),
        (("table", "key", "inner", "deep"), (13, 20), (13, 27)),
        (("many",), (14, 1), (14, 1)),
        (("many", 0, "sub", "y"), (17, 1), (17, 5)),
        (("many", 1), (18, 1), (18, 1)),
        (("many", 1, "more", 1, "z"), (23, 1), (23, 5)),
        (("odd.name", "v"), (25, 1), (25, 5)),
    ],
)
def test_places(path: Path, key: tuple[int, int], value: tuple[int, int]) -> None:
    place = locate(TEXT)[path]
    assert (line_and_column(TEXT, place.key), line_and_column(TEXT, place.value)) == (key, value)


def test_an_unwritten_setting_is_placed_at_the_table_around_it() -> None:
    places = locate(TEXT)
    assert find(places, ("many", 1, "absent", "deeper")) == places["many", 1]
    assert find(places, ("absent",)).key == 0


def test_caret_stands_under_the_column_also_after_tabs_and_wide_letters() -> None:
    source, caret = excerpt("\tk = 1", 1, 2).splitlines()
    assert source[caret.index("^")] == "k"
    source, caret = excerpt("'漢字' = 1", 1, 8).splitlines()
    assert caret.index("^") == source.index("1", 5) + 2  # two letters that fill two cells each


def test_a_long_line_is_cut_around_the_column() -> None:
    source, caret = excerpt("k = [" + "1, " * 1000 + "x]", 1, 3006).splitlines()
    assert len(source) < 120
    assert source[caret.index("^")] == "x"


_scalars = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.booleans().map(lambda b: str(b).lower()),
    st.sampled_from(['"a]b"', "'c#d'", '"""e\n[f]"""', "'''g\n'h'''", "1.5e3", "1979-05-27 07:32:00"]),
)
_keys = st.sampled_from(["a", "b-c", '"d e"', "'f.g'", "h.i", '"\\u006a"'])
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + " ,\n#]\n".join(items) + "\n]"),
        st.lists(st.tuples(_keys, inner), max_size=2).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
_lines = st.one_of(
    st.tuples(_keys, _values).map(lambda pair: f"{pair[0]} = {pair[1]} # end"),
    _keys.map(lambda key: f"[{key}]"),
    _keys.map(lambda key: f"[[ {key} ]]"),
    st.just(""),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_lines, max_size=8).map("\n".join))
def test_every_path_of_a_generated_text_is_found(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = locate(text)
    for path in _paths(data):
        assert path in places
        assert 0 <= places[path].key < len(text)
