"""Words and pairs of words of texts as bucket numbers: fixed integer hashing of UTF-8 bytes,
vectorised over a batch.

A word is a run of letters and digits; every other ASCII character ends it, and so does the Unicode
punctuation listed here. Every other character from U+0080 is a letter. Letters are lower-cased by a
table of this module (ASCII, Latin-1, Latin Extended-A, basic Greek and Cyrillic); soft hyphens and
zero-width characters vanish. Python's own Unicode tables are not asked, since they change with its
version. A run of more than 24 bytes is cut every 24 bytes, so that a megabyte without a space costs
what a megabyte costs.

    word hash   h = 0; for each 8 bytes b of the word, zero-padded, little-endian:  h = (h ^ b) * A;
    h ^= h >> 32     (mod 2^64)
    1-gram      bucket = (h * A) >> (64 - bits)
    2-gram      bucket = ((h1 * B + h2) * A) >> (64 - bits)

Words make windows of at most `window_words`, in order and without overlap; a 2-gram never reaches
over a window's end. Both kinds share the 2^bits buckets. Scoring runs at 40 to 50 MB of text a
second on one shared core (tests/benchmarks/bench_classifier.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from pipeline.judges.classifiers.scores import encoded

A = np.uint64(0x9E3779B97F4A7C15)  # odd, 2^64 / golden ratio (Knuth, TAOCP 3, 6.4)
B = np.uint64(0xD6E8FEB86659FD93)  # odd, tells (x, y) from (y, x)
PIECE_BYTES = 24
_BLOCK_BYTES = 8
_SPACE = 0x20

INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen and zero-width characters: removed, so that they cannot hide a word."""
SEPARATORS = (
    (0x80, 0xA9), (0xAB, 0xB1), (0xB4, 0xB4), (0xB6, 0xB8), (0xBB, 0xBF), (0xD7, 0xD7),
    (0xF7, 0xF7), (0x1680, 0x1680), (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF),
    (0x2E00, 0x2E7F), (0x3000, 0x3004), (0x3008, 0x3020), (0x3030, 0x3030), (0xFE10, 0xFE1F),
    (0xFE30, 0xFE6F), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),
    (0xFFF9, 0xFFFD),
)  # fmt: skip
"""Inclusive ranges of code points from U+0080 that end a word: spaces, punctuation, currency,
arrows, mathematics, replacement.
"""
LOWER = (
    (0xC0, 0xD6, 1, 0x20), (0xD8, 0xDE, 1, 0x20), (0x100, 0x12E, 2, 1), (0x132, 0x136, 2, 1),
    (0x139, 0x147, 2, 1), (0x14A, 0x176, 2, 1), (0x178, 0x178, 1, -0x79), (0x179, 0x17D, 2, 1),
    (0x386, 0x386, 1, 0x26), (0x388, 0x38A, 1, 0x25), (0x38C, 0x38C, 1, 0x40),
    (0x38E, 0x38F, 1, 0x3F), (0x391, 0x3A1, 1, 0x20), (0x3A3, 0x3AB, 1, 0x20),
    (0x400, 0x40F, 1, 0x50), (0x410, 0x42F, 1, 0x20), (0x460, 0x480, 2, 1), (0x48A, 0x4BE, 2, 1),
    (0x4D0, 0x52E, 2, 1),
)  # fmt: skip
"""(first, last, step, distance) of capital letters that lower-case to one letter of as many bytes.
"""

Buckets = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]


class Features(NamedTuple):
    """The n-grams of a batch of documents.

    unigrams: int64 [num_words], bucket of each word, in order.
    bigrams: int64 [num_words - 1], bucket of each word with the next; to be ignored where the next
        begins a window.
    window_first: int64 [num_windows], index of each window's first word.
    document_first: int64 [num_docs], index of each document's first window.
    """

    unigrams: Buckets
    bigrams: Buckets
    window_first: npt.NDArray[np.int64]
    document_first: npt.NDArray[np.int64]

    @property
    def window_words(self) -> npt.NDArray[np.int64]:
        """Words of each window: int64 [num_windows], each at least 1."""
        return np.diff(self.window_first, append=len(self.unigrams))


def features(texts: Sequence[str], bits: int, window_words: int, where: str) -> Features:
    """Hash every word and pair of neighbours.

    Args:
        bits: log2 of the number of buckets.
        window_words: words of a window; 0 for one window a document.
    Raises:
        InputError: a text holds no word or a lone surrogate.
    """
    data, document_starts = _folded(texts, where)
    starts, lengths = _words(data)
    first_word = np.searchsorted(starts, document_starts)
    num_words = np.diff(first_word, append=len(starts))
    if len(texts) and not num_words.all():
        at = int(np.flatnonzero(num_words == 0)[0])
        raise InputError(
            f"{where}: document {at} of the batch holds no word and cannot be scored; leave it out"
        )
    hashes = _hashes(data, starts, lengths)
    shift = np.uint64(64 - bits)
    pairs = hashes[:-1] * B
    pairs += hashes[1:]
    pairs *= A
    pairs >>= shift
    hashes *= A
    hashes >>= shift
    window_first, document_first = _windows(first_word, num_words, window_words)
    return Features(hashes.view(np.int64), pairs.view(np.int64), window_first, document_first)


def _windows(
    first: npt.NDArray[np.int64], count: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First word of each window, int64 [num_windows], and first window of each document, int64
    [num_docs]. first, count: int64 [num_docs], words of each document.
    """
    num_windows = -(-count // size) if size else np.ones_like(count)
    document_first = np.cumsum(num_windows) - num_windows
    inside = np.arange(int(num_windows.sum()), dtype=np.int64) - np.repeat(
        document_first, num_windows
    )
    return np.repeat(first, num_windows) + inside * size, document_first


def _folded(texts: Sequence[str], where: str) -> tuple[bytearray, npt.NDArray[np.int64]]:
    """All texts in lower case with one byte value for all that ends a word, and the first byte of
    each: int64 [num_texts].

    A space goes before every text; zeros enough for an unaligned read follow the last.
    """
    pieces = [
        text.encode("ascii") if text.isascii() else encoded(text, at, where)
        for at, text in enumerate(texts)
    ]
    data = _joined(pieces)
    if not all(map(str.isascii, texts)) and not _fold_unicode(np.frombuffer(data, np.uint8)):
        for character in _INVISIBLE:
            pieces = [piece.replace(character, b"") for piece in pieces]
        data = _joined(pieces)
        _fold_unicode(np.frombuffer(data, np.uint8))
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return data, np.cumsum(lengths + 1) - lengths


def _joined(pieces: list[bytes]) -> bytearray:
    return bytearray(b" ").join([b"", *pieces, b" " * (2 * _BLOCK_BYTES)]).translate(_ASCII)


def _fold_unicode(data: npt.NDArray[np.uint8]) -> bool:
    """Lower-case letters and blank separators of two and three bytes, in place; both keep their
    length. data: uint8 [num_bytes], UTF-8.

    Returns False at once if there is an invisible character, which has to be taken out of the text
    first: looking for each of them in every text would cost more than all the rest.
    """
    two, ends, invisible = _UNICODE
    lead = np.flatnonzero(data >= 0xC2)
    first = data[lead]
    at = lead[first < 0xE0]
    short = (data[at].astype(np.int64) & 0x1F) << 6 | data[at + 1] & 0x3F
    at_three = lead[(first >= 0xE0) & (first < 0xF0)]
    long = (
        (data[at_three].astype(np.int64) & 0x0F) << 12
        | (data[at_three + 1].astype(np.int64) & 0x3F) << 6
        | data[at_three + 2] & 0x3F
    )
    if invisible[short].any() or invisible[long].any():
        return False
    folded = two[short]
    data[at], data[at + 1] = folded >> 8, folded & 0xFF
    blank = at_three[ends[long]]
    data[blank] = data[blank + 1] = data[blank + 2] = _SPACE
    return True


def _words(data: bytearray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First byte and length of every word, long runs cut: int64 [num_words] each."""
    letter = np.frombuffer(data, np.uint8) != _SPACE
    edges = np.flatnonzero(letter[1:] ^ letter[:-1]) + 1
    starts = edges[0::2]
    lengths = edges[1::2] - starts
    if len(lengths) and int(lengths.max()) > PIECE_BYTES:
        pieces = -(-lengths // PIECE_BYTES)
        inside = np.arange(int(pieces.sum()), dtype=np.int64) - np.repeat(
            np.cumsum(pieces) - pieces, pieces
        )
        inside *= PIECE_BYTES
        starts = np.repeat(starts, pieces) + inside
        lengths = np.minimum(np.repeat(lengths, pieces) - inside, PIECE_BYTES)
    return starts, lengths


def _hashes(
    data: bytearray, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> _Hashes:
    """The word hashes, uint64 [num_words], 8 bytes of all words at a time. starts, lengths: int64
    [num_words], bytes.
    """
    # The 8 bytes that begin at each byte: windows that overlap, without a copy.
    blocks = np.ndarray((len(data) - _BLOCK_BYTES,), "<u8", data, 0, (1,))
    hashes: _Hashes = blocks[starts].astype(np.uint64, copy=False)
    hashes &= _MASKS.take(lengths, mode="clip")
    _stir(hashes)
    for done in range(_BLOCK_BYTES, PIECE_BYTES, _BLOCK_BYTES):
        longer = np.flatnonzero(lengths > done)
        more = blocks[starts[longer] + done] & _MASKS.take(lengths[longer] - done, mode="clip")
        more ^= hashes[longer]
        _stir(more)
        hashes[longer] = more
    return hashes


def _stir(hashes: _Hashes) -> None:
    hashes *= A
    hashes ^= hashes >> np.uint64(32)


def _ascii_table() -> bytes:
    folded = (chr(byte).lower() if chr(byte).isalnum() else " " for byte in range(0x80))
    return "".join(folded).encode("ascii") + bytes(range(0x80, 0x100))


def _unicode_tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Two folded bytes of every code point below U+0800 (int64 [0x800], the first byte above the
    second); whether one below U+10000 ends a word, and whether it is invisible (bool [0x10000]).
    """
    ends = np.zeros(0x10000, np.bool_)
    for first, last in SEPARATORS:
        ends[first : last + 1] = True
    points = np.arange(0x800, dtype=np.int64)
    for first, last, step, distance in LOWER:
        points[first : last + 1 : step] += distance
    two = (0xC0 | points >> 6) << 8 | 0x80 | points & 0x3F
    two[ends[:0x800]] = _SPACE << 8 | _SPACE
    invisible = np.zeros(0x10000, np.bool_)
    invisible[[ord(character) for character in INVISIBLE]] = True
    return two, ends, invisible


_INVISIBLE = tuple(character.encode("utf-8") for character in INVISIBLE)
_ASCII = _ascii_table()
_UNICODE = _unicode_tables()
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(_BLOCK_BYTES + 1)], np.uint64)
