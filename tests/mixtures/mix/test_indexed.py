""".idx files are byte for byte those of an independent writer, and a damaged pair is refused
without harm.
"""

from __future__ import annotations

import struct
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.audit.pair import pointer_faults
from mixtures.errors import AuditFailed
from mixtures.mix import indexed

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def written_by_the_book(sizes: list[int], code: int, token_bytes: int) -> bytes:
    """An .idx written one number at a time from the format's description
    (megatron/core/datasets/indexed_dataset.py).
    """
    content = b"MMIDIDX\x00\x00" + struct.pack("<Q", 1) + struct.pack("<B", code)
    content += struct.pack("<Q", len(sizes)) + struct.pack("<Q", len(sizes) + 1)
    content += b"".join(struct.pack("<i", size) for size in sizes)
    pointer = 0
    for size in sizes:
        content += struct.pack("<q", pointer)
        pointer += size * token_bytes
    return content + b"".join(struct.pack("<q", number) for number in range(len(sizes) + 1))


@st.composite
def stretches(draw):
    """Sizes of documents and an arbitrary order of consecutive stretches of them."""
    sizes = draw(SIZES)
    cuts = sorted({0, len(sizes), *draw(st.lists(st.integers(0, len(sizes)), max_size=4))})
    return sizes, draw(st.permutations(list(pairwise(cuts))))


@given(stretches(), st.sampled_from([("uint16", 8, 2), ("int32", 4, 4)]))
def test_pieces_in_any_order_make_the_file_of_an_independent_writer(drawn, kind):
    sizes, order = drawn
    dtype, code, token_bytes = kind
    content = bytearray(indexed.file_size(len(sizes)))
    content[: indexed.HEADER.size] = indexed.header(len(sizes), dtype)
    for first, last in order:
        for offset, piece in indexed.pieces(
            len(sizes),
            first,
            sum(sizes[:first]),
            np.array(sizes[first:last], np.int64),
            token_bytes,
        ):
            content[offset : offset + len(piece)] = piece
    assert bytes(content) == written_by_the_book(sizes, code, token_bytes)


def test_the_example_of_the_docstring_is_true():
    assert len(written_by_the_book([3, 2], 8, 2)) == indexed.file_size(2) == 82


def test_byte_pointers_beyond_two_gibibytes_do_not_wrap():
    _, pointers, _ = indexed.pieces(2, 0, 0, np.array([2**31 - 1, 5], np.int64), 2)
    assert struct.unpack("<2q", pointers[1]) == (0, 2 * (2**31 - 1))


@given(SIZES)
def test_a_whole_pair_is_read_back_and_found_sound(sizes):
    with tempfile.TemporaryDirectory() as folder:
        pair = open_pair(Path(folder), written_by_the_book(sizes, 8, 2), bytes(2 * sum(sizes)))
        assert pair.sizes.tolist() == sizes
        assert pointer_faults(pair) == []


def open_pair(folder: Path, idx: bytes, tokens: bytes) -> indexed.IndexedTokens:
    (folder / "t.idx").write_bytes(idx)
    (folder / "t.bin").write_bytes(tokens)
    return indexed.open_indexed(folder / "t.bin", folder / "t.idx")


@st.composite
def damaged_pairs(draw):
    """A sound pair with a few bytes of either file changed, cut off or added."""
    sizes = draw(SIZES)
    files = [bytearray(written_by_the_book(sizes, 8, 2)), bytearray(2 * sum(sizes))]
    for _ in range(draw(st.integers(1, 3))):
        content = files[draw(st.sampled_from([0, 0, 0, 1]))]
        place = draw(st.one_of(st.integers(0, 33), st.integers(0, len(content))))
        change = draw(st.sampled_from(["set", "cut", "add"]))
        if change == "set" and place < len(content):
            content[place] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[place:]
        else:
            content[place:place] = draw(st.binary(min_size=1, max_size=20))
    return bytes(files[0]), bytes(files[1])


@given(damaged_pairs())
def test_a_damaged_pair_is_refused_or_opens_within_its_files(files):
    idx, tokens = files
    with tempfile.TemporaryDirectory() as folder:
        try:
            pair = open_pair(Path(folder), idx, tokens)
        except AuditFailed:
            return
        assert pair.tokens.nbytes <= len(tokens)
        assert (
            pair.sizes.nbytes + pair.pointers.nbytes + pair.documents.nbytes + indexed.HEADER.size
            == len(idx)
        )
        assert all(isinstance(fault, str) for fault in pointer_faults(pair))


@given(SIZES, st.data())
def test_every_single_changed_byte_after_the_header_is_a_fault(sizes, data):
    idx = bytearray(written_by_the_book(sizes, 8, 2))
    place = data.draw(st.integers(indexed.HEADER.size, len(idx) - 1))
    idx[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        assert pointer_faults(open_pair(Path(folder), bytes(idx), bytes(2 * sum(sizes))))


@pytest.mark.parametrize("count", [2**31, 2**62, 2**64 - 1])
def test_counts_that_no_file_could_hold_are_refused_without_allocating(tmp_path, count):
    idx = bytearray(written_by_the_book([3, 2], 8, 2))
    idx[18:26] = struct.pack("<Q", count)
    with pytest.raises(AuditFailed, match="entries take"):
        open_pair(tmp_path, bytes(idx), bytes(10))


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(AuditFailed, match="no such file"):
        indexed.open_indexed(tmp_path, tmp_path / "none.idx")
