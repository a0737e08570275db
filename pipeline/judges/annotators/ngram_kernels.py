"""Compiled kernels of decontamination: words of a buffer, their hashes, and the places of n-grams.
Import it late: it brings numba.

A buffer is what `pipeline.judges.annotators.ngram_table` makes of a batch: UTF-8 in which what is
not ASCII is folded, all words between separators, a mark behind each text. A table folds a byte to
itself, another letter, or SEPARATOR. A mark is a NUL between separators, a word like any other, and
no n-gram holds one.

Words are hashed whole, to 64 bits. `sums[w]` is a polynomial over the hashes of the words before w,
modulo 2**64, so the hash of any run of words is one multiplication and a subtraction: `sums[high] -
sums[low] * base**(high - low)`.

A hit is never a hash alone: `find_ngrams` compares the bytes of the words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from pipeline.judges.annotators.folding import BLANK, OPEN

F = TypeVar("F", bound=Callable[..., Any])

SEPARATOR = np.uint8(32)

_OFFSET = np.uint64(0xCBF29CE484222325)  # FNV-1a
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well mixed (2**64 / golden ratio)
_0, _1, _3, _7, _29, _32 = (np.uint64(number) for number in (0, 1, 3, 7, 29, 32))


def _compiled(function: F) -> F:
    """Machine code, made at the first call and kept for later processes, beside the module or in
    the user's cache folder.
    """
    try:
        made: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither folder can be written: every process makes its own
        made = numba.njit(nogil=True)(function)
    return made  # type: ignore[no-any-return]  # numba types what it makes as its own


@_compiled
def settle_runs(buffer: Any, kinds: Any, starts: Any, ends: Any) -> Any:
    """Fold the runs of characters outside ASCII that need nothing but blanks, and find the others.

    Args:
        buffer: uint8, UTF-8 that begins and ends in ASCII; separators outside ASCII become blanks.
            kinds: `settled_kinds`.
        starts, ends: filled with the bytes of the runs that hold an OPEN character, which stay as
            they are; len(buffer) // 2 long.
    Returns: the number of these runs.
    """
    count, place = 0, 0
    while place < len(buffer):
        start, is_open, blanks = place, False, False
        while buffer[place] >= 128:
            kind, size = _kind(buffer, kinds, place)
            is_open |= kind == OPEN
            blanks |= kind == BLANK
            place += size
        if is_open:
            starts[count], ends[count] = start, place
            count += 1
        elif blanks:
            while start < place:
                kind, size = _kind(buffer, kinds, start)
                if kind == BLANK:
                    buffer[start : start + size] = SEPARATOR
                start += size
        place += 1
    return count


@_compiled
def _kind(buffer: Any, kinds: Any, place: Any) -> Any:
    """Kind and size in bytes of the character at a place, which is not ASCII."""
    if buffer[place] < 0xE0:
        code, size = (buffer[place] & 0x1F) << 6 | buffer[place + 1] & 0x3F, 2
    elif buffer[place] < 0xF0:
        code, size = (
            (buffer[place] & 0x0F) << 12
            | (buffer[place + 1] & 0x3F) << 6
            | buffer[place + 2] & 0x3F,
            3,
        )
    else:
        code, size = len(kinds), 4
    return (kinds[code] if code < len(kinds) else np.uint8(OPEN)), size


@_compiled
def find_words(buffer: Any, table: Any, base: Any, starts: Any, sums: Any) -> Any:
    """Fill in the words of a buffer.

    Args:
        buffer: uint8, begins and ends with a separator. table: uint8 [256]. base: uint64.
        starts, sums: int and uint64, at least len(buffer) // 2 + 2 long: the first byte of each
            word, and the sum before each word and behind the last one.
    Returns: the number of words, marks included.
    """
    # No branch depends on a byte: what the end of a word costs in mispredictions is more than all
    # of this. Unsigned indices have no sign to test at every access.
    count, start, value, inside = _0, _0, _OFFSET, False
    for place in range(np.uint64(len(buffer))):
        byte = table[buffer[place]]
        start = start if inside else np.uint64(place)
        value = value if inside else _OFFSET
        value = (value ^ np.uint64(byte)) * _PRIME
        before, inside = inside, byte != SEPARATOR
        count += np.uint64(before & (not inside))
        starts[count] = start
        sums[count + _1] = value
    sums[0] = _0
    for word in range(count):
        value = sums[word + _1]
        value = (value ^ (value >> _32)) * _MIX
        sums[word + _1] = sums[word] * base + (value ^ (value >> _29))
    return np.int64(count)


@_compiled
def run_hash(sums: Any, powers: Any, low: Any, size: Any) -> Any:
    """The hash of the words [low, low + size)."""
    return sums[low + size] - sums[low] * powers[size]


@_compiled
def run_hashes(sums: Any, powers: Any, lows: Any, sizes: Any) -> Any:
    """`run_hash` of arrays: uint64."""
    out = np.empty(len(lows), np.uint64)
    for row in range(len(lows)):
        out[row] = run_hash(sums, powers, lows[row], sizes[row])
    return out


@_compiled
def add_to_bitmap(bitmap: Any, shift: Any, hashes: Any) -> None:
    """Set the bit of each hash. bitmap: uint8, 2**(64 - shift) bits."""
    for value in hashes:
        bit = (value * _MIX) >> shift
        bitmap[bit >> _3] |= np.uint8(_1 << (bit & _7))


@_compiled
def in_bitmap(bitmap: Any, shift: Any, value: Any) -> Any:
    """Whether the hash may have been added."""
    bit = (value * _MIX) >> shift
    return (np.uint64(bitmap[bit >> _3]) >> (bit & _7)) & _1 != _0


@_compiled
def same_words(buffer: Any, table: Any, place: Any, content: Any, low: Any, high: Any) -> Any:
    """Whether the words from a place on, which begins a word, are those of the content's bytes
    [low, high), one space between two.
    """
    while low < high:
        byte = table[buffer[place]]
        if byte != content[low]:
            return False
        place += 1
        low += 1
        if byte == SEPARATOR:
            while table[buffer[place]] == SEPARATOR:
                place += 1
    return table[buffer[place]] == SEPARATOR


@_compiled
def first_row(hashes: Any, value: Any) -> Any:
    """The first row whose hash is not below the value. hashes: sorted."""
    low, high = 0, len(hashes)
    while low < high:
        middle = (low + high) >> 1
        if hashes[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def find_ngrams(
    buffer: Any, table: Any, starts: Any, sums: Any, num_words: Any, powers: Any, sizes: Any, window: Any, stride: Any,
    windows: Any, windows_shift: Any, bitmap: Any, shift: Any, hashes: Any, content: Any, lows: Any, highs: Any, places: Any, found: Any,
) -> Any:  # fmt: skip
    """Every occurrence of every n-gram.

    An n-gram of `window + stride - 1` words or more holds a whole window that begins at a multiple
    of `stride` wherever it starts. So only these windows are looked up; the n-grams around a window
    that may be known are then looked up one by one.

    Args:
        buffer ... sums: as `find_words` left them; num_words: as it returned. powers: uint64, of
        the base.
        sizes: the distinct sizes of n-grams, in words. window, stride: in words.
        windows, bitmap: bitmaps of the windows and of the n-grams, with their shifts.
        hashes: uint64, sorted, of the n-grams; content: uint8, and lows, highs: int64, the bytes of
            each n-gram in it.
        places, found: int64, filled with the first word and the row of each occurrence, as far as
            there is room.
    Returns: the number of occurrences.
    """
    count = 0
    for place in range(0, num_words - window + 1, stride):
        if not in_bitmap(windows, windows_shift, run_hash(sums, powers, place, window)):
            continue
        for low in range(max(0, place - stride + 1), place + 1):
            for size in sizes:
                if low + size > num_words:
                    continue
                value = run_hash(sums, powers, low, size)
                if not in_bitmap(bitmap, shift, value):
                    continue
                row = first_row(hashes, value)
                while row < len(hashes) and hashes[row] == value:
                    if same_words(buffer, table, starts[low], content, lows[row], highs[row]):
                        if count < len(places):
                            places[count], found[count] = low, row
                        count += 1
                    row += 1
    return count
