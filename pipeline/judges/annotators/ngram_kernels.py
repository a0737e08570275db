"""Compiled kernels of decontamination: words of a buffer, their hashes, and the places of n-grams.
Import it late: it brings numba.

A buffer is what `pipeline.judges.annotators.ngram_table` makes of a batch: UTF-8 in which what is
not ASCII is folded, all words between separators, a mark behind each text. A mark is a NUL between
separators, a word like any other, and no n-gram holds one. `folds`, uint8 [256], makes of a byte
itself, another letter, or SEPARATOR.

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
from pipeline.judges.annotators.kernel_arrays import (
    I64,
    U64,
    Bitmap,
    Bytes,
    Hits,
    Ngrams,
    Words,
)

F = TypeVar("F", bound=Callable[..., Any])

SEPARATOR = np.uint8(32)

_OFFSET = np.uint64(0xCBF29CE484222325)  # FNV-1a
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well mixed (2**64 / golden ratio)
# numba makes a float of int64 with uint64, so every number beside a hash is a uint64.
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
def settle_runs(buffer: Bytes, kinds: Bytes, starts: I64, ends: I64) -> int:
    """Fold the runs of characters outside ASCII that need nothing but blanks, and find the others.

    Args:
        buffer: uint8 [num_bytes], UTF-8 that begins and ends in ASCII; separators outside ASCII
            become blanks.
        kinds: uint8 [num_code_points], `settled_kinds`.
        starts, ends: int64 [num_bytes // 2], filled with the bytes of the runs that hold an OPEN
            character, which stay as they are.
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
def _kind(buffer: Bytes, kinds: Bytes, place: int) -> tuple[np.uint8, int]:
    """Kind, and size in bytes, of the character at a place of uint8 [num_bytes]; it is not
    ASCII.
    """
    if buffer[place] < 0xE0:
        code, size = (buffer[place] & 0x1F) << 6 | buffer[place + 1] & 0x3F, 2
    elif buffer[place] < 0xF0:
        high, middle, low = buffer[place] & 0x0F, buffer[place + 1] & 0x3F, buffer[place + 2] & 0x3F
        code, size = high << 12 | middle << 6 | low, 3
    else:
        code, size = len(kinds), 4  # beyond the table, so OPEN
    return (kinds[code] if code < len(kinds) else np.uint8(OPEN)), size


MARKUP, LINES = np.uint8(1), np.uint8(2)
# What is looked at further, of ASCII: marks, ends of lines, and what begins markup.
_LOOKED_AT = np.zeros(256, np.bool_)
_LOOKED_AT[[0, 10, 38, 60, 91, 92]] = True


@_compiled
def find_marked(buffer: Bytes, marked: Bytes) -> None:
    """Find the texts that `unmarked` may change, and few others.

    Args:
        buffer: uint8 [num_bytes], as texts are before they are folded, a mark behind each.
        marked: uint8 [num_texts], 0; gets MARKUP, LINES or both for these.
    """
    text, numbers = 0, _numbered(buffer, 1)
    for place in range(1, len(buffer) - 2):
        byte = buffer[place]
        if not _LOOKED_AT[byte]:
            continue
        if byte == 0:
            text, numbers = text + 1, _numbered(buffer, place + 2)
            continue
        following = buffer[place + 1]
        if byte == 10:
            numbers += _numbered(buffer, place + 1)
            before = buffer[place - 1]
            if before == 32 or before == 9 or before == 13:
                before = buffer[place - 2]
            # a hyphen, or the last byte of one outside ASCII
            if numbers > 1 or before == 45 or 0x90 <= before < 0xAE:
                marked[text] |= LINES
            found = False
        elif byte == 91:
            found = 48 <= following < 58 or buffer[place + 2] == 93 or 97 <= following < 123
        else:
            letter = (following | 32) - 97
            found = 0 <= letter < 26 or following == 35 or following == 47 or following == 33
        if found:
            marked[text] |= MARKUP


@_compiled
def _numbered(buffer: Bytes, place: int) -> int:
    """1 if a line of uint8 [num_bytes] that begins at a place may begin with a number, else 0."""
    while buffer[place] == 32 or buffer[place] == 9 or buffer[place] == 62 or buffer[place] == 40:
        place += 1
    return 1 if 48 <= buffer[place] < 58 else 0


@_compiled
def find_words(buffer: Bytes, folds: Bytes, base: np.uint64, starts: Any, sums: U64) -> np.int64:
    """Fill in the words of a buffer.

    Args:
        buffer: uint8 [num_bytes], begins and ends with a separator.
        base: of the polynomial.
        starts: int32 or int64 [room], the first byte of each word; room: num_bytes // 2 + 2.
        sums: uint64 [room], the sum before each word and behind the last one.
    Returns: the number of words, marks included.
    """
    # No branch depends on a byte: what the end of a word costs in mispredictions is more than all
    # of this. So every byte writes the word that it may end, and the next one writes over it.
    # Unsigned indices have no sign to test at every access.
    count, start, value, inside = _0, _0, _OFFSET, False
    for place in range(np.uint64(len(buffer))):
        byte = folds[buffer[place]]
        start = start if inside else np.uint64(place)
        value = value if inside else _OFFSET
        value = (value ^ np.uint64(byte)) * _PRIME
        before, inside = inside, byte != SEPARATOR
        count += np.uint64(before & (not inside))
        starts[count] = start
        sums[count + _1] = value
    # Until here sums[w + 1] is the hash of word w, its separator included; now they are summed up.
    sums[0] = _0
    for word in range(count):
        value = sums[word + _1]
        value = (value ^ (value >> _32)) * _MIX
        sums[word + _1] = sums[word] * base + (value ^ (value >> _29))
    return np.int64(count)


@_compiled
def run_hash(sums: U64, powers: U64, low: int, size: int) -> Any:
    """uint64, the hash of the words [low, low + size). sums: uint64 [num_words + 1]; powers: uint64
    [max_size + 1], of the base.
    """
    return sums[low + size] - sums[low] * powers[size]


@_compiled
def run_hashes(sums: U64, powers: U64, lows: I64, sizes: I64) -> U64:
    """`run_hash` of int64 [num_runs] each: uint64 [num_runs]."""
    out = np.empty(len(lows), np.uint64)
    for row in range(len(lows)):
        out[row] = run_hash(sums, powers, lows[row], sizes[row])
    return out


@_compiled
def add_to_bitmap(bitmap: Bitmap, hashes: U64) -> None:
    """Set the bit of each hash. hashes: uint64 [num_hashes]."""
    for value in hashes:
        bit = (value * _MIX) >> bitmap.shift
        bitmap.bits[bit >> _3] |= np.uint8(_1 << (bit & _7))


@_compiled
def in_bitmap(bitmap: Bitmap, value: np.uint64) -> Any:
    """bool, whether the hash may have been added."""
    bit = (value * _MIX) >> bitmap.shift
    return (np.uint64(bitmap.bits[bit >> _3]) >> (bit & _7)) & _1 != _0


@_compiled
def same_words(buffer: Bytes, folds: Bytes, place: int, table: Ngrams, row: int) -> Any:
    """bool, whether the words from a place on, which begins one, are those of an n-gram. buffer:
    uint8 [num_bytes].
    """
    low, high = table.lows[row], table.highs[row]
    while low < high:
        byte = folds[buffer[place]]
        if byte != table.content[low]:
            return False
        place += 1
        low += 1
        if byte == SEPARATOR:
            while folds[buffer[place]] == SEPARATOR:
                place += 1
    return folds[buffer[place]] == SEPARATOR  # not the beginning of a longer word


@_compiled
def first_row(hashes: U64, value: np.uint64) -> int:
    """The first row whose hash is not below the value. hashes: uint64 [num_ngrams], ascending."""
    low, high = 0, len(hashes)
    while low < high:
        middle = (low + high) >> 1
        if hashes[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def find_ngrams(words: Words, folds: Bytes, table: Ngrams, hits: Hits) -> int:
    """Write every occurrence of every n-gram to `hits`, as far as there is room. Returns how many
    there are.

    An n-gram of `window + stride - 1` words or more holds a whole window that begins at a multiple
    of `stride` wherever it starts. So only these windows are looked up; the n-grams around a window
    that may be known are then looked up one by one.
    """
    count, num_words = 0, len(words.starts)
    for place in range(0, num_words - table.window + 1, table.stride):
        window = run_hash(words.sums, table.powers, place, table.window)
        if not in_bitmap(table.known_windows, window):
            continue
        # Of an n-gram that starts here, this is the first window at a multiple of the stride, so
        # each occurrence is met once.
        for low in range(max(0, place - table.stride + 1), place + 1):
            for size in table.sizes:
                if low + size > num_words:
                    continue
                value = run_hash(words.sums, table.powers, low, size)
                if not in_bitmap(table.known, value):
                    continue
                row = first_row(table.hashes, value)
                while row < len(table.hashes) and table.hashes[row] == value:
                    if same_words(words.buffer, folds, words.starts[low], table, row):
                        if count < len(hits.word):
                            hits.word[count], hits.row[count] = low, row
                        count += 1
                    row += 1
    return count
