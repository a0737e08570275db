"""A placebo takes as many documents and tokens as are there of like length, the nearest first, and
says what it did not find.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixtures.stream.placebo import (
    LIKE,
    PAYS,
    Candidates,
    add_lengths,
    by_class,
    length_class,
    matched,
    next_class,
)

COUNTS = st.dictionaries(st.integers(1, 400), st.integers(1, 6), max_size=30)


def one_by_one(
    imitated: dict[int, int], candidates: dict[int, int], owed: int = 0
) -> tuple[Counter[int], Counter[int], int]:
    """What is taken, what is left unmatched, and what is owed: a document at a time."""
    free, taken, unmatched = Counter(candidates), Counter[int](), Counter[int]()
    for length in sorted(Counter(imitated).elements(), reverse=True):
        aim = length + max(-(length // PAYS), min(owed, length // PAYS))
        like = [one for one in +free if length <= LIKE * one and one <= LIKE * length]
        if not like:
            unmatched[length] += 1
            continue
        best = min(like, key=lambda one: (abs(one - aim), one))
        free[best] -= 1
        taken[best] += 1
        owed += length - best
    return taken, unmatched, owed


@given(COUNTS, COUNTS, st.integers(-300, 300))
@example({100: 3}, {101: 9}, 0)  # each is off by one, and what is owed grows
@example({100: 3}, {99: 9}, 1)
@example({100: 3}, {100: 9}, 0)
def test_a_match_is_that_of_going_document_by_document(imitated, candidates, owed):
    pool = Candidates(candidates)
    unmatched, left = pool.match(imitated, owed)
    assert (pool.taken, unmatched, left) == one_by_one(imitated, candidates, owed)


@given(COUNTS, COUNTS)
def test_nobody_is_taken_twice_and_everybody_is_accounted_for(imitated, candidates):
    pool = Candidates(candidates)
    unmatched, _ = pool.match(imitated)
    assert all(count <= candidates[length] for length, count in pool.taken.items())
    assert sum(pool.taken.values()) + sum(unmatched.values()) == sum(imitated.values())


@given(COUNTS)
def test_where_there_are_as_many_of_each_length_exactly_these_are_taken(imitated):
    pool = Candidates({**imitated, **{length + 500: 9 for length in imitated}})
    assert pool.match(imitated) == ({}, 0)
    assert pool.taken == imitated


@given(COUNTS)
def test_tokens_are_met_where_every_length_has_candidates(imitated):
    """The longest find partners that are too short; the others pay for them."""
    imitated = {**imitated, 700: 1, 40: 60}
    pool = Candidates(dict.fromkeys(range(1, 500), 1000))
    unmatched, owed = pool.match(imitated)
    assert (unmatched, owed) == ({}, 0)
    assert sum(length * count for length, count in pool.taken.items()) == sum(
        length * count for length, count in imitated.items()
    )


def test_other_sources_give_in_their_order_what_is_missing_and_it_is_said():
    pools = {"a": Candidates({10: 1}), "b": Candidates({12: 1, 100: 2}), "c": Candidates({11: 9})}
    unmatched, elsewhere = matched({"a": {10: 4, 5000: 1}, "b": {12: 1}}, pools, ["b", "a", "c"])
    assert unmatched == {"a": {5000: 1}, "b": {}}
    assert elsewhere == {"a": {"c": 3}, "b": {}}
    assert [pool.taken for pool in pools.values()] == [{10: 1}, {12: 1}, {11: 3}]


@given(st.lists(st.integers(1, 2**32 - 1), max_size=30))
def test_a_class_of_length_is_a_quarter_of_an_octave(lengths):
    for tokens in lengths:
        least = length_class(tokens)
        assert least <= tokens
        assert (tokens**4).bit_length() == (least**4).bit_length()
        assert least <= tokens < next_class(least) == length_class(next_class(least))
        assert least == 1 or ((least - 1) ** 4).bit_length() < (least**4).bit_length()


@pytest.mark.parametrize("octave", [0, 1, 7, 15, 31])
def test_powers_of_two_begin_a_class(octave):
    assert length_class(1 << octave) == 1 << octave
    if octave:
        assert length_class((1 << octave) - 1) < (1 << octave) - octave // 2


@given(st.lists(st.integers(1, 5000), max_size=50))
def test_counts_by_class_add_up(lengths):
    counts: dict[int, int] = {}
    for part in (lengths[:7], lengths[7:]):
        add_lengths(counts, np.array(part, np.uint32))
    assert counts == Counter(lengths)
    assert by_class(counts) == Counter(map(length_class, lengths))
