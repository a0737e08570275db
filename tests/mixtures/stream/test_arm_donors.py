"""Slots are filled to the token, with donors of their own length as far as there are any, each
donor once; and what shares a slot shares a donor.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from mixtures.stream.arms.donors import (
    CUT,
    EXACT,
    KINDS,
    MAX_REPEATS,
    Pieces,
    assign,
    assign_repeating,
)

SLOTS = st.lists(st.integers(1, 40), max_size=40)
DONORS = st.dictionaries(st.integers(1, 60), st.integers(0, 5), max_size=30)


def fill(slots: list[int], donors: dict[int, int]) -> Pieces:
    return assign(np.array(slots, np.int64), donors)


def one_by_one(slots: list[int], donors: dict[int, int]) -> dict[int, list[tuple[int, int, int]]]:
    """The rule as it is written: [(length, rank, kept)] of each slot that is filled."""
    left, used, filled = Counter(donors), Counter[int](), dict[int, list[tuple[int, int, int]]]()

    def take(length: int, kept: int) -> tuple[int, int, int]:
        left[length] -= 1
        used[length] += 1
        return length, used[length] - 1, kept

    for slot, tokens in enumerate(slots):
        if left[tokens] > 0:
            filled[slot] = [take(tokens, tokens)]
    rest = [slot for slot in range(len(slots)) if slot not in filled]
    for slot in sorted(rest, key=lambda slot: -slots[slot]):
        filled[slot], tokens = [], slots[slot]
        while tokens and +left:
            long = [length for length in +left if length >= tokens]
            length = min(long) if long else max(+left)
            filled[slot].append(take(length, min(length, tokens)))
            tokens -= min(length, tokens)
    return filled


@given(SLOTS, DONORS)
def test_slots_are_filled_by_the_rule_as_it_is_written(slots, donors):
    pieces = fill(slots, donors)
    found: dict[int, list[tuple[int, int, int]]] = {}
    columns = (pieces.slot, pieces.length, pieces.rank, pieces.kept)
    for slot, *piece in zip(*(column.tolist() for column in columns), strict=True):
        found.setdefault(slot, []).append(tuple(piece))
    assert found == {slot: filled for slot, filled in one_by_one(slots, donors).items() if filled}


@given(SLOTS, DONORS)
def test_every_slot_is_full_and_every_donor_used_once(slots, donors):
    pieces = fill(slots, donors)
    places = list(zip(pieces.length.tolist(), pieces.rank.tolist(), strict=True))
    assert len(set(places)) == len(places)
    assert all(rank < donors[length] for length, rank in places)
    used = Counter(length for length, _ in places)
    assert used == pieces.used()
    assert all(rank < used[length] for length, rank in places)  # a prefix of each length
    kept = np.bincount(pieces.slot, pieces.kept, len(slots)).astype(np.int64)
    assert (kept <= slots).all()
    assert int((np.array(slots, np.int64) - kept).sum()) == pieces.unfilled
    whole = sum(length * count for length, count in donors.items())
    if pieces.unfilled:
        assert used == +Counter(donors)
    assert whole >= int(pieces.kept.sum())


@given(SLOTS, DONORS)
def test_as_many_slots_as_can_have_a_donor_of_their_own_length(slots, donors):
    pieces = fill(slots, donors)
    assume(not pieces.unfilled)
    exact = Counter(pieces.length[pieces.kind == EXACT].tolist())
    wanted = Counter(slots)
    assert exact == +Counter({n: min(wanted[n], donors.get(n, 0)) for n in wanted})
    assert (pieces.kept[pieces.kind == CUT] < pieces.length[pieces.kind == CUT]).all()
    last = np.append(np.diff(pieces.slot) > 0, True)[: len(pieces.slot)]
    assert (pieces.kept == pieces.length)[~last].all()  # of several, the last alone is cut


@given(SLOTS, DONORS)
def test_equal_slots_take_donors_in_their_order(slots, donors):
    pieces = fill(slots, donors)
    alone = np.bincount(pieces.slot, minlength=len(slots))[pieces.slot] == 1
    exact = alone & (np.array(slots, np.int64)[pieces.slot] == pieces.length)
    for length in set(slots):
        ranks = pieces.rank[exact & (pieces.length == length)].tolist()
        assert ranks == list(range(len(ranks)))


def test_a_longer_donor_is_cut_and_shorter_ones_are_joined():
    pieces = fill([5, 9, 7, 3], {10: 1, 6: 1, 4: 2, 3: 2})
    columns = (pieces.slot, pieces.length, pieces.kept)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        *[(0, 4, 4), (0, 4, 1)],  # nothing as long as 5 is left
        (1, 10, 9),
        *[(2, 6, 6), (2, 3, 1)],
        (3, 3, 3),
    ]
    assert [KINDS[kind] for kind in pieces.kind] == [
        *("joined", "joined", "cut", "joined", "joined", "exact")
    ]


def test_what_no_donor_is_left_for_is_counted():
    assert fill([5, 9], {4: 1}).unfilled == 10
    assert fill([5, 9], {}).unfilled == 14
    assert fill([], {4: 1}).unfilled == 0


def round_by_round(
    slots: list[int], unused: dict[int, int], again: dict[int, int]
) -> dict[int, list[tuple[int, int, int, int]]]:
    """The rule of repeats as it is written: [(length, rank, kept, repeat)] of each slot."""
    left = list(slots)
    filled: dict[int, list[tuple[int, int, int, int]]] = {slot: [] for slot in range(len(slots))}
    for repeat in range(MAX_REPEATS + 1):
        pool = Counter(unused) + Counter(again if repeat else {})
        empty = [slot for slot, tokens in enumerate(left) if tokens]
        for at, pieces in one_by_one([left[slot] for slot in empty], pool).items():
            for length, rank, kept in pieces:
                filled[empty[at]].append((length, rank, kept, repeat))
                left[empty[at]] -= kept
    return filled


@given(SLOTS, DONORS, DONORS)
def test_scarce_donors_are_taken_round_by_round(slots, unused, again):
    pieces = assign_repeating(np.array(slots, np.int64), unused, again)
    found: dict[int, list[tuple[int, ...]]] = {slot: [] for slot in range(len(slots))}
    columns = (pieces.slot, pieces.length, pieces.rank, pieces.kept, pieces.repeat)
    for slot, *piece in zip(*(column.tolist() for column in columns), strict=True):
        found[slot].append(tuple(piece))
    assert found == round_by_round(slots, unused, again)
    assert pieces.unfilled == sum(slots) - int(pieces.kept.sum())


@given(SLOTS, DONORS, DONORS)
def test_repeats_are_as_even_as_they_can_be(slots, unused, again):
    """A place in the base counts as one, and an unused donor goes before any repeat."""
    pieces = assign_repeating(np.array(slots, np.int64), unused, again)
    times = {
        (length, rank): int(rank >= unused.get(length, 0))
        for length in {*unused, *again}
        for rank in range(unused.get(length, 0) + again.get(length, 0))
    }
    taken = zip(pieces.length.tolist(), pieces.rank.tolist(), pieces.repeat.tolist(), strict=True)
    for length, rank, repeat in sorted(taken, key=lambda one: one[2]):
        assert times[length, rank] == repeat  # in each round once, and the base is the first
        times[length, rank] += 1
    assert len(set(times.values())) < 3
    assert max(times.values(), default=0) - min(times.values(), default=0) < 2
    if any(times.values()) and pieces.unfilled:
        assert set(times.values()) == {MAX_REPEATS + 1}
    assert all(
        rank < count
        for length, count in pieces.used().items()
        for rank in pieces.rank[pieces.length == length].tolist()
    )


@given(SLOTS, DONORS)
def test_where_unused_donors_suffice_none_is_repeated(slots, unused):
    once = fill(slots, unused)
    assume(not once.unfilled)
    again = assign_repeating(np.array(slots, np.int64), unused, {3: 2})
    for name in ("slot", "length", "rank", "kept", "repeat"):
        np.testing.assert_array_equal(getattr(once, name), getattr(again, name))


def test_what_a_hundred_repeats_do_not_fill_is_counted():
    donors = assign_repeating(np.array([1000], np.int64), {2: 1}, {3: 1})
    assert donors.unfilled == 1000 - 2 - MAX_REPEATS * 5
    assert assign_repeating(np.array([4], np.int64), {}, {}).unfilled == 4
