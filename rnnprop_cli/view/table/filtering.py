"""The filter above a table of runs: words that must all fit.

adam|rms          a regular expression, anywhere in a row's text, upper and lower case alike (RE2's, which takes time
                  in proportion to the text, whatever is typed)
!untuned          a word with ! must not fit
depth:>2  lr:<.1  a number compared; also =, >=, <= and a range 1..3
status:diverged   any key takes a regular expression
"""

import difflib
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import re2

Value = str | float | None
_OPTIONS = re2.Options()
_OPTIONS.case_sensitive = False
_OPTIONS.log_errors = False
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Subject:
    """What a filter looks at: all of a row's text, and its values by key."""

    text: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Filter:
    """A parsed filter; the empty one fits everything."""

    text: str = ""
    problem: str = (
        ""  # what could not be understood; an unknown key is left out, else the word is taken literally
    )
    tests: tuple[Callable[[Subject], bool], ...] = ()

    def fits(self, subject: Subject) -> bool:
        """Whether every word fits."""
        return all(test(subject) for test in self.tests)


def parse_filter(text: str, keys: tuple[str, ...], elsewhere: tuple[str, ...] = ()) -> Filter:
    """Understand what was typed; never fails, since it is parsed anew with every key.

    Args:
        text: what was typed.
        keys: those that the rows have.
        elsewhere: keys of other rows, which say nothing here.

    >>> adam = Subject("adam done", {"depth": 2.0})
    >>> parse_filter("ADA !failed depth:>1", ("depth",)).fits(adam)
    True
    """
    tests, problems = [], []
    for word in text.split():
        if key := _unknown_key(word, keys):
            if key not in elsewhere:
                problems.append(_no_such_key(key, keys))
            continue
        try:
            tests.append(_test(word, keys))
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            problems.append(
                f"{word}: {reason.decode('utf-8', 'replace') if isinstance(reason, bytes) else reason}"
            )
            tests.append(_search(re2.escape(_text_of(word))))
    return Filter(text, "; ".join(problems), tuple(tests))


def _unknown_key(word: str, keys: tuple[str, ...]) -> str:
    """What looks like a key and is none; empty where there is no such thing."""
    key, colon, _ = word.lstrip("!").partition(":")
    return key if colon and key.isidentifier() and key not in keys else ""


def _no_such_key(key: str, keys: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, keys, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(keys)}"
    return f"no key {key}: {hint}"


def _test(word: str, keys: tuple[str, ...]) -> Callable[[Subject], bool]:
    if word.startswith("!") and len(word) > 1:
        inner = _test(word[1:], keys)
        return lambda subject: not inner(subject)
    key, colon, wanted = word.partition(":")
    if colon and key in keys:
        return _value_test(key, wanted)
    return _search(word)


def _search(pattern: str) -> Callable[[Subject], bool]:
    found = _finder(pattern)
    return lambda subject: found(subject.text)


def _finder(pattern: str) -> Callable[[str], bool]:
    compiled = re2.compile(_text_of(pattern), _OPTIONS)
    return lambda text: compiled.search(_text_of(text)) is not None


def _text_of(text: str) -> str:
    """Without lone surrogates, which RE2 cannot read."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _value_test(key: str, wanted: str) -> Callable[[Subject], bool]:
    low, dots, high = wanted.partition("..")
    if dots and (bounds := (_number(low or "-inf"), _number(high or "inf"))) and None not in bounds:
        first, last = bounds
        return lambda subject: _in_range(subject.values.get(key), first, last)
    for sign, compare in _COMPARISONS.items():
        if wanted.startswith(sign) and (bound := _number(wanted[len(sign) :])) is not None:
            return lambda subject: _compared(subject.values.get(key), compare, bound)
    if (number := _number(wanted)) is not None:
        return lambda subject: _equals(subject.values.get(key), number, wanted)
    found = _finder(wanted)
    return lambda subject: found(_text(subject.values.get(key)))


def _number(text: str) -> float | None:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return None


def _text(value: Value) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"


def _in_range(value: Value, first: float | None, last: float | None) -> bool:
    if not isinstance(value, float) or first is None or last is None:
        return False
    return first <= value <= last


def _compared(value: Value, compare: Callable[[float, float], bool], bound: float) -> bool:
    return isinstance(value, float) and compare(value, bound)


def _equals(value: Value, number: float, written: str) -> bool:
    if isinstance(value, float):
        return math.isclose(value, number, rel_tol=1e-3)
    return written.lower() in _text(value).lower()
