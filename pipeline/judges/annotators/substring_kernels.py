"""Compiled kernels of a blocklist in mode `published`: lower case, and substrings. Import it late:
it brings numba.

A buffer is UTF-8 with the byte MARK behind each text, which no text and no term holds, so no
occurrence reaches over it.
"""

from __future__ import annotations

import numpy as np

from mixtures.keys.compiled import compiled as _compiled
from pipeline.judges.annotators.kernel_arrays import OPEN, U64, Bytes, Hits, Substrings
from pipeline.judges.annotators.ngram_kernels import HIGH, MIX, in_bitmap, kind_of

MARK = 0xFF  # never part of UTF-8

_ZERO, _ONE = np.uint64(0), np.uint64(1)


@_compiled
def lower(buffer: Bytes, kinds: Bytes, changed: Bytes) -> None:
    """Lower-case ASCII, and find the texts in which other characters may have a lower case.

    Args:
        buffer: uint8 [num_bytes], which is changed. kinds: uint8 [num_code_points], OPEN for what
            may change; so may all beyond. changed: uint8 [num_texts], 0; gets 1 for these texts.
    """
    for place in range(len(buffer)):  # without a branch: many bytes in one instruction
        byte = buffer[place]
        buffer[place] = byte + np.uint8(32 * ((byte >= 65) & (byte < 91)))
    eights = buffer[: len(buffer) // 8 * 8].view(np.uint64)
    text, place = 0, 0
    while place < len(buffer):
        if place & 7 == 0:
            while place >> 3 < len(eights) and eights[place >> 3] & HIGH == _ZERO:
                place += 8
            if place == len(buffer):
                break
        if buffer[place] < 128:
            place += 1
        elif buffer[place] == MARK:
            text += 1
            place += 1
        else:
            kind, size = kind_of(buffer, kinds, place)
            changed[text] |= kind == OPEN
            place += size


@_compiled
def find_substrings(buffer: Bytes, windows: U64, wanted: Substrings, hits: Hits) -> int:
    """Write every occurrence of every substring to `hits`, its first byte as `word`, as far as
    there is room. Returns how many there are.

    A substring of `window + stride - 1` bytes or more holds a whole window that begins at a
    multiple of `stride` wherever it starts, so only these windows are looked up.

    Args:
        buffer: uint8 [num_bytes]. windows: uint64 [num_windows], the 8 bytes from each byte of the
            buffer on, not aligned.
    """
    likely = np.empty(len(windows) // wanted.stride + 1, np.uint64)
    left, stride = np.uint64(64 - 8 * wanted.window), np.uint64(wanted.stride)
    num_likely, place, end = _ZERO, _ZERO, np.uint64(len(windows))
    while place < end:  # without a branch: what is unlikely is written over
        likely[num_likely] = place
        num_likely += np.uint64(in_bitmap(wanted.known, windows[place] << left))
        place += stride
    count = 0
    for number in range(num_likely):
        place = likely[number]
        key = (windows[place] << left) * MIX
        bucket = key >> wanted.shift
        for entry in range(wanted.buckets[bucket], wanted.buckets[bucket + _ONE]):
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
