"""Where in a batch of documents a blocklist's terms may stand: cheap, vectorised, and it never
loses a match.

A batch is one buffer of normalised bytes in which every document ends in a mark, a byte that no
document holds. A prefilter looks at whole columns of 64-bit keys made from the buffer and returns
spans, byte ranges inside one document each, such that every occurrence of every term lies inside a
span. The automaton (`pipeline.judges.annotators.blocklist`) then reads the spans alone. A span too
many costs time, never truth; so hashes may collide here.

`WordPairs` (mode words): a key a word, from its length and first 8 bytes; a term is looked for by
the rarest pair of neighbouring words in it. Runs of spaces need not be collapsed first. `Windows`
(mode published): the 8 bytes at every fourth byte; a term of 11 bytes or more covers one of these
wherever it starts, so 4 windows of it are looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Spans = tuple[I64, I64]
"""First bytes, and the bytes behind the last: int64 [num_spans] each."""

WINDOW_BYTES = 8
STRIDE_BYTES = 4
# A term this long holds a whole window at an aligned place wherever it starts.
WINDOWED_BYTES = WINDOW_BYTES + STRIDE_BYTES - 1

END = b" " * WINDOW_BYTES  # behind the last word, so that 8 bytes can be read from any word's start
_SPACE = 0x20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well mixed (2**64 / golden ratio)
_FIRST_BYTES = np.array(
    [(1 << 8 * size) - 1 for size in range(9)], np.uint64
)  # [size] keeps the first `size` of 8 bytes
_COMMON_FIRST = b" etaoinsrhldcumfpgwybvkxjqz"
_EMPTY: Spans = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def rarity(part: bytes) -> int:
    """How rare a piece of English text is, roughly: rare letters weigh more. Decides speed, never a
    result.
    """
    return sum(
        position if (position := _COMMON_FIRST.find(byte)) >= 0 else len(_COMMON_FIRST)
        for byte in part
    )


def _stretch_rarity(stretch: bytes) -> int:
    """Rarity of the bytes that a term's windows share. Best are ends of two words: windows with a
    space in the middle third.
    """
    return rarity(stretch) + (1000 if _SPACE in stretch[STRIDE_BYTES:-STRIDE_BYTES] else 0)


class KeyTable:
    """Keys to look for, each with how far before and after the place of a hit a term may reach.

    A bitmap over a few hash bits turns nearly all keys of a text away; a binary search settles the
    rest.
    """

    def __init__(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """rows: (key, reach before, reach after), in words or bytes, whichever the user of the
        table counts in.
        """
        reach: dict[int, tuple[int, int]] = {}
        for key, before, after in rows:
            known = reach.get(key, (0, 0))
            reach[key] = max(known[0], before), max(known[1], after)
        self._keys: U64 = np.array(sorted(reach), np.uint64)
        self._reach: I64 = np.array([reach[int(key)] for key in self._keys], np.int64).reshape(
            -1, 2
        )
        # 32 places a key let about 3% of a text's keys through to the search; 2**22 bytes still lie
        # in a core's cache.
        bits = min(max((32 * len(reach)).bit_length(), 12), 22)
        self._shift = np.uint64(64 - bits)
        self._bitmap = np.zeros(1 << bits, np.bool_)
        self._bitmap[self._places(self._keys)] = True

    def __len__(self) -> int:
        return len(self._keys)

    def _places(self, keys: U64) -> I64:
        return ((keys * _MULTIPLIER) >> self._shift).view(np.int64)

    def find(self, keys: U64) -> tuple[I64, I64, I64]:
        """Of keys, uint64 [num_keys]: indices of those in the table, and the reach of each before
        and after it, int64 [num_hits] each.
        """
        likely = np.flatnonzero(self._bitmap.take(self._places(keys)))
        rows = np.minimum(np.searchsorted(self._keys, keys[likely]), len(self._keys) - 1)
        present = self._keys[rows] == keys[likely]
        reach = self._reach[rows[present]]
        return likely[present], reach[:, 0], reach[:, 1]


class WordPairs:
    """Candidates by neighbouring words. Needles are bytes: normalised words with one space between
    two.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        singles, pairs = [], []
        for needle in needles:
            words = needle.split(b" ")
            keys = word_keys(*_words(_as_bytes(b" " + needle + END)))
            if len(words) == 1:
                singles.append((int(keys[0]), 0, 0))
                continue
            best = max(
                range(len(words) - 1),
                key=lambda place: rarity(words[place]) + rarity(words[place + 1]),
            )
            pairs.append((int(_pair_keys(keys)[best]), best, len(words) - 1 - best))
        self._tables = [(KeyTable(singles), False), (KeyTable(pairs), True)]

    def spans(self, buffer: bytes, mark: int) -> Spans:
        """Byte ranges that may hold terms. The buffer begins with a space and ends in END; each
        mark stands between spaces.
        """
        text = _as_bytes(buffer)
        starts, ends, first_bytes = _words(text)
        if not len(starts):
            return _EMPTY
        keys = word_keys(starts, ends, first_bytes)
        marks = np.flatnonzero(text == mark)
        candidates = []
        for table, paired in self._tables:
            if len(table):
                places, before, after = table.find(_pair_keys(keys) if paired else keys)
                lows = starts[np.maximum(places - before, 0)]
                highs = ends[np.minimum(places + after, len(ends) - 1)]
                candidates.append(_inside(lows, highs, starts[places], marks))
        return _merged(candidates)


class Windows:
    """Candidates by 8-byte windows at aligned places. Needles are bytes, each at least
    WINDOWED_BYTES long.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        rows = []
        for needle in needles:
            last = len(needle) - WINDOWED_BYTES
            best = max(
                range(last + 1),
                key=lambda place: _stretch_rarity(needle[place : place + WINDOWED_BYTES]),
            )
            for place in range(best, best + STRIDE_BYTES):
                key = int.from_bytes(needle[place : place + WINDOW_BYTES], "little")
                rows.append((key, place, len(needle) - place))
        self._table = KeyTable(rows)

    def spans(self, buffer: bytes, mark: int) -> Spans:
        """Byte ranges that may hold terms."""
        size = len(buffer) // STRIDE_BYTES
        if size < 2 or not len(self._table):
            return _EMPTY
        quarters = np.frombuffer(buffer, "<u4", size).astype(np.uint64)
        places, before, after = self._table.find(quarters[:-1] | (quarters[1:] << np.uint64(32)))
        places = places * STRIDE_BYTES
        return _merged(
            [
                _inside(
                    places - before,
                    places + after,
                    places,
                    np.flatnonzero(_as_bytes(buffer) == mark),
                )
            ]
        )


def word_keys(starts: I64, ends: I64, first_bytes: U64) -> U64:
    """A 64-bit key a word, from its length in bytes and its first 8 bytes. All arrays
    [num_words].
    """
    lengths = ends - starts
    kept: U64 = first_bytes & _FIRST_BYTES.take(lengths, mode="clip")
    keys: U64 = (kept ^ lengths.view(np.uint64)) * _MULTIPLIER
    return keys


def _pair_keys(keys: U64) -> U64:
    """A key of each word and the next one: uint64 [num_words - 1] of uint64 [num_words]."""
    turned: U64 = (keys[:-1] >> np.uint64(29)) ^ keys[:-1]
    return (turned * _MULTIPLIER) ^ keys[1:]


def _words(text: Bytes) -> tuple[I64, I64, U64]:
    """Starts and ends (bytes) of the words of a text between a space and END, and the 8 bytes from
    each start: [num_words] each of uint8 [num_bytes].
    """
    space = text == _SPACE
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    windows: npt.NDArray[Any] = np.ndarray(
        (len(text) - WINDOW_BYTES + 1,), "<u8", text, strides=(1,)
    )
    return starts, ends, windows[starts].astype(np.uint64, copy=False)


def _as_bytes(buffer: bytes) -> Bytes:
    return np.frombuffer(buffer, np.uint8)


def _inside(lows: I64, highs: I64, places: I64, marks: I64) -> Spans:
    """Cut ranges to the document in which their places lie; int64 [num_ranges] each. marks: int64
    [num_docs], the last byte of each document.
    """
    documents = np.searchsorted(marks, places)
    first = np.concatenate((np.zeros(1, np.int64), marks + 1))
    return np.maximum(lows, first[documents]), np.minimum(highs, marks[documents])


def _merged(spans: Sequence[Spans]) -> Spans:
    """Join ranges that overlap. What is not joined though it could be is read twice, which changes
    no distinct count.
    """
    lows, highs = (np.concatenate(column) for column in zip(*spans, strict=True))
    if not len(lows):
        return _EMPTY
    order = np.argsort(lows, kind="stable")
    lows, highs = lows[order], highs[order]
    reached = np.maximum.accumulate(highs)
    heads = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), lows[1:] >= reached[:-1])))
    return lows[heads], np.maximum.reduceat(highs, heads)
