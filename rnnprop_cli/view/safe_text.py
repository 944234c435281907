"""Text that is safe to put on a terminal.

Names and messages come from files, databases and exceptions, and may hold escape sequences that move the
cursor, retitle the window or write to the clipboard. Every such text passes through here before it is shown.
"""

import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def safe_text(text: str, *, keep_newlines: bool = False) -> str:
    """Replace every character of Unicode category C (control, format, surrogate, private, unassigned).

    Args:
        text: anything; it may hold escape sequences, direction overrides or lone surrogates.
        keep_newlines: leave ``\\n`` as it is, for text shown over several lines.

    Returns:
        Text of the same length in which each dangerous character has become U+FFFD.

    >>> safe_text("run\\x1b[31m")
    'run\N{REPLACEMENT CHARACTER}[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if not unicodedata.category(character).startswith("C") or (keep_newlines and character == "\n")
        else REPLACEMENT
        for character in text
    )
