"""Order keys depend on the text alone, sorting agrees with Python's, and key ranges neither overlap
nor leave gaps.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise, product
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures import keys
from mixtures.keys import COMPILED_FROM, order_keys
from mixtures.keys.kernel import keyed_hashes

SHARES = st.decimals(0, 1, allow_nan=False, places=18)
RANGES = st.tuples(st.integers(0, 24), st.integers(0, 24)).map(
    lambda pair: keys.KeyRange(min(pair), max(pair))
)
EDGES = [0, 1, 2, 2**63, 2**64 - 2, 2**64 - 1, 2**64]
EDGE_RANGES = st.tuples(st.sampled_from(EDGES), st.sampled_from(EDGES)).map(
    lambda pair: keys.KeyRange(min(pair), max(pair))
)
UNASSIGNED = "".join(
    "-".join(f"\\U{int(end, 16):08X}" for end in entry.split("-"))
    for entry in keys.UNASSIGNED_IN_13.split()
)
DIGESTS = st.binary(min_size=16, max_size=16)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_many_keys_at_once_are_those_of_the_texts_one_by_one(texts):
    digests = [keys.text_digest(text) for text in texts]
    contents = [keys.content_of(text).encode() for text in texts]
    assert digests == [blake2b(content, digest_size=16).digest() for content in contents]
    columns = keys.digest_columns(b"".join(digests))
    expected = [keys.order_key(digest) for digest in digests]
    assert order_keys(columns).tolist() == keyed_hashes(columns, keys.SALT).tolist() == expected
    assert columns.astype(">u8").tobytes() == b"".join(digests)


def test_keys_of_more_digests_than_the_kernel_is_loaded_for_are_the_same():
    columns = keys.digest_columns(np.random.default_rng(1).bytes(16 * COMPILED_FROM))
    few = [order_keys(columns[at : at + 9000]) for at in range(0, COMPILED_FROM, 9000)]
    assert order_keys(columns).tolist() == np.concatenate(few).tolist()


KEYS_OF_ZEROS = """
import sys
import numpy as np
from mixtures.keys import SALT
from mixtures.keys.kernel import keyed_hashes
print(keyed_hashes(np.zeros((2, 2), np.uint64), SALT).tolist(), "numba.np.linalg" in sys.modules)
"""


def test_a_kept_kernel_is_loaded_without_what_compiles_one(tmp_path):
    said = [
        subprocess.run(
            [sys.executable, "-c", KEYS_OF_ZEROS],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    hashes = [keys.order_key(bytes(16))] * 2
    assert said == [f"{hashes} True\n", f"{hashes} False\n"]


def test_digest_and_key_of_a_known_text_never_change():
    digest = keys.text_digest("Grüße, 世界")
    assert digest.hex() == blake2b("Grüße, 世界".encode(), digest_size=16).hexdigest()
    assert keys.order_key(digest) == int.from_bytes(
        blake2b(digest, digest_size=8, key=b"annealmix-1").digest(), "little"
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_content_is_normal_form_c_and_the_same_for_all_texts_that_are_canonically_equal(text):
    content = keys.content_of(text)
    assert keys.content_of(content) == content
    assert {keys.content_of(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {
        content
    }
    assert keys.text_digest(unicodedata.normalize("NFD", text)) == keys.text_digest(text)
    if not re.search(f"[{UNASSIGNED}]", text):
        assert content == unicodedata.normalize("NFC", text)


MARKS = (
    "\u0301\u0323\u0338\u093c\u1161\u11a8\u3099\U00011357"
    # assigned after Unicode 13.0, so that newer versions of Python move and compose them
    "\u0898\u1ace\U0001e4ec\U00010efd\U00016d67"
)


def test_normal_forms_are_those_of_one_version_of_unicode_whatever_pythons():
    found = blake2b(digest_size=8)
    for point in (*range(0x3000), *range(0x3000, 0xD800, 97), *range(0xE000, 0x20000, 7)):
        text = chr(point)
        for form in (text, text + "\u0301", f"e\u0301{text}\u0323", f"a\u0301{text}"):
            found.update(keys.content_of(form).encode())
    for base in "eKa\u1100\u0915\u304b\U00011347\U00016d63":
        for one, other in product(MARKS, MARKS):
            found.update(keys.content_of(base + one + other).encode())
    assert found.hexdigest() == "ae967ea9fc7e0d46"


@pytest.mark.parametrize(
    "kept",
    [
        "plain",
        "Gr\u00fc\u00dfe, \u4e16\u754c",
        "\ufb01ne",
        "\u00b2",
        "\uff21",
        "a\u200db",
        "\u2126"[:0],
    ],
)
def test_a_text_in_normal_form_is_returned_as_it_is(kept):
    assert keys.content_of(kept) is kept


@given(SHARES)
def test_a_share_becomes_the_smallest_key_not_below_it(share):
    bound = keys.key_bound(share)
    assert bound == ceil(Fraction(share) * 2**64)
    assert 0 <= bound <= keys.KEY_SPACE


def test_the_ends_of_the_key_space_are_exact():
    assert keys.key_bound(Decimal(0)) == 0
    assert keys.key_bound(Decimal(1)) == 2**64
    assert keys.key_bound(Decimal("0.5")) == 2**63
    assert keys.key_bound(Decimal("0.8")) == -(-8 * 2**64 // 10)


@given(st.lists(RANGES, max_size=6), RANGES)
def test_missing_ranges_are_what_the_present_ones_leave(present, wanted):
    missing = wanted.minus(present)
    covered = {key for low, high in present for key in range(low, high)}
    assert [key for low, high in missing for key in range(low, high)] == [
        key for key in range(*wanted) if key not in covered
    ]
    assert all(low < high for low, high in missing)
    assert all(left[1] < right[0] for left, right in pairwise(missing))


@given(st.lists(RANGES, max_size=6))
def test_the_union_of_ranges_holds_their_keys_in_ranges_that_do_not_touch(ranges):
    union = keys.merged(ranges)
    assert {key for item in union for key in range(*item)} == {
        key for item in ranges for key in range(*item)
    }
    assert all(left.high < right.low for left, right in pairwise(union))


@given(EDGE_RANGES, EDGE_RANGES, st.lists(st.sampled_from(EDGES[:-1])))
def test_rows_masks_and_overlaps_agree_with_single_keys_up_to_the_edge_of_the_space(
    one, other, chosen
):
    column = np.array(sorted(chosen), np.uint64)
    held = [one.holds(key) for key in sorted(chosen)]
    assert one.mask(column).tolist() == held
    assert column[one.rows(column)].tolist() == [key for key in sorted(chosen) if one.holds(key)]
    assert one.common(other).mask(column).tolist() == [
        both and other.holds(key) for both, key in zip(held, sorted(chosen), strict=True)
    ]
    assert one.meets(other) == any(
        one.holds(key) and other.holds(key) for key in (one.low, other.low)
    )
    assert keys.KeyRange.parse(one.hex()) == one


@given(st.integers(0, 6).map(lambda power: 2**power))
def test_partitions_are_the_key_space_without_gap_or_overlap(count):
    parts = [keys.KeyRange.partition(number, count) for number in range(count)]
    assert keys.merged(parts) == [keys.ALL_KEYS]
    assert sum(part.width for part in parts) == 2**64


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]),  # collisions of keys are forced
            st.one_of(
                DIGESTS,
                st.sampled_from([bytes(16), bytes(15) + b"\1", b"\xff" * 16, b"\x80" + bytes(15)]),
            ),
            st.integers(0, 2),
            st.integers(0, 2**32 - 1),
        )
    )
)
def test_sorting_is_that_of_python_with_forced_ties_and_key_collisions(documents):
    key = np.array([document[0] for document in documents], np.uint64)
    digest = keys.digest_columns(b"".join(document[1] for document in documents))
    source, row = (
        np.array([document[column] for document in documents], np.uint32) for column in (2, 3)
    )
    order = keys.sort_order(key, digest, source, row)
    assert sorted(order.tolist()) == list(range(len(documents)))
    assert [documents[index] for index in order] == sorted(documents)
    plain = keys.sort_order(key, digest)
    assert [documents[index][:2] for index in plain] == sorted(
        document[:2] for document in documents
    )


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))),
)
def test_a_set_of_digests_holds_just_its_members_even_where_first_halves_agree(members, wanted):
    known = keys.DigestSet(np.array(sorted(members), np.uint64).reshape(-1, 2))
    assert len(known) == len(members)
    assert known.holds(np.array(wanted, np.uint64).reshape(-1, 2)).tolist() == [
        pair in members for pair in wanted
    ]


def test_documents_that_are_the_same_in_all_keep_their_order():
    key = np.arange(1000, dtype=np.uint64) % 3
    order = keys.sort_order(key, keys.digest_columns(bytes(16 * 1000)))
    assert order.tolist() == [row for first in range(3) for row in range(first, 1000, 3)]


@pytest.mark.parametrize("rows", [[(2, 0), (1, 0)], [(1, 2), (1, 1)], [(0, 0), (2, 0), (1, 0)]])
def test_digests_out_of_order_are_refused(rows):
    with pytest.raises(ValueError, match="not in ascending order"):
        keys.DigestSet(np.array(rows, np.uint64))
