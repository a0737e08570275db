"""The rules of `mixtures.rules` run as they are written, one document at a time: what the fast
forms in `pipeline.judges.annotators` must equal.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby

from mixtures.rules.benchmark import Benchmark, EvaluationSet, Match, needed
from mixtures.rules.evaluation_text import fold_characters, is_word, unmarked
from mixtures.rules.near import NearRule, Unit
from mixtures.rules.near_text import (
    BASE,
    FNV_OFFSET,
    FNV_PRIME,
    MIX_FIRST,
    MIX_SECOND,
    REACH,
    UNSPACED,
    WHITE_SPACE,
    decomposed,
    permutation,
    stretches,
)
from mixtures.rules.terms import Mode, matches_naive
from mixtures.rules.word_characters import IGNORED_CHARACTERS, SUPERSCRIPT_DIGITS, WORD_CHARACTERS

MASK = (1 << 64) - 1


@cache
def points(table: str) -> frozenset[int]:
    """The code points of a table."""
    return frozenset(point for first, end in stretches(table) for point in range(first, end))


@cache
def word_points() -> frozenset[int]:
    """Code points that are folded."""
    return points(WORD_CHARACTERS) - points(SUPERSCRIPT_DIGITS) - points(IGNORED_CHARACTERS)


def fold_point(point: int) -> str:
    """What a code point becomes: "" (it vanishes), or characters of which a space stands for a
    separator.
    """
    if point in points(IGNORED_CHARACTERS):
        return ""
    if point not in word_points():
        return " "
    kept = [ord(one) for one in decomposed(chr(point)) if not unicodedata.combining(one)]
    return "".join(
        chr(inner) if inner in word_points() else " "
        for inner in kept
        if inner not in points(IGNORED_CHARACTERS)
    )


def plain_point(point: int) -> str:
    """What a code point becomes in a text that is compared as it is."""
    return " " if point in points(WHITE_SPACE) else chr(point)


def unspaced(character: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    return ord(character) in points(UNSPACED)


def fold_evaluation(text: str) -> str:
    """The words by which items and documents are compared."""
    return fold_characters(unmarked(text))


def is_telling(words: list[str]) -> bool:
    """Whether an n-gram of these words counts."""
    return 2 * sum(map(is_word, words)) >= len(words)


def mix(value: int) -> int:
    """Spread a 64-bit number over all bits."""
    value = (value ^ (value >> 30)) * MIX_FIRST & MASK
    value = (value ^ (value >> 27)) * MIX_SECOND & MASK
    return value ^ (value >> 31)


def fold(text: str) -> str:
    """A text as it is compared: words with one space between two."""
    return _spaced("".join(fold_point(ord(character)) for character in text))


def as_it_is(text: str) -> str:
    """A text as verification compares it."""
    return _spaced("".join(plain_point(ord(character)) for character in text))


def _spaced(text: str) -> str:
    return " ".join(word for word in text.split(" ") if word)


def words_of(text: str) -> list[str]:
    """The words of a text in which one space is between two."""
    words = []
    for spaced in text.split(" "):
        for without, run in groupby(spaced, unspaced):
            stretch = "".join(run)
            words += (
                [stretch[at : at + REACH] for at in range(len(stretch))] if without else [stretch]
            )
    return words


def shingle_texts(text: str, unit: Unit, size: int) -> set[str]:
    """The distinct shingles of a text, as text."""
    folded = fold(text)
    tokens = words_of(folded) if unit == "words" else list(folded)
    joint = " " if unit == "words" else ""
    return {joint.join(tokens[at : at + size]) for at in range(len(tokens) - size + 1)}


def _token(word: str) -> int:
    value = FNV_OFFSET
    for character in word:
        value = (value ^ ord(character)) * FNV_PRIME & MASK
    return mix(value)


def shingle_hashes_naive(text: str, unit: Unit, size: int) -> list[int]:
    """The shingles of a text as 64-bit numbers, in the order of the text, repeated as they are: the
    oracle of the kernel.
    """
    return _shingles(_tokens(fold(text), unit), size)


def shingle_set_naive(text: str, unit: Unit, size: int) -> set[int]:
    """The shingles by which a text is verified: the oracle of the kernel."""
    tokens = _tokens(as_it_is(text), unit)
    return set(_shingles(tokens, min(size, len(tokens))))


def _tokens(text: str, unit: Unit) -> list[int]:
    return list(map(_token, words_of(text))) if unit == "words" else list(map(ord, text))


def _shingles(tokens: list[int], size: int) -> list[int]:
    hashes = []
    for at in range(len(tokens) - size + 1):
        value = 0
        for token in tokens[at : at + size]:
            value = (value * BASE + token) & MASK
        hashes.append(mix(value))
    return hashes


def band_keys_naive(text: str, rule: NearRule) -> list[int] | None:
    """The band keys of a text; None if it is shorter than a shingle and so exempt: the oracle of
    the kernel.
    """
    halves = {shingle >> 32 for shingle in shingle_hashes_naive(text, rule.unit, rule.shingle)}
    if not halves:
        return None
    minima = [
        min((a * half + b) % (1 << 32) for half in halves)
        for a, b in map(permutation, range(rule.hashes))
    ]
    keys = []
    for band in range(rule.bands):
        key = mix(band + 1)
        for minimum in minima[band * rule.rows : (band + 1) * rule.rows]:
            key = mix(key ^ minimum)
        keys.append(key)
    return keys


def text_ngrams(text: str, definition: Benchmark) -> set[str]:
    """The distinct telling n-grams of an item's text, each as its words with one space between
    two.
    """
    words, size = fold_evaluation(text).split(), definition.ngram
    if len(words) < size:
        size = len(words) if len(words) >= definition.shortest_words else 0
    runs = [words[start : start + size] for start in range(len(words) - size + 1) if size]
    return {" ".join(run) for run in runs if is_telling(run)}


def item_ngrams(evaluation: EvaluationSet) -> list[set[str]]:
    """The distinct n-grams of each item that count; none: it is not looked for."""
    definition = evaluation.definition
    found = [
        set().union(*(text_ngrams(text, definition) for text in item.texts))
        for item in evaluation.items
    ]
    differing = {frozenset(ngrams) for ngrams in found}
    having = Counter(ngram for ngrams in differing for ngram in ngrams)
    return [{ngram for ngram in ngrams if having[ngram] < definition.shared} for ngrams in found]


def contamination_naive(text: str, sets: Sequence[EvaluationSet]) -> tuple[int, list[Match]]:
    """What a document holds, by the rule as it is written: the oracle of
    `pipeline.judges.annotators.contamination`. Slow.

    Returns: the number of distinct n-grams of all items that contaminate it, and these items in
    their order.
    """
    document = f" {fold_evaluation(text)} "
    held: set[str] = set()
    matches = []
    for evaluation in sets:
        for item, ngrams in zip(evaluation.items, item_ngrams(evaluation), strict=True):
            present = {ngram for ngram in ngrams if f" {ngram} " in document}
            if ngrams and len(present) >= needed(len(ngrams), evaluation.definition.overlap):
                held |= present
                matches.append(
                    Match(evaluation.definition.name, item.where, len(present), len(ngrams))
                )
    return len(held), matches


def count_distinct_naive(text: str, terms: Iterable[str], mode: Mode) -> int:
    """The number of distinct terms that a document holds: the oracle of
    `pipeline.judges.annotators.blocklist.Blocklist.count`.
    """
    return len(matches_naive(text, tuple(terms), mode))
