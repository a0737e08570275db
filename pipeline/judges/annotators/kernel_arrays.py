"""The arrays that the kernels of annotators take, as named tuples, which numba knows. Nothing here
imports numba.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

POINTS_A_BYTE = 6
"""Folding makes at most so many code points of a byte: U+FDFA, three bytes, becomes 18."""
KEPT, BLANK, OPEN = 0, 1, 2
"""Kinds of characters, as tables of them say."""


class Words(NamedTuple):
    """The words of a buffer, marks included, as `pipeline.judges.annotators.ngram_kernels` has
    them.

    buffer: uint8 [num_bytes]. starts: int32 or int64 [num_words], the first byte of each word.
    sums: uint64 [num_words + 1], of the hashes before each word and behind the last one.
    """

    buffer: Bytes
    starts: npt.NDArray[Any]
    sums: U64

    @property
    def marks(self) -> I64:
        """The byte that ends each text: int64 [num_texts]."""
        return np.flatnonzero(self.buffer == 0)


class Bitmap(NamedTuple):
    """Says of a 64-bit hash that it is unknown, or that it may be known. bits: uint8 [2**(61 -
    shift)]; a hash's bit is the number that its mixed bits from `shift` up make.
    """

    bits: Bytes
    shift: np.uint64


class Ngrams(NamedTuple):
    """Distinct n-grams, as `find_ngrams` looks for them.

    hashes: uint64 [num_ngrams], ascending. content: uint8 [num_bytes], folded texts; lows, highs:
        int64 [num_ngrams], the bytes of each n-gram in it, one space between two words.
    powers: uint64 [MAX_NGRAM + 1], of the base. sizes: int64 [num_sizes], distinct, in words.
    window, stride: in words. known: of the hashes; known_windows: of the windows that begin at one
        of the first `stride` words of an n-gram.
    """

    hashes: U64
    content: Bytes
    lows: I64
    highs: I64
    powers: U64
    sizes: I64
    window: int
    stride: int
    known: Bitmap
    known_windows: Bitmap


class Substrings(NamedTuple):
    """Distinct substrings, as `find_substrings` looks for them.

    content: uint8 [num_bytes]; lows, highs: int64 [num_substrings], the bytes of each in it.
    window: bytes of a window, at most 8; stride: in bytes.
    known: of the windows, little-endian, the last byte highest.
    keys: uint64 [num_keys], ascending: the windows times MIX, which is one to one; those whose
        highest bits, from `shift` up, are n have the places buckets[n] to below buckets[n + 1].
    rows: int64 [num_keys], the substring of each window; places: its first byte in that.
    """

    content: Bytes
    lows: I64
    highs: I64
    window: int
    stride: int
    known: Bitmap
    keys: U64
    buckets: I64
    shift: np.uint64
    rows: I64
    places: I64


class Hits(NamedTuple):
    """Room for occurrences of n-grams or substrings. word: int64 [room], the first word or byte of
    each; row: int64 [room], its row in `Ngrams` or `Substrings`.
    """

    word: I64
    row: I64


class Texts(NamedTuple):
    """Texts in UTF-8, one behind the other. content: uint8 [num_bytes]; starts, ends: uint64
    [num_docs], the first byte of each, and the byte behind it.
    """

    content: Bytes
    starts: U64
    ends: U64


class Folding(NamedTuple):
    """What folding makes of each code point.

    table: uint32 [0x110000]: SEPARATES, VANISHES, another code point, or MANY + a place in `forms`.
    forms: uint32, at such a place the number of code points, and these behind it.
    """

    table: U32
    forms: U32


class Shingling(NamedTuple):
    """What a shingle is. of_words: of words, else of characters. size: in these. short: whether a
    text with fewer of them has one of all that it has, or none.
    """

    of_words: bool
    size: int
    folding: Folding
    short: bool


class Permutations(NamedTuple):
    """factors, summands: uint32 [num_hashes] each; a hash h becomes h * factor + summand."""

    factors: U32
    summands: U32


class Room(NamedTuple):
    """What a document's text is worked on in, POINTS_A_BYTE of each for a byte of the longest one
    and two more. points: uint32, its folded code points; tokens: uint64, hashes of its words, then
    of its shingles.
    """

    points: U32
    tokens: U64


class Signatures(NamedTuple):
    """bands: uint64 [num_docs, bands], 0 where exempt. exempt: bool [num_docs], True for documents
    shorter than a shingle. points: uint64 [num_docs, 2], code points of the folded text, and those
    of scripts that are written without spaces.
    """

    bands: U64
    exempt: Flags
    points: U64
