"""Doses are nested, and do not depend on how the documents are split."""

from __future__ import annotations

from fractions import Fraction
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from mixtures.keys import digest_columns, order_key, order_keys
from mixtures.recipe.filter_use import DOSE_SALT, in_dose


def dose_keys(columns: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return order_keys(columns, DOSE_SALT)


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


def test_a_dose_takes_documents_whose_dose_key_lies_below_it():
    columns = digest_columns(b"".join(digests(200)))
    keys = dose_keys(columns).tolist()
    for dose in (0, 1, sorted(keys)[100], 2**64 - 1, 2**64):
        assert in_dose(columns, dose).tolist() == [key < dose for key in keys]
