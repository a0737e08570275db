"""Compiled kernels of near-duplicate search: band keys of texts, as `mixtures.rules.near_text`
says, and clusters of edges. Import it late: it brings numba.

All arithmetic is on unsigned numbers and wraps. numba makes a float of a sum of int64 and uint64,
hence the constants; unsigned places also spare it the question whether a place counts from the end.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from mixtures.keys.compiled import compiled as _compiled
from mixtures.rules.near_text import (
    BASE,
    FNV_OFFSET,
    FNV_PRIME,
    MIX_FIRST,
    MIX_SECOND,
    REACH,
    UNSPACED,
    stretches,
)
from pipeline.judges.annotators.kernel_arrays import (
    U32,
    U64,
    Bytes,
    Flags,
    Folding,
    Permutations,
    Room,
    Shingling,
    Signatures,
    Texts,
)

# Meaning of an entry of `Folding.table`, if it is no code point.
SEPARATES, VANISHES, MANY = ord(" "), 0, 1 << 31

_SEPARATES, _VANISHES, _MANY = np.uint32(SEPARATES), np.uint32(VANISHES), np.uint32(MANY)
_OFFSET, _PRIME, _BASE = np.uint64(FNV_OFFSET), np.uint64(FNV_PRIME), np.uint64(BASE)
_FIRST, _SECOND = np.uint64(MIX_FIRST), np.uint64(MIX_SECOND)
_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(number) for number in range(5))
_27, _30, _31, _32 = (np.uint64(number) for number in (27, 30, 31, 32))
_LARGEST = np.uint32(2**32 - 1)
_REACH = np.uint64(REACH)
# Where a stretch of UNSPACED begins, and where it is over, in turn.
_UNSPACED = np.array(sorted(chain.from_iterable(stretches(UNSPACED))), np.uint32)
_FIRST_UNSPACED = _UNSPACED[0]


@_compiled
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)


@_compiled
def _decoded(content: Bytes, at: np.uint64) -> tuple[np.uint32, np.uint64]:
    """The code point at the first of several bytes of valid UTF-8, and the place behind it.
    content: uint8 [num_bytes].
    """
    lead, second = np.uint32(content[at]), np.uint32(content[at + _ONE] & 0x3F)
    if lead < 0xE0:
        return np.uint32((lead & 0x1F) << 6 | second), at + _TWO
    third = np.uint32(content[at + _TWO] & 0x3F)
    if lead < 0xF0:
        return np.uint32((lead & 0x0F) << 12 | second << 6 | third), at + _THREE
    fourth = np.uint32(content[at + _THREE] & 0x3F)
    return np.uint32((lead & 0x07) << 18 | second << 12 | third << 6 | fourth), at + _FOUR


@_compiled
def folded(
    content: Bytes, at: np.uint64, end: np.uint64, folding: Folding, points: U32
) -> tuple[np.int64, bool]:
    """Write the code points of a document's folded text, the bytes [at, end) of uint8 [num_bytes],
    to `points`, uint32 [room]. Returns how many, and whether some may be of a script without
    spaces.

    A space that comes again at once is written over, so a run of them is one, and so is a space in
    front. What ASCII letters these are decides no branch, which is what makes it fast.
    """
    count, last, highest = _ZERO, _SEPARATES, _SEPARATES
    while at < end:
        lead = content[at]
        if lead < 0x80:
            value = folding.table[lead]
            at += _ONE
            points[count] = value
            count += np.uint64(not (value == last and value == _SEPARATES))
            last = value
            continue
        point, at = _decoded(content, at)
        place, length = folding.table[point], np.uint32(1)
        if place >= _MANY:
            place -= _MANY
            length = folding.forms[place]
        elif place == _VANISHES:
            continue
        for _ in range(length):
            value = folding.table[point]
            if value >= _MANY:
                place += np.uint32(1)
                value = folding.forms[place]
            highest = max(highest, value)
            points[count] = value
            count += np.uint64(not (value == last and value == _SEPARATES))
            last = value
    count -= np.uint64(count > _ZERO and last == _SEPARATES)
    return np.int64(count), highest >= _FIRST_UNSPACED


@_compiled
def word_tokens(points: U32, tokens: U64) -> np.int64:
    """Write the hashes of the words of a folded text of scripts with spaces to `tokens`. Returns
    how many.

    Both halves are gone through at once, since each step of a hash waits for the one before.

    Args:
        points: uint32 [num_points], one space between two words and none at the ends. tokens:
            uint64 [room], at least one more than points.
    """
    if len(points) == 0:
        return np.int64(0)
    end = np.uint64(len(points))
    middle = end >> _ONE
    while middle < end and points[middle] != _SEPARATES:
        middle += _ONE
    # a half has fewer words than code points, so the second one's begin where it begins
    count, word, behind, second = _ZERO, _OFFSET, middle, _OFFSET
    first_end = middle
    place, other = _ZERO, middle + _ONE
    while place < first_end and other < end:
        count, word = _hashed(points[place], count, word, tokens)
        behind, second = _hashed(points[other], behind, second, tokens)
        place, other = place + _ONE, other + _ONE
    while place < first_end:
        count, word = _hashed(points[place], count, word, tokens)
        place += _ONE
    while other < end:
        behind, second = _hashed(points[other], behind, second, tokens)
        other += _ONE
    tokens[count] = word
    count += _ONE
    if middle < end:
        tokens[behind] = second
        behind += _ONE
    for number in range(count):
        tokens[number] = _mixed(tokens[number])
    for number in range(middle, behind):
        tokens[count] = _mixed(tokens[number])
        count += _ONE
    return np.int64(count)


@_compiled
def _hashed(
    point: np.uint32, count: np.uint64, word: np.uint64, tokens: U64
) -> tuple[np.uint64, np.uint64]:
    """Go on by a code point: words that have ended, and the hash of the one that has not. tokens:
    uint64 [room]. What code point it is decides no branch.
    """
    tokens[count] = word
    ends = point == _SEPARATES
    grown = (word ^ np.uint64(point)) * _PRIME
    return count + np.uint64(ends), (_OFFSET if ends else grown)


@_compiled
def is_unspaced(point: np.uint32) -> Any:
    """bool, whether a code point is of a script that is written without spaces between words."""
    if point < _FIRST_UNSPACED:
        return False
    low, high = 0, len(_UNSPACED)  # ends of stretches: in one, an odd number of them lie below
    while low < high:
        middle = (low + high) >> 1
        if _UNSPACED[middle] <= point:
            low = middle + 1
        else:
            high = middle
    return low & 1 == 1


@_compiled
def unspaced_tokens(points: U32, tokens: U64) -> np.int64:
    """`word_tokens` of a text that may hold scripts without spaces. Arguments: as there."""
    count, place, num_points = _ZERO, _ZERO, np.uint64(len(points))
    while place < num_points:
        start = place
        if is_unspaced(points[place]):
            while place < num_points and is_unspaced(points[place]):
                place += _ONE
            for first in range(start, place):
                word = _OFFSET
                for at in range(first, min(first + _REACH, place)):
                    word = (word ^ np.uint64(points[at])) * _PRIME
                tokens[count] = _mixed(word)
                count += _ONE
        elif points[place] == _SEPARATES:
            place += _ONE
        else:
            word = _OFFSET
            while (
                place < num_points
                and points[place] != _SEPARATES
                and not is_unspaced(points[place])
            ):
                word = (word ^ np.uint64(points[place])) * _PRIME
                place += _ONE
            tokens[count] = _mixed(word)
            count += _ONE
    return np.int64(count)


@_compiled
def unspaced_count(points: U32) -> np.int64:
    """How many of a text's code points, uint32 [num_points], are of scripts without spaces."""
    count = _ZERO
    for point in points:
        if point >= _FIRST_UNSPACED:
            count += np.uint64(is_unspaced(point))
    return np.int64(count)


@_compiled
def shingles_in_place(tokens: U64, count: np.int64, size: np.int64) -> np.int64:
    """Overwrite the first `count` of uint64 [room] tokens with the hashes of their shingles.
    Returns how many.
    """
    if count < size:
        return np.int64(0)
    power, rolling = _ONE, _ZERO
    for place in range(size):
        rolling = rolling * _BASE + tokens[place]
        if place > 0:
            power = power * _BASE
    for place in range(count - size):
        leaving = tokens[place]
        tokens[place] = _mixed(rolling)
        rolling = (rolling - leaving * power) * _BASE + tokens[place + size]
    tokens[count - size] = _mixed(rolling)
    return count - size + 1


@_compiled
def shingle_hashes(
    content: Bytes, at: np.uint64, end: np.uint64, shingling: Shingling, room: Room
) -> np.int64:
    """Write the hashes of a document's shingles to `room.tokens`, in the order of the text. Returns
    how many. content: uint8 [num_bytes], the document its bytes [at, end).
    """
    return _shingles(content, at, end, shingling, room)[0]


@_compiled
def _shingles(
    content: Bytes, at: np.uint64, end: np.uint64, shingling: Shingling, room: Room
) -> tuple[np.int64, np.int64, np.int64]:
    """`shingle_hashes`; with them the code points of the folded text, and those of scripts without
    spaces.
    """
    length, unspaced = folded(content, at, end, shingling.folding, room.points)
    points, count = room.points[:length], length
    if not shingling.of_words:
        for place in range(count):
            room.tokens[place] = np.uint64(points[place])
    elif unspaced:
        count = unspaced_tokens(points, room.tokens)
    else:
        count = word_tokens(points, room.tokens)
    size = min(np.int64(shingling.size), count) if shingling.short else np.int64(shingling.size)
    count = shingles_in_place(room.tokens, count, size)
    return count, length, unspaced_count(points) if unspaced else np.int64(0)


@_compiled
def minima_of(shingles: U64, permutations: Permutations, minima: U32) -> None:
    """Write the smallest image of the shingles' upper halves under each permutation. shingles:
    uint64 [num_shingles]; minima: uint32 [num_hashes].
    """
    minima[:] = _LARGEST
    factors, summands, place = permutations.factors, permutations.summands, _ZERO
    # Four shingles a round: each reads the numbers of the permutations once, many of them in one
    # instruction.
    while place + _FOUR <= len(shingles):
        first, second = _upper(shingles[place]), _upper(shingles[place + _ONE])
        third, fourth = _upper(shingles[place + _TWO]), _upper(shingles[place + _THREE])
        for number in range(len(minima)):
            factor, summand = factors[number], summands[number]
            one = min(np.uint32(first * factor + summand), np.uint32(second * factor + summand))
            two = min(np.uint32(third * factor + summand), np.uint32(fourth * factor + summand))
            minima[number] = min(minima[number], min(one, two))
        place += _FOUR
    while place < len(shingles):
        upper = _upper(shingles[place])
        for number in range(len(minima)):
            image = np.uint32(upper * factors[number] + summands[number])
            minima[number] = min(minima[number], image)
        place += _ONE


@_compiled
def _upper(shingle: np.uint64) -> np.uint32:
    return np.uint32(shingle >> _32)


@_compiled
def band_keys(
    texts: Texts, shingling: Shingling, permutations: Permutations, room: Room, made: Signatures
) -> None:
    """Write the band keys of texts, and which are exempt, to `made`."""
    num_bands = made.bands.shape[1]
    minima = np.empty(len(permutations.factors), np.uint32)
    rows = len(minima) // num_bands
    for document in range(len(texts.ends)):
        start, end = texts.starts[document], texts.ends[document]
        count, length, unspaced = _shingles(texts.content, start, end, shingling, room)
        made.points[document, 0], made.points[document, 1] = np.uint64(length), np.uint64(unspaced)
        made.exempt[document] = count == 0
        if count == 0:
            made.bands[document] = _ZERO
            continue
        minima_of(room.tokens[:count], permutations, minima)
        for band in range(num_bands):
            key = _mixed(np.uint64(band + 1))
            for row in range(rows):
                key = _mixed(key ^ np.uint64(minima[band * rows + row]))
            made.bands[document, band] = key


@_compiled
def shared_count(left: U64, right: U64) -> int:
    """How many numbers two arrays share; both ascending and distinct, uint64 [num_left], uint64
    [num_right].
    """
    shared, a, b = 0, 0, 0
    while a < len(left) and b < len(right):
        if left[a] == right[b]:
            shared += 1
            a += 1
            b += 1
        elif left[a] < right[b]:
            a += 1
        else:
            b += 1
    return shared


@_compiled
def _root(parents: Any, document: np.uint64) -> np.uint64:
    """The first document of a cluster. parents: uint32 or uint64 [num_docs], here and below."""
    while parents[document] != document:
        parents[document] = parents[parents[document]]  # halves the path for who comes next
        document = np.uint64(parents[document])
    return document


@_compiled
def join(parents: Any, documents: U64, linked: U64) -> None:
    """Join the two clusters of each edge, uint64 [num_edges] each, under the smaller of their
    roots, so that a root is the first document of its cluster.
    """
    for edge in range(len(documents)):
        one, other = _root(parents, documents[edge]), _root(parents, linked[edge])
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other


@_compiled
def flatten(parents: Any, clustered: Flags) -> None:
    """Point each document to its root and mark those that are not alone: bool [num_docs]. No parent
    is above its child, so one ascending pass does it.
    """
    for document in range(len(parents)):
        root = parents[parents[document]]
        parents[document] = root
        if np.uint64(root) != np.uint64(document):
            clustered[root] = clustered[document] = True


@_compiled
def gather(parents: Any, clustered: Flags, members: Any, components: Any) -> None:
    """Write the documents that are marked, ascending, and their roots: members, components:
    [num_clustered], of the parents' dtype.
    """
    count = 0
    for document in range(len(parents)):
        if clustered[document]:
            members[count] = document
            components[count] = parents[document]
            count += 1
