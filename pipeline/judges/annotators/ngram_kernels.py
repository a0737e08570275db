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

from typing import Any

import numpy as np

from mixtures.keys.compiled import compiled as _compiled
from pipeline.judges.annotators.kernel_arrays import (
    BLANK,
    I64,
    OPEN,
    U64,
    Bitmap,
    Bytes,
    Hits,
    Ngrams,
    Words,
)

SEPARATOR = np.uint8(32)

MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well mixed (2**64 / golden ratio)
# numba makes a float of int64 with uint64, so every number beside a hash is a uint64.
_0, _1, _3, _7, _9, _29, _32, _55 = (np.uint64(n) for n in (0, 1, 3, 7, 9, 29, 32, 55))


HIGH = np.uint64(0x8080808080808080)  # of a byte that is not ASCII


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
    eights = buffer[: len(buffer) // 8 * 8].view(np.uint64)
    while place < len(buffer):
        if place & 7 == 0:
            while place >> 3 < len(eights) and eights[place >> 3] & HIGH == _0:
                place += 8
            if place == len(buffer):
                break
        start, is_open, blanks = place, False, False
        while buffer[place] >= 128:
            kind, size = kind_of(buffer, kinds, place)
            is_open |= kind == OPEN
            blanks |= kind == BLANK
            place += size
        if is_open:
            starts[count], ends[count] = start, place
            count += 1
        elif blanks:
            while start < place:
                kind, size = kind_of(buffer, kinds, start)
                if kind == BLANK:
                    buffer[start : start + size] = SEPARATOR
                start += size
        place += 1
    return count


@_compiled
def kind_of(buffer: Bytes, kinds: Bytes, place: int) -> tuple[np.uint8, int]:
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


LINES, OTHER = np.uint8(1), np.uint8(2)
_TAKEN = np.uint8(1)  # a separator, and no blank
UNKNOWN = -1


@_compiled
def unmark(buffer: Bytes, marked: Bytes, ends: I64) -> None:
    """Take numbers of lines, LaTeX's commands and footnote marks away, and find the texts that hold
    others.

    What is taken away becomes as many separators. So a text in which nothing else is found has the
    words that `unmarked` leaves of it; of the others that makes what they become.

    Args:
        buffer: uint8 [num_bytes], as texts are before they are folded, a space before the first and
            ` NUL ` behind each.
        marked: uint8 [num_texts], 0; gets OTHER for those that `unmarked` may change in another way
            and few others, and LINES for those of which it may change ends or numbers of lines.
        ends: int64 [num_texts], gets the byte behind each text.
    """
    looked_at = np.zeros((len(buffer) + 7) // 8 * 8, np.bool_)
    looked_at[0] = True  # the first text begins behind it
    for place in range(1, len(buffer) - 1):  # without a branch: many bytes in one instruction
        before, byte, behind = buffer[place - 1], buffer[place], buffer[place + 1]
        mark = (byte == 0) | (byte == 38) | (byte == 60) | (byte == 91) | (byte == 92)
        looked_at[place] = mark | (
            (byte == 10) & (_may_be_hyphen(before) | _may_be_number(behind) | _is_blank(before))
        )
    eights = looked_at.view(np.uint64)
    text, number, low, high = 0, -2, 0, 0
    for eight in range(len(eights)):
        if eights[eight] == _0:
            continue
        for place in range(8 * eight, 8 * eight + 8):
            if not looked_at[place]:
                continue
            byte = buffer[place]
            if byte == 92:
                _take(buffer, place, _command_end(buffer, place))
            elif byte == 91:
                end = _note_end(buffer, place)
                if end == UNKNOWN:
                    marked[text] |= OTHER
                else:
                    _take(buffer, place, end)
            elif byte == 38 or byte == 60:
                if _may_be_html(buffer, place):
                    marked[text] |= OTHER
            else:
                line = place + 1
                if byte == 0:
                    ends[text] = place - 1
                    text, number, line = text + 1, -2, place + 2
                elif _may_part_a_word(buffer, place):
                    marked[text] |= LINES | OTHER
                found, end = _line_number(buffer, line) if line < len(buffer) else (-1, 0)
                if found >= 0:
                    if found == number + 1 and _one_line(buffer, high, line - 1):
                        _take(buffer, low, high)
                        _take(buffer, line - 1, end)
                        marked[text] |= LINES
                    number, low, high = found, line - 1, end


@_compiled
def _take(buffer: Bytes, low: int, high: int) -> None:
    for place in range(low, high):
        buffer[place] = _TAKEN


@_compiled
def _is_blank(byte: int) -> bool:
    return (byte == 32) | (byte == 9) | (byte == 13)


@_compiled
def _is_letter(byte: int) -> bool:
    return 97 <= byte | 32 < 123


@_compiled
def _may_be_hyphen(byte: int) -> bool:
    """Whether a byte may be a hyphen, or the last one of a hyphen outside ASCII."""
    return (byte == 45) | ((byte >= 0x90) & (byte < 0xAE))


@_compiled
def _may_be_number(byte: int) -> bool:
    """Whether a line that begins with a byte may begin with a number: ` `, tab, `>`, `(`, 0-9."""
    digit = (byte >= 48) & (byte < 58)
    return (byte == 32) | (byte == 9) | (byte == 62) | (byte == 40) | digit


@_compiled
def _line_number(buffer: Bytes, place: int) -> tuple[int, int]:
    """The number with which a line of uint8 [num_bytes] begins, and the byte behind its point or
    space; -1: it has none.
    """
    while buffer[place] == 32 or buffer[place] == 9 or buffer[place] == 62:
        place += 1
    if buffer[place] == 40:
        place += 1
    first, number = place, 0
    while 48 <= buffer[place] < 58 and place < first + 4:
        number = 10 * number + buffer[place] - 48
        place += 1
    byte = buffer[place]
    ends = byte == 46 or byte == 41 or byte == 58 or byte == 124 or byte == 32 or byte == 9
    # the space before a NUL is no text's
    return (number if place > first and ends and buffer[place + 1] else -1), place + 1


@_compiled
def _one_line(buffer: Bytes, low: int, high: int) -> bool:
    """Whether these bytes of uint8 [num_bytes] are the rest of a line, and blank lines."""
    while low < high and buffer[low] != 10:
        low += 1
    while low < high and (_is_blank(buffer[low]) or buffer[low] == 10):
        low += 1
    return low == high


@_compiled
def _may_part_a_word(buffer: Bytes, place: int) -> bool:
    """Whether there may be a letter and a hyphen before the end of a line of uint8 [num_bytes], and
    a small letter behind it.
    """
    before, behind = place - 1, place + 1
    if _is_blank(buffer[before]):
        before -= 1
    while buffer[behind] == 32 or buffer[behind] == 9:
        behind += 1
    last, first = buffer[before], buffer[before - 1]
    if last == 45:
        hyphen = _is_letter(first) or first == _TAKEN or first >= 128
    elif last == 0xAC or last == 0xAD:
        hyphen = first == 0xC2
    else:
        hyphen = (last == 0x90 or last == 0x91) and first == 0x80
    return bool(hyphen and buffer[behind] >= 97)


@_compiled
def _command_end(buffer: Bytes, place: int) -> int:
    """The byte behind the LaTeX command that begins at a backslash of uint8 [num_bytes]; the
    backslash itself: none does.
    """
    name = buffer[place + 1]
    if (name == 110 or name == 114 or name == 116) and 65 <= buffer[place + 2] < 91:
        return place + 2
    end = place + 1
    while _is_letter(buffer[end]):
        end += 1
    return end if end > place + 1 else place


@_compiled
def _may_be_html(buffer: Bytes, place: int) -> bool:
    """Whether an entity or a tag may begin at a place of uint8 [num_bytes]."""
    first = buffer[place + 1]
    if buffer[place] == 38:
        found = first == 35 or (_is_letter(first) and _is_letter(buffer[place + 2]))
    else:
        found = _is_letter(first) or first == 47 or first == 33
    return bool(found)


@_compiled
def _note_end(buffer: Bytes, place: int) -> int:
    """The byte behind the footnote mark that begins at a bracket of uint8 [num_bytes]; the bracket
    itself: none does; UNKNOWN: one of words may, or one that other marks part.
    """
    start, place = place, place + 1
    first, second = buffer[place], buffer[place + 1]
    if 97 <= first < 123:
        if second == 93:
            return place + 2
        note = first == 110 and (second == 98 or second == 111)  # nb, note
        return UNKNOWN if note or (first == 99 and second == 105) else start  # citation needed
    while True:
        first = place
        while 48 <= buffer[place] < 58 and place < first + 3:
            place += 1
        if place == first:
            break
        if buffer[place] == 93:
            return place + 1
        place += buffer[place] == 32
        if buffer[place] == 44 or buffer[place] == 59 or buffer[place] == 45:
            place += 1
        elif buffer[place] == 0xE2 and buffer[place + 1] == 0x80 and buffer[place + 2] == 0x93:
            place += 3
        else:
            break
        place += buffer[place] == 32
    odd = buffer[place] == 92 or buffer[place] < 32
    return UNKNOWN if odd and place > start + 1 else start


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
