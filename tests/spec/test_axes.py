"""Axes: lists in a table expand to their product."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.axes import expand
from rnnprop_cli.spec.load import load_bench

HEAD = 'name = "b"\n'
OPTIMIZEE = '[[optimizees]]\nkind = "quadratic"\n'
OPTIMIZER = '[[optimizers]]\nkind = "adam"\n'


def _names(folder: Path, optimizers: str) -> list[str]:
    file = folder / "b.toml"
    file.write_text(HEAD + OPTIMIZEE + optimizers)
    return [optimizer.name for optimizer in load_bench(file).optimizers]


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=3, unique=True), max_size=3
    )
)
def test_expansion_is_the_product_and_leads_back(axes: dict[str, list[int]]) -> None:
    expanded = expand({"optimizees": [{"kind": "x"}, {"kind": "y", **axes}]})
    tables = expanded.data["optimizees"]
    count = 1
    for values in axes.values():
        count *= len(values)
    assert len(tables) == 1 + count
    for number, table in enumerate(tables[1:], start=1):
        for key in axes:
            section, index, name, element = expanded.written(("optimizees", number, key))
            assert (section, index, name) == ("optimizees", 1, key)
            assert isinstance(element, int)
            assert axes[key][element] == table[key]


def test_the_last_axis_varies_fastest() -> None:
    tables = expand({"optimizees": [{"depth": [1, 2], "activation": ["r", "s"]}]}).data["optimizees"]
    assert [(t["depth"], t["activation"]) for t in tables] == [(1, "r"), (1, "s"), (2, "r"), (2, "s")]


def test_optimizers_of_one_axis_get_labels_of_their_own(tmp_path: Path) -> None:
    assert _names(tmp_path, OPTIMIZER + "beta1 = [0.9, 0.95]\n") == ["adam beta1=0.9", "adam beta1=0.95"]
    assert _names(tmp_path, OPTIMIZER + 'lr = ["tuned", 0.1]\n') == ["adam lr=tuned", "adam lr=0.1"]
    assert _names(tmp_path, OPTIMIZER + 'schedule = ["constant", "cosine"]\n') == ["adam", "adam cosine"]
    assert _names(tmp_path, '[[optimizers]]\nkind = ["adam", "sgd"]\n') == ["adam", "sgd"]
    assert _names(tmp_path, '[[optimizers]]\nkind = ["adam", "sgd"]\nlabel = "x"\n') == [
        "x kind=adam",
        "x kind=sgd",
    ]


@pytest.mark.parametrize(
    ("optimizers", "expected"),
    [
        (OPTIMIZER + OPTIMIZER, "b.toml:6:1: optimizers[1]: two optimizers are called 'adam'"),
        (
            OPTIMIZER + '[[optimizers]]\nkind="sgd"\nlabel="adam"\n',
            "b.toml:6:1: optimizers[1]: two optimizers",
        ),
        (OPTIMIZER + f'label = "{"x" * 55}"\nlr = [0.1, 0.2]\n', "b.toml:4:1: optimizers[0]: 'xxx"),
        (
            OPTIMIZER + f"lr = {list(range(1, 10_002))}\n",
            "b.toml:4:1: optimizers[0]: expands to 10,001 tables",
        ),
    ],
)
def test_clashes_and_excesses_are_refused(optimizers: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        _names(tmp_path, optimizers)
    assert caught.value.problems[0].removeprefix(f"{tmp_path}/").startswith(expected)


def test_a_product_too_large_to_expand_is_refused_at_once(tmp_path: Path) -> None:
    values = ", ".join(f"{i / 1e4}" for i in range(1000))
    axes = "".join(f"{key} = [{values}]\n" for key in ("lr", "beta1", "beta2", "eps", "warmup"))
    with pytest.raises(SpecError, match="expands to 1,000,000,000,000,000 tables"):
        _names(tmp_path, OPTIMIZER + axes)
