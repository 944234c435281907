import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.view.safe_text import safe_text


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]52;c;aGk=\x07", "�]52;c;aGk=�"),
        ("a\u202eb", "a�b"),
        ("c1\x9b31m", "c1�31m"),
        ("zero\u200bwidth", "zero�width"),
        ("lone\ud800", "lone�"),
        ("tab\tnew\nline", "tab�new�line"),
    ],
)
def test_terminal_controls_are_replaced(hostile: str, harmless: str) -> None:
    assert safe_text(hostile) == harmless


def test_newlines_stay_where_asked() -> None:
    assert safe_text("a\nb\r", keep_newlines=True) == "a\nb�"


@pytest.mark.parametrize("plain", ["", "mlp5 x=.1", "β₁ = 0.95 ✗", "日本語"])
def test_ordinary_text_is_unchanged(plain: str) -> None:
    assert safe_text(plain) == plain


@given(st.text(st.characters()))
def test_nothing_of_category_c_is_left(text: str) -> None:
    safe = safe_text(text)
    assert len(safe) == len(text)
    assert not any(unicodedata.category(character).startswith("C") for character in safe)
    assert safe_text(safe) == safe
