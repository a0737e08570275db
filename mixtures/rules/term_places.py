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
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

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
    if mode == "published":
        return list(_published_places(text, needles))
    settled = _settled(text)
    return list(_word_places(text, needles) if settled is None else _found(settled, needles))


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


def _found(settled: str, needles: Iterable[str]) -> Iterator[Place]:
    """As `_word_places`, in what `_settled` gives."""
    for needle in needles:
        words = needle.split(" ")
        pattern = re.compile(" +".join(words) + "(?= |$)")
        for start in _occurrences(settled, words[0]):
            if settled[max(start - 1, 0) : start] in ("", " ") and (
                found := pattern.match(settled, start)
            ):
                yield found.span()


def _settled(text: str) -> str | None:
    """A text in which each character is folded, with a space for each separator; None if one is
    not known to fold by itself into one.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    folded = _alone()[np.minimum(codes, _KNOWN)]
    return None if (folded == _OPEN).any() else folded.tobytes().decode("utf-32-le")


_KNOWN = 0x2C00
_OPEN = 0x10FFFF


@cache
def _alone() -> npt.NDArray[np.uint32]:
    """What each character becomes, by its code point, _OPEN for those that depend on their
    neighbours or become several, and for all from _KNOWN on: uint32 [_KNOWN + 1].

    Known are ASCII, Latin letters and general punctuation, of which English text is made: none of
    them composes with what stands before it.
    """
    table = np.full(_KNOWN + 1, _OPEN, "<u4")
    for code in (*range(0x300), *range(0x2000, _KNOWN)):
        folded = fold_words(f"x{chr(code)}x")
        if len(folded) == 3 and (folded[1] == " " or code < 0x300):
            table[code] = ord(folded[1])
    return table


def folded_words(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of `fold_words(text)`, each with the place that it comes from."""
    stretches, chunks = _patterns()
    for stretch in stretches.finditer(text):
        if stretch[0].isascii():
            yield stretch[0].lower(), *stretch.span()
            continue
        for chunk in chunks.finditer(text, *stretch.span()):
            for word in _folded(chunk[0]):
                yield word, *chunk.span()


_folded = lru_cache(1 << 14)(lambda chunk: fold_words(chunk).split())


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What matches each stretch of a text without a separator, and in it each chunk that folds by
    itself: digits that are raised, or other characters of words, with what is ignored between them.
    """
    ignored, raised, words = (
        character_class(table)
        for table in (IGNORED_CHARACTERS, SUPERSCRIPT_DIGITS, WORD_CHARACTERS)
    )
    other = f"(?![{ignored}{raised}])[{words}]"
    chunk = f"[{raised}](?:[{ignored}]*[{raised}])*|(?:{other})(?:[{ignored}]*(?:{other}))*"
    return re.compile(f"[{words}{ignored}]+"), re.compile(chunk)


def _occurrences(text: str, needle: str) -> Iterator[int]:
    """Where a string begins in another, overlapping ones, too."""
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)
