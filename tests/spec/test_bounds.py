"""What is nested too deeply or has keys of too many parts is found before the parser begins, and nothing else is."""

import time
from pathlib import Path

import pytest

from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.bounds import MAX_KEY_PARTS, excess
from rnnprop_cli.spec.source import parse, read

SPECS = Path(__file__).parents[2] / "bench_specs"


@pytest.mark.parametrize(
    "text",
    [
        "a." * 300_000 + "b = 1",
        "[" + "a." * 300_000 + "b]",
        '"a".' * 200_000 + "b = 1",
        "x = " + "[" * 300_000,
        "x = " + "{a=" * 200_000,
        "x = 1 # '''\n" + "a . " * 100_000 + "b = 1",
        'x = """ " \\""" """\n' + "a." * 1000 + "b = 1",
        "x = '\\'\n" + "a." * 1000 + "b = 1",
        'x = "a\n' + "a." * 1000 + "b = 1",
    ],
)
def test_it_is_refused_at_once(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(SpecError, match="which no spec is"):
        parse(text, "x.toml")
    assert time.monotonic() - started < 2  # milliseconds on a quiet machine


@pytest.mark.parametrize(
    "text",
    [
        "# " + "." * 500,
        'description = "' + "." * 500 + '"',
        "description = '''\n" + "." * 500 + "\n[[[['''",
        'description = """\\\n ' + '. \\" ' * 100 + '"""',
        "lr = [" + "0.5, " * 500 + "]",
        "x = [" + "[1], " * 100 + "]",
        "a" + ".a" * (MAX_KEY_PARTS - 1) + " = 1",
        "[a.b]\nc.d = 1.5\n" * 3,
    ],
)
def test_ordinary_text_is_not(text: str) -> None:
    assert excess(text) is None


@pytest.mark.parametrize(
    "text", ['"""' * 200_001, '"' * 300_001, "'''\\" * 150_000, '"""\\' * 150_000, "=" * 500_000]
)
def test_whatever_it_is_given_it_takes_a_moment(text: str) -> None:
    started = time.monotonic()
    excess(text)
    assert time.monotonic() - started < 2


def test_no_spec_of_ours_is_near_the_bounds() -> None:
    for path in SPECS.rglob("*.toml"):
        assert read(path).data
