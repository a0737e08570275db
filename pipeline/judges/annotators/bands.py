"""Band keys of texts, and their shingle sets for verification; the fast form of
`mixtures.rules.near_text`.

    texts -> UTF-8, one behind the other -> folded code points -> word hashes -> shingle hashes ->
    minima -> band keys

A document's keys depend on its text alone: not on the batch, the other texts, threads (there are
none) or the machine. Speed on a core, 2026-11-22, a 2-core x86-64 machine: 80 to 107 MB/s for word
5-grams of 14 x 8, 26 to 31 MB/s for character 24-grams of 20 x 13
(`tests/benchmarks/bench_minhash.py`). The first call of a process takes a fifth of a second more,
the first of an installation five.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

from mixtures.rules.near import NearRule
from mixtures.rules.near_text import WHITE_SPACE, decomposed, permutation, stretches
from mixtures.rules.word_characters import IGNORED_CHARACTERS, SUPERSCRIPT_DIGITS, WORD_CHARACTERS
from pipeline.judges.annotators.folding import Batch, to_utf8
from pipeline.judges.annotators.kernel_arrays import (
    POINTS_A_BYTE,
    U32,
    U64,
    Bytes,
    Folding,
    Permutations,
    Room,
    Shingling,
    Signatures,
    Texts,
)

_CODE_POINTS, _LINE = 0x110000, ord("\n")


def signatures(batch: Batch, rule: NearRule) -> Signatures:
    """The band keys of each text. Memory: the texts' UTF-8, and 12 to 72 bytes for each byte of the
    longest one.
    """
    from pipeline.judges.annotators.band_kernels import band_keys

    packed = _texts(batch.joined, batch.encoded, 3)
    made = Signatures(
        np.empty((len(batch), rule.bands), np.uint64),
        np.empty(len(batch), np.bool_),
        np.empty((len(batch), 2), np.uint64),
    )
    shingling = Shingling(rule.unit == "words", rule.shingle, fold_table(), short=False)
    band_keys(packed, shingling, permutations(rule.hashes), _room(packed), made)
    return made


def shingle_sets(texts: Sequence[str], rule: NearRule) -> list[U64]:
    """The distinct shingle hashes of each text as it is, not folded, ascending: uint64
    [num_shingles] each, at least one but for a text of white space alone.
    """
    from pipeline.judges.annotators.band_kernels import shingle_hashes

    encoded = list(map(to_utf8, texts))
    packed = _texts(np.frombuffer(b" " + b" ".join(encoded), np.uint8), encoded, 1)
    shingling = Shingling(rule.unit == "words", rule.shingle, plain_table(), short=True)
    room, sets = _room(packed), []
    for start, end in zip(packed.starts, packed.ends, strict=True):
        count = shingle_hashes(packed.content, start, end, shingling, room)
        sets.append(np.unique(room.tokens[:count]))
    return sets


def _texts(content: Bytes, encoded: Sequence[bytes], apart: int) -> Texts:
    """Texts one behind the other in uint8 [num_bytes], from its second byte on, so many bytes
    apart.
    """
    sizes = np.array([len(text) for text in encoded], np.uint64)
    ends = np.cumsum(sizes + np.uint64(apart), dtype=np.uint64) - np.uint64(apart - 1)
    return Texts(content, ends - sizes, ends)


def _room(texts: Texts) -> Room:
    """Room for the longest text; what is not written to takes no memory."""
    longest = int((texts.ends - texts.starts).max(initial=0))
    size = POINTS_A_BYTE * longest + 2
    return Room(np.empty(size, np.uint32), np.empty(size, np.uint64))


@cache
def permutations(count: int) -> Permutations:
    """The first ones, as many as `count`."""
    pairs = np.array([permutation(number) for number in range(count)], np.uint32)
    return Permutations(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))


@cache
def fold_table() -> Folding:
    """What each code point becomes where texts are folded (`mixtures.rules.near_text`, 1); all are
    decomposed at once.
    """
    from pipeline.judges.annotators.band_kernels import MANY, SEPARATES, VANISHES

    table = np.full(_CODE_POINTS, SEPARATES, np.uint32)
    for first, end in stretches(WORD_CHARACTERS):
        table[first:end] = np.arange(first, end)
    for kinds, becomes in ((SUPERSCRIPT_DIGITS, SEPARATES), (IGNORED_CHARACTERS, VANISHES)):
        for first, end in stretches(kinds):
            table[first:end] = becomes
    points = np.flatnonzero((table != SEPARATES) & (table != VANISHES))
    # a line feed behind each: it is in no form, and nothing composes or changes places with it
    text = np.full(2 * len(points), _LINE, np.uint32)
    text[::2] = points
    forms = _points(decomposed(text.tobytes().decode("utf-32-le")))
    compared, occurs = table.copy(), np.zeros(_CODE_POINTS, np.bool_)
    occurs[forms] = True
    found = np.flatnonzero(occurs)
    marks = map(unicodedata.combining, found.astype(np.uint32).tobytes().decode("utf-32-le"))
    compared[found[np.fromiter(marks, np.uint8, len(found)) > 0]] = VANISHES
    ends = np.flatnonzero(forms == _LINE)
    kept = compared[forms]
    kept[ends] = VANISHES
    before = np.concatenate(([0], np.cumsum(kept != VANISHES)[ends]))
    counts, kept = np.diff(before), kept[kept != VANISHES]
    table[points[counts == 0]] = VANISHES
    single = counts == 1
    table[points[single]] = kept[before[:-1][single]]
    many = np.flatnonzero(counts > 1)
    places = np.cumsum(counts[many] + 1) - counts[many] - 1
    table[points[many]] = MANY + places
    # each form behind its length
    lengths = np.repeat(places + 1 - before[many], counts[many])
    written = np.zeros(int((counts[many] + 1).sum()), np.uint32)
    written[places] = counts[many]
    taken = np.repeat(counts > 1, counts)
    written[np.flatnonzero(taken) + lengths] = kept[taken]
    return Folding(table, written)


def _points(text: str) -> U32:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@cache
def plain_table() -> Folding:
    """What each becomes where texts are compared as they are. NUL stays, since no sign is looked
    for in ASCII.
    """
    from pipeline.judges.annotators.band_kernels import SEPARATES

    table = np.arange(_CODE_POINTS, dtype=np.uint32)
    for first, end in stretches(WHITE_SPACE):
        table[first:end] = SEPARATES
    return Folding(table, np.empty(0, np.uint32))
