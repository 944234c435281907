"""Names in less room than they need: cut in the middle, for what tells names apart is often at their end."""

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size


def shorten(text: str, width: int, *, tail: float = 0.4) -> str:
    """At most `width` cells of a text, the middle left out.

    >>> shorten("deep_mlp_with_replacement", 12)
    'deep_ml…ment'

    Args:
        text: a name.
        width: in cells.
        tail: the share of what is left that is taken from the end.
    """
    if cell_len(text) <= width:
        return text
    if width < 5 or not tail:
        return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" if width > 0 else ""
    end = round((width - 1) * tail)
    head, foot = set_cell_size(text, width - 1 - end), text[len(text) - end :]
    while cell_len(foot) > end:
        foot = foot[1:]
    return f"{head}…{foot}"


def distinct(texts: Sequence[str], width: int) -> list[str]:
    """Each text in at most `width` cells, so that no two look the same as far as the room allows.

    Names that are cut alike are cut elsewhere; where that does not help, or the texts are the same, they are numbered.

    >>> distinct(["adam", "adam", "sgd"], 8)
    ['adam', 'adam #2', 'sgd']
    """
    shown = [shorten(text, width) for text in texts]
    for share in (0.6, 0.8, 0.2):
        alike = Counter(shown)
        shown = [
            shorten(text, width, tail=share) if alike[short] > 1 else short
            for text, short in zip(texts, shown, strict=True)
        ]
    seen: Counter[str] = Counter()
    numbered = []
    for text, short in zip(texts, shown, strict=True):
        seen[short] += 1
        mark = f" #{seen[short]}"
        numbered.append(short if seen[short] == 1 else shorten(text, max(width - len(mark), 1)) + mark)
    return numbered
