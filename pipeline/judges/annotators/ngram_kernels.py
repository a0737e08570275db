"""Compiled kernels of decontamination and blocklists: words of a buffer, their hashes, and the
places of n-grams and of substrings. Import it late: it brings numba.

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

from typing import Any

import numpy as np

from mixtures.keys.compiled import compiled as _compiled
from pipeline.judges.annotators.kernel_arrays import (
    I64,
    U64,
    Bitmap,
    Bytes,
    Hits,
    Ngrams,
    Substrings,
    Words,
)

SEPARATOR = np.uint8(32)

MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well mixed (2**64 / golden ratio)
# numba makes a float of int64 with uint64, so every number beside a hash is a uint64.
_0, _1, _3, _7, _9, _29, _32, _55 = (np.uint64(n) for n in (0, 1, 3, 7, 9, 29, 32, 55))


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
    # Of a word's bytes the sum is taken, each turned by its place; a product would be waited for.
    count, start, value, inside = _0, _0, _0, False
    for place in range(np.uint64(len(buffer))):
        byte = folds[buffer[place]]
        start = start if inside else np.uint64(place)
        value = value if inside else _0
        value = (value << _9 | value >> _55) + np.uint64(byte)
        before, inside = inside, byte != SEPARATOR
        count += np.uint64(before & (not inside))
        starts[count] = start
        sums[count + _1] = value
    # Until here sums[w + 1] is the hash of word w, its separator included; now they are summed up.
    sums[0] = _0
    for word in range(count):
        value = sums[word + _1]
        value = (value ^ (value >> _32)) * MIX
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
        bit = (value * MIX) >> bitmap.shift
        bitmap.bits[bit >> _3] |= np.uint8(_1 << (bit & _7))


@_compiled
def in_bitmap(bitmap: Bitmap, value: np.uint64) -> Any:
    """bool, whether the hash may have been added."""
    bit = (value * MIX) >> bitmap.shift
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


@_compiled
def find_substrings(buffer: Bytes, windows: U64, wanted: Substrings, hits: Hits) -> int:
    """Write every occurrence of every substring to `hits`, its first byte as `word`, as far as
    there is room. Returns how many there are.

    A substring of `window + stride - 1` bytes or more holds a whole window that begins at a
    multiple of `stride` wherever it starts, so only these windows are looked up.

    Args:
        buffer: uint8 [num_bytes], behind each text a byte that is in no substring. windows: uint64
            [num_windows], the 8 bytes from each byte of the buffer on, not aligned.
    """
    likely = np.empty(len(windows) // wanted.stride + 1, np.uint64)
    left, stride = np.uint64(64 - 8 * wanted.window), np.uint64(wanted.stride)
    num_likely, place, end = _0, _0, np.uint64(len(windows))
    while place < end:  # without a branch: what is unlikely is written over
        likely[num_likely] = place
        num_likely += np.uint64(in_bitmap(wanted.known, windows[place] << left))
        place += stride
    count = 0
    for number in range(num_likely):
        place = likely[number]
        key = (windows[place] << left) * MIX
        bucket = key >> wanted.shift
        for entry in range(wanted.buckets[bucket], wanted.buckets[bucket + _1]):
            if wanted.keys[entry] != key:
                continue
            row, start = wanted.rows[entry], np.int64(place) - wanted.places[entry]
            low, high = wanted.lows[row], wanted.highs[row]
            if start < 0 or start + high - low > len(buffer):
                continue
            at = start
            while low < high and buffer[at] == wanted.content[low]:
                at += 1
                low += 1
            if low == high:
                if count < len(hits.word):
                    hits.word[count], hits.row[count] = start, row
                count += 1
    return count
