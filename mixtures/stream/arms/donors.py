"""Which donors fill which slots, decided by lengths alone.

A slot is the place of a removed document, of n tokens; a donor is a document that the base does not
use. Both come in an order: slots by (source, order key), donors of each length by order key.

    1. The k-th slot of n tokens takes the k-th donor of n tokens: `exact`.
    2. What is left, the longest first, takes the shortest donor that is longer and still unused,
       cut to its first n - 1 tokens and EOD: `cut`.
    3. Where none is longer, whole donors stand one after the other, the longest that fits first,
       and the last may be cut: `joined`.

Donors of a length are always used in their order, so what is used of a length is a prefix, and it
is enough to know how many there are. The assignment is made once for the slots of all arms with one
fill, so that these have the same donor wherever they share a slot.

Where donors are scarce and may be repeated (`assign_repeating`), that is done in rounds, each for
what the one before left empty. The first has the unused donors; each later one has all donors once
more, of a length the unused ones before those that stand in the base. So none is taken more than
once more than another, if a place in the base counts as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtures.stream.placebo import LengthPool

Int64s = npt.NDArray[np.int64]

Fill = Literal["fresh", "approved", "rewrites"]
"""What donors are: unused documents, approved ones (`mixtures.stream.arms.study.Approval`), or a
user's rewrites, each in the slot of its document, before unused ones for what it leaves."""
KINDS = ("exact", "cut", "joined")
EXACT, CUT, JOINED = range(3)
MAX_REPEATS = 100
"""Rounds behind the first."""
RULE = "1"
"""Of this module; a change that can change any assignment raises it."""


@dataclass(frozen=True)
class Pieces:
    """What fills the slots: pieces of donors in the order of the slots, and within a slot in the
    order of its tokens. All int64 [num_pieces].
    """

    slot: Int64s
    """Index of the slot."""
    length: Int64s
    """Tokens of the donor."""
    rank: Int64s
    """The donor's place among those of its length, from 0."""
    kept: Int64s
    """Tokens of the donor that stand in the slot, EOD included; fewer than its length if it is
    cut."""
    repeat: Int64s
    """The round, from 0."""
    unfilled: int
    """Tokens of slots for which there was no donor left; 0 if all is well."""

    @property
    def kind(self) -> Int64s:
        """As `kinds` has it."""
        return kinds(self.slot, self.kept, self.length)

    def used(self) -> dict[int, int]:
        """How many donors of each length are used: the first ones."""
        order = np.lexsort((self.rank, self.length))
        length, rank = self.length[order], self.rank[order]
        last = np.append(length[1:] != length[:-1], True)[: len(length)]
        return dict(zip(length[last].tolist(), (rank[last] + 1).tolist(), strict=True))


def kinds(slot: Int64s, kept: Int64s, length: Int64s) -> Int64s:
    """Index into KINDS of the slot of each piece. All int64 [num_pieces], as of `Pieces`."""
    count = np.bincount(slot)[slot] if len(slot) else slot
    return np.where(count > 1, JOINED, np.where(kept < length, CUT, EXACT))


def assign(slots: Int64s, donors: Mapping[int, int]) -> Pieces:
    """Fill slots with donors.

    Args:
        slots: tokens of each, int64 [num_slots], in their order. donors: how many there are of each
            length.
    """
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    first = np.searchsorted(ordered, ordered)  # of each slot, the first of its length
    rank = np.empty_like(slots)
    rank[order] = np.arange(len(slots)) - first
    lengths, at = np.unique(slots, return_inverse=True)
    there = np.array([donors.get(length, 0) for length in lengths.tolist()], np.int64)
    exact = np.flatnonzero(rank < (there[at] if len(at) else there))
    pool = _Pool(donors)
    for length, count in zip(
        *(column.tolist() for column in np.unique(slots[exact], return_counts=True)), strict=True
    ):
        pool.take(length, count)
    left = np.setdiff1d(np.arange(len(slots)), exact, assume_unique=True)
    left = left[np.argsort(-slots[left], kind="stable")]
    parts = [np.stack([exact, slots[exact], rank[exact], slots[exact]])]
    unfilled = 0
    _, begins = np.unique(-slots[left], return_index=True)
    for alike in np.split(left, begins[1:]):  # slots of one length, the longest first
        if len(alike):
            filled, missing = _filled(pool, alike, int(slots[alike[0]]))
            parts += filled
            unfilled += missing
    columns = np.concatenate(parts, axis=1)
    in_order = np.argsort(columns[0], kind="stable")
    slot, length, rank, kept = (column[in_order].astype(np.int64) for column in columns)
    return Pieces(slot, length, rank, kept, np.zeros_like(slot), unfilled)


def assign_repeating(slots: Int64s, unused: Mapping[int, int], again: Mapping[int, int]) -> Pieces:
    """Fill slots with donors that may be repeated. Among donors of a length, those that stand in
    the base have the ranks behind the unused ones.

    Args:
        slots: as of `assign`. unused, again: how many donors there are of each length, without and
            with a place in the base.
    """
    both = {length: unused.get(length, 0) + again.get(length, 0) for length in {*unused, *again}}
    left, found = slots.astype(np.int64), []
    for repeat in range(MAX_REPEATS + 1):
        empty = np.flatnonzero(left)
        if not len(empty) or not both:
            break
        pieces = assign(left[empty], both if repeat else unused)
        slot = empty[pieces.slot]
        np.subtract.at(left, slot, pieces.kept)
        found.append((slot, pieces.length, pieces.rank, pieces.kept, np.full_like(slot, repeat)))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] or [left[:0]] * 5
    order = np.argsort(columns[0], kind="stable")
    slot, length, rank, kept, rounds = (column[order] for column in columns)
    return Pieces(slot, length, rank, kept, rounds, int(left.sum()))


def _filled(pool: _Pool, slots: Int64s, tokens: int) -> tuple[list[Int64s], int]:
    """Fill slots of one length that have no donor of it.

    Returns:
        Rows of slot, length, rank and kept tokens of each piece, [4, num_pieces]; and the tokens
        that stay empty.
    """
    parts: list[Int64s] = []
    while len(slots):
        length, first, count = pool.longer(tokens, len(slots))
        if not count:
            break
        ranks = np.arange(first, first + count)
        parts.append(
            np.stack([slots[:count], np.full(count, length), ranks, np.full(count, tokens)])
        )
        slots = slots[count:]
    rows: list[tuple[int, ...]] = []
    unfilled = 0
    for slot in slots.tolist():
        pieces, missing = pool.joined(tokens)
        rows += [(slot, *piece) for piece in pieces]
        unfilled += missing
    return [*parts, np.array(rows, np.int64).reshape(-1, 4).T], unfilled


class _Pool(LengthPool):
    """The donors."""

    def __init__(self, donors: Mapping[int, int]) -> None:
        super().__init__(donors)
        self._used = [0] * len(self._lengths)

    def take(self, length: int, count: int) -> None:
        """Use the next donors of a length, of which there are enough."""
        self._take(bisect_left(self._lengths, length), count)

    def _take(self, at: int, count: int = 1) -> int:
        rank = self._used[at]
        self._used[at] += count
        self._use(at, count)
        return rank

    def longer(self, tokens: int, most: int) -> tuple[int, int, int]:
        """Use the shortest donors that are longer, of one length and at most so many: that length,
        the rank of the first, and how many; 0 if none is longer.
        """
        at = self._above(bisect_left(self._lengths, tokens))
        if at == len(self._lengths):
            return 0, 0, 0
        count = min(most, self._left[at])
        return self._lengths[at], self._take(at, count), count

    def joined(self, tokens: int) -> tuple[list[tuple[int, int, int]], int]:
        """Fill a slot: (length, rank, kept tokens) of each donor; and the tokens that stay empty,
        since no donor is left.
        """
        pieces: list[tuple[int, int, int]] = []
        while tokens:
            at = self._above(bisect_left(self._lengths, tokens))
            if at == len(self._lengths):
                at = self._below(at)
            if at < 0:
                return pieces, tokens
            length = self._lengths[at]
            kept = min(length, tokens)
            pieces.append((length, self._take(at), kept))
            tokens -= kept
        return pieces, 0
