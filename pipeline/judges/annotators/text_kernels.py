"""Compiled kernels that make a buffer of texts what is searched: without marks, folded where it is
not ASCII, in lower case. Import it late: it brings numba.
"""

from __future__ import annotations

import numpy as np

from mixtures.keys.compiled import compiled as _compiled
from pipeline.judges.annotators.kernel_arrays import BLANK, I64, OPEN, Bytes

LINES, OTHER = np.uint8(1), np.uint8(2)
UNKNOWN = -1
MARK = 0xFF  # behind each text of a buffer that is lower-cased; never part of UTF-8

SEPARATOR = np.uint8(32)
_TAKEN = np.uint8(1)  # a separator, and no blank
_HIGH = np.uint64(0x8080808080808080)  # of a byte that is not ASCII
_0 = np.uint64(0)


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
            while place >> 3 < len(eights) and eights[place >> 3] & _HIGH == _0:
                place += 8
            if place == len(buffer):
                break
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
            while place >> 3 < len(eights) and eights[place >> 3] & _HIGH == _0:
                place += 8
            if place == len(buffer):
                break
        if buffer[place] < 128:
            place += 1
        elif buffer[place] == MARK:
            text += 1
            place += 1
        else:
            kind, size = _kind(buffer, kinds, place)
            changed[text] |= kind == OPEN
            place += size
