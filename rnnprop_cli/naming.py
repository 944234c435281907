"""How names of files are written so that a shell takes them back."""

import shlex
from typing import Final

_NOT_UTF8: Final = range(0xDC80, 0xDD00)  # what Python makes of the bytes 0x80 to 0xff of such a name
_ESCAPED: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t"}


def shell_word(word: str) -> str:
    """A word as a shell takes it. Bytes that are no text, and control characters, are written out: `$'caf\\xe9.db'`.

    >>> print(shell_word("my runs.db"), shell_word("caf\\udce9.db"))
    'my runs.db' $'caf\\xe9.db'
    """
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_written_out, word)) + "'"


def shell_line(*words: object) -> str:
    """A command line that a reader can paste, whatever the names in it hold."""
    return " ".join(shell_word(str(word)) for word in words)


def _written_out(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isprintable():
        return character
    if ord(character) in _NOT_UTF8:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def bytes_written_out(text: str) -> str:
    """A message in which bytes that are no text are written as in `shell_word`: so says an error which file it means.

    >>> print(bytes_written_out("caf\\udce9.db: there is no database"))
    caf\\xe9.db: there is no database
    """
    return "".join(_written_out(c) if ord(c) in _NOT_UTF8 else c for c in text)
