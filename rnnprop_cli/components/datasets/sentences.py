"""A text that needs no file: sentences made from a small grammar, always the same ones.

It has what makes texts hard in small: words to spell, an order of their kinds, and an agreement of a verb with the
subject before it. The first nine tenths are to train on, the rest is held out.
"""

from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source
from rnnprop_cli.components.datasets.text import Characters, characters_of

CHARACTERS: Final = 100_000
_SEED: Final = 1

_ARTICLES: Final = ("the", "some", "no", "any")
_ADJECTIVES: Final = ("old", "small", "quiet", "green", "happy", "quick", "brave", "odd")
_NOUNS: Final = ("fox", "judge", "river", "wizard", "clock", "queen", "tax", "vet", "oak", "bird")
_VERBS: Final = ("like", "find", "jump over", "thank", "mix", "visit", "keep", "paint")
_ENDINGS: Final = ("slowly", "again", "at dawn", "by luck", "in the zoo")


class Sentences(Source):
    """Needs no file."""

    name = "sentences"
    origin = "made here"

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        return _made().facts()

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        return _made().dataset(self.name, f"{CHARACTERS:,} characters of made sentences")


SOURCE = Sentences()


@cache
def _made() -> Characters:
    random = Random(_SEED)
    text = ""
    while len(text) < CHARACTERS:
        text += _sentence(random) + ". "
    return characters_of(text[:CHARACTERS])


def _sentence(random: Random) -> str:
    """e.g. "some old foxes thank the quiet judge again"."""
    subject, many = _phrase(random)
    verb, *rest = _one(random, _VERBS).split()
    words = [
        *subject,
        verb if many else f"{verb}{'es' if verb.endswith('x') else 's'}",
        *rest,
        *_phrase(random)[0],
    ]
    return " ".join([*words, _one(random, _ENDINGS)] if random.random() < 0.4 else words)


def _phrase(random: Random) -> tuple[list[str], bool]:
    """Words, and whether they stand for many."""
    many = random.random() < 0.5
    adjectives = [_one(random, _ADJECTIVES)] if random.random() < 0.5 else []
    noun = _one(random, _NOUNS)
    plural = f"{noun}{'es' if noun.endswith('x') else 's'}"
    return [_one(random, _ARTICLES), *adjectives, plural if many else noun], many


def _one(random: Random, words: tuple[str, ...]) -> str:
    return words[int(random.random() * len(words))]  # of all draws, this one is the same in every Python
