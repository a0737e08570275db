"""Doses are nested, placebos remove as many of like length, and neither depends on how the
documents are split.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.keys import digest_columns, order_key
from mixtures.recipe.filter_use import LENGTH_CLASSES, dose_keys, length_class, placebo

Documents = list[tuple[bool, int]]
"""(flagged, class of length) of documents in key order."""

DOCUMENTS = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60)


def one_by_one(documents: Documents) -> tuple[list[bool], Counter[int]]:
    """Which documents a placebo removes, and what it owes in the end."""
    owed: Counter[int] = Counter()
    removed = []
    for flagged, number in documents:
        pays = not flagged and owed[number] > 0
        owed[number] += 1 if flagged else -pays
        removed.append(pays)
    return removed, +owed


def chosen(documents: Documents, debts: np.ndarray) -> tuple[list[bool], np.ndarray]:
    flagged = np.array([is_flagged for is_flagged, _ in documents], np.bool_)
    classes = np.array([number for _, number in documents], np.int64)
    removed, left = placebo(flagged, classes, debts)
    return removed.tolist(), left


def none_owed() -> np.ndarray:
    return np.zeros(LENGTH_CLASSES, np.int64)


@given(DOCUMENTS)
def test_a_placebo_is_that_of_going_document_by_document(documents):
    removed, owed = one_by_one(documents)
    found, left = chosen(documents, none_owed())
    assert found == removed
    assert {number: int(left[number]) for number in np.flatnonzero(left).tolist()} == owed


@given(DOCUMENTS, st.lists(st.integers(0, 60), max_size=5))
def test_a_placebo_does_not_depend_on_how_the_documents_are_split(documents, cuts):
    bounds = [0, *sorted(min(cut, len(documents)) for cut in cuts), len(documents)]
    debts, found = none_owed(), []
    for low, high in pairwise(bounds):
        removed, debts = chosen(documents[low:high], debts)
        found += removed
    whole, left = chosen(documents, none_owed())
    assert found == whole
    assert np.array_equal(debts, left)


@given(DOCUMENTS)
def test_a_placebo_removes_as_many_of_each_class_as_are_flagged_but_for_what_it_owes(documents):
    found, left = chosen(documents, none_owed())
    flagged = Counter(number for is_flagged, number in documents if is_flagged)
    removed = Counter(
        number for (_, number), is_removed in zip(documents, found, strict=True) if is_removed
    )
    assert all(removed[number] + int(left[number]) == flagged[number] for number in range(4))
    assert not any(
        is_removed and is_flagged
        for (is_flagged, _), is_removed in zip(documents, found, strict=True)
    )


@given(DOCUMENTS, DOCUMENTS)
def test_more_documents_never_change_what_a_placebo_chose(documents, more):
    assert (
        chosen([*documents, *more], none_owed())[0][: len(documents)]
        == chosen(documents, none_owed())[0]
    )


def test_debts_that_come_in_are_not_changed_in_place():
    debts = none_owed()
    chosen([(True, 2)], debts)
    assert not debts.any()


@given(st.lists(st.integers(1, 2**32 - 1), max_size=30))
def test_the_class_of_length_is_the_floor_of_eight_logarithms(lengths):
    for tokens, number in zip(
        lengths, length_class(np.array(lengths, np.uint32)).tolist(), strict=True
    ):
        assert 2**number <= tokens**8 < 2 ** (number + 1)


@pytest.mark.parametrize("octave", [0, 1, 7, 15, 31])
def test_powers_of_two_begin_an_octave_and_the_number_before_does_not(octave):
    assert length_class(np.array([1 << octave], np.uint32)).tolist() == [8 * octave]
    if octave:
        assert length_class(np.array([(1 << octave) - 1], np.uint32)).tolist()[0] < 8 * octave


def test_every_length_that_a_document_can_have_has_a_class():
    lengths = np.array([1, 2**32 - 1], np.uint32)
    assert length_class(lengths).tolist() == [0, LENGTH_CLASSES - 1]


def digests(count: int) -> list[bytes]:
    return [blake2b(str(number).encode(), digest_size=16).digest() for number in range(count)]


def test_dose_keys_are_a_hash_of_the_digest_alone_and_not_the_order_key():
    raw = digests(500)
    keys = dose_keys(digest_columns(b"".join(raw))).tolist()
    assert keys == [
        int.from_bytes(blake2b(digest, digest_size=8, key=b"annealmix-dose-1").digest(), "little")
        for digest in raw
    ]
    assert dose_keys(digest_columns(b"".join(reversed(raw)))).tolist() == keys[::-1]
    assert not set(keys) & {order_key(digest) for digest in raw}
    assert dose_keys(digest_columns(b"")).tolist() == []


@given(st.fractions(0, 1), st.fractions(0, 1))
def test_a_smaller_dose_removes_a_part_of_what_a_larger_one_removes(one, two):
    keys = dose_keys(digest_columns(b"".join(digests(200)))).tolist()
    small, large = ({key for key in keys if key < share * 2**64} for share in sorted((one, two)))
    assert small <= large


def test_a_dose_is_near_its_share_within_every_stretch_of_order_keys():
    raw = sorted(digests(8000), key=order_key)
    keys = dose_keys(digest_columns(b"".join(raw))).tolist()
    for at in range(0, 8000, 2000):
        share = Fraction(sum(key < 2**62 for key in keys[at : at + 2000]), 2000)
        assert abs(share - Fraction(1, 4)) < Fraction(1, 20)
