"""Where in a text the terms of a blocklist stand: places are characters of the text as it is, from
the first of a term to one past its last, whatever folding makes of what lies between.

- `published`: the characters of which the lower-cased form is the term's. A character that becomes
  several (U+0130) is in a place if any of these is.
- `words`: from the first character of the term's first word to the last of its last. Separators,
  soft hyphens and zero-width characters inside are part of it, those around it are not. Where one
  word of the text folds into several ("1/2" as one character), a term of any of them has all of
  it.

Nested, overlapping and repeated terms have a place each.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate

from mixtures.rules.terms import Mode
from mixtures.rules.word_characters import (
    IGNORED_CHARACTERS,
    SUPERSCRIPT_DIGITS,
    WORD_CHARACTERS,
    character_class,
    fold_words,
)

Place = tuple[int, int]
"""The first character, and one past the last."""


def term_places(text: str, needles: Iterable[str], mode: Mode) -> list[Place]:
    """Every place of some terms.

    Args:
        needles: terms in their normal form (`TermList.needles`).
    """
    find = _published_places if mode == "published" else _word_places
    return list(find(text, needles))


def _published_places(text: str, needles: Iterable[str]) -> Iterator[Place]:
    lowered = text.lower()
    # lower-cased characters up to and with each of the text
    ends = None if len(lowered) == len(text) else list(accumulate(len(one.lower()) for one in text))
    for needle in needles:
        for start in _occurrences(lowered, needle):
            end = start + len(needle)
            if ends is None:
                yield start, end
            else:
                yield bisect_left(ends, start + 1), bisect_left(ends, end) + 1


def _word_places(text: str, needles: Iterable[str]) -> Iterator[Place]:
    words = list(folded_words(text))
    padded = "".join(f" {word}" for word, _, _ in words) + " "
    # where the space before each word stands in `padded`
    spaces = [0, *accumulate(len(word) + 1 for word, _, _ in words)]
    for needle in needles:
        for start in _occurrences(padded, f" {needle} "):
            first = bisect_left(spaces, start)
            yield words[first][1], words[first + needle.count(" ")][2]


def folded_words(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of `fold_words(text)`, each with the place that it comes from."""
    for found in _chunks().finditer(text):
        for word in fold_words(found[0]).split():
            yield word, found.start(), found.end()


@cache
def _chunks() -> re.Pattern[str]:
    """Matches each stretch that folds by itself: digits that are raised, or other characters of
    words, with what is ignored between them.
    """
    ignored, raised, words = (
        character_class(table)
        for table in (IGNORED_CHARACTERS, SUPERSCRIPT_DIGITS, WORD_CHARACTERS)
    )
    other = f"(?![{ignored}{raised}])[{words}]"
    return re.compile(
        f"[{raised}](?:[{ignored}]*[{raised}])*|(?:{other})(?:[{ignored}]*(?:{other}))*"
    )


def _occurrences(text: str, needle: str) -> Iterator[int]:
    """Where a string begins in another, overlapping ones, too."""
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)
