"""What a TOML parser would choke on, found before it begins: no spec is nested so deeply or has keys of so many parts.

A parser's time grows with the square of the parts of a dotted key, and its stack with the nesting. One pass over the
text, which need not be valid; strings and comments are passed over.
"""

import re
from typing import Final

MAX_DEPTH: Final = 32
MAX_KEY_PARTS: Final = 32

_TOKEN: Final = re.compile(r"\"\"\"|'''|\"|'|\\.|\\\n|[\[\]{}.=,#\n]")
_CLOSED_BY: Final = {'"""': '"""', "'''": "'''", '"': '"', "'": "'", "#": "\n"}


def excess(text: str) -> tuple[int, str] | None:
    """Offset and description of the first thing that no spec has; None if there is nothing of that sort."""
    until = ""  # what ends the string or the comment that we are in
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if until:
            in_literal = until in ("'", "'''", "\n")  # where a backslash means nothing
            if token == until or (len(until) == 1 and (token == "\n" or (in_literal and until in token))):
                until = ""
                if token == "\n":
                    dots = 0
        elif token in _CLOSED_BY:
            until = _CLOSED_BY[token]
        elif token == ".":
            dots += 1
            if dots >= MAX_KEY_PARTS:
                return match.start(), f"made of a key of more than {MAX_KEY_PARTS} parts"
        elif token in "[{":
            depth, dots = depth + 1, 0
            if depth > MAX_DEPTH:
                return match.start(), f"nested more than {MAX_DEPTH} deep"
        elif token in "]}":
            depth, dots = max(depth - 1, 0), 0
        else:
            dots = 0
    return None
