"""Slots are filled to the token, with donors of their own length as far as there are any, each
donor once; and what shares a slot shares a donor.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from mixtures.stream.arms.donors import CUT, EXACT, KINDS, Pieces, assign

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
