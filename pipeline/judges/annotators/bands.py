"""Band keys of texts, and their shingle sets for verification; the fast form of
`mixtures.rules.near_text`.

    texts -> UTF-8, one behind the other -> folded code points -> word hashes -> shingle hashes ->
    minima -> band keys

A document's keys depend on its text alone: not on the batch, the other texts, threads (there are
none) or the machine. Speed on a core, 2026-11-22, a 2-core x86-64 machine: 80 to 107 MB/s for word
5-grams of 14 x 8, 26 to 31 MB/s for character 24-grams of 20 x 13
(`tests/benchmarks/bench_minhash.py`). The first call of a process takes a second more, the first of
an installation five.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mixtures.rules.near import NearRule
from mixtures.rules.near_text import fold_point, permutation, word_points

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

# Folding makes at most so many characters of a byte: U+FDFA, three bytes, becomes 18. A test holds
# this.
POINTS_A_BYTE = 6
_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Signatures:
    """bands: uint64 [num_docs, bands], 0 where exempt. exempt: bool [num_docs], True for documents
    shorter than a shingle.
    """

    bands: U64
    exempt: npt.NDArray[np.bool_]


def signatures(texts: Sequence[str], rule: NearRule) -> Signatures:
    """The band keys of each text. Memory: the texts' UTF-8, and 12 to 72 bytes for each byte of the
    longest one.
    """
    from pipeline.judges.annotators import band_kernels as kernels

    content, ends = _packed(texts)
    table, forms = fold_table()
    factors, summands = permutations(rule.hashes)
    keys = np.empty((len(texts), rule.bands), np.uint64)
    exempt = np.empty(len(texts), np.bool_)
    words, room = rule.unit == "words", _room(ends)
    kernels.band_keys(
        content, ends, words, rule.shingle, table, forms, factors, summands, *room, keys, exempt
    )
    return Signatures(keys, exempt)


def shingle_sets(texts: Sequence[str], rule: NearRule) -> list[U64]:
    """The distinct shingle hashes of each text, ascending."""
    from pipeline.judges.annotators import band_kernels as kernels

    content, ends = _packed(texts)
    table, forms = fold_table()
    words, (points, tokens) = rule.unit == "words", _room(ends)
    sets, start = [], np.uint64(0)
    for end in ends:
        count = kernels.shingle_hashes(
            content, start, end, words, rule.shingle, table, forms, points, tokens
        )
        sets.append(np.unique(tokens[:count]))
        start = end
    return sets


def _packed(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], U64]:
    """All texts in UTF-8, and where each ends. A lone surrogate separates words."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([len(content) for content in encoded], dtype=np.uint64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def _room(ends: U64) -> tuple[U32, U64]:
    """Room for the folded text and the tokens of the longest document; what is not written to takes
    no memory.
    """
    longest = POINTS_A_BYTE * int(np.diff(ends, prepend=np.uint64(0)).max(initial=0)) + 1
    return np.empty(longest, np.uint32), np.empty(longest, np.uint64)


@cache
def permutations(count: int) -> tuple[U32, U32]:
    """Factors and summands of the first permutations: uint32 [count] each."""
    pairs = np.array([permutation(number) for number in range(count)], np.uint32)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


@cache
def fold_table() -> tuple[U32, U32]:
    """`fold_point` of all code points: table uint32 [0x110000] and forms uint32, as
    `pipeline.judges.annotators.band_kernels` says. Takes about a second.
    """
    from mixtures.rules.near_text import ignored_points
    from pipeline.judges.annotators.band_kernels import MANY, SEPARATES, VANISHES

    table, forms = (
        np.full(_CODE_POINTS, SEPARATES, np.uint32),
        [0],
    )  # place 0 would look like no place
    for point in word_points() | ignored_points():
        form = [
            ord("0") if 48 <= ord(character) <= 57 else ord(character)
            for character in fold_point(point)
        ]
        if len(form) == 1:
            table[point] = form[0]
        elif not form:
            table[point] = VANISHES
        else:
            table[point] = MANY + len(forms)
            forms += [len(form), *form]
    return table, np.array(forms, np.uint32)
