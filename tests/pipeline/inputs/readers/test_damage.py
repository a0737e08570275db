"""Damaged files: truncated, flipped or changed input is an error by name, undecodable lines are
quarantined. Never silence.

The case numbers are those of the fault list that the readers were built against; the ending is in
each test's name: `fails` (InputError), `quarantined` (that row alone, with its number and reason)
or `read` (handled).
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from pipeline.inputs.file import InputFile
from pipeline.inputs.readers import DocumentReader
from tests.pipeline.input_files import (
    COUNT,
    FORMATS,
    NAMES,
    STREAMS,
    TEXTS,
    definition,
    fails,
    flip_bit,
    json_lines,
    list_inputs,
    others,
    pack,
    pin,
    read,
    reasons,
    rows_of,
    with_row,
    write,
)

# 1, 2: lines that cannot be decoded


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize(
    "line", [b'{"text": "secret', b"{'text': 'secret'}", b'{"text": "secret"} x']
)
def test_case_1_a_malformed_line_is_quarantined_and_the_others_read(tmp_path, packing, line):
    write(tmp_path, packing, with_row(500, line))
    reader, documents = read(tmp_path, definition(packing))
    assert documents == others(500)
    assert reasons(reader) == [(500, "json")]
    assert reader.quarantined[0].path == NAMES[packing]
    assert "secret" not in repr(reader.quarantined)
    assert reader.counts["rows"] == COUNT


@pytest.mark.parametrize("line", [b"[1]", b'"text"', b"7", b"null", b"true"])
def test_case_1_json_that_is_no_object_is_quarantined(tmp_path, line):
    write(tmp_path, "jsonl", with_row(3, line))
    reader, documents = read(tmp_path, definition("jsonl"))
    assert documents == others(3)
    assert reasons(reader) == [(3, "not-an-object")]


def test_case_1_nesting_without_end_is_quarantined(tmp_path):
    write(tmp_path, "jsonl", with_row(3, b'{"text": ' + b"[" * 100_000))
    reader, documents = read(tmp_path, definition("jsonl"))
    assert documents == others(3)
    assert reasons(reader) == [(3, "json")]


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]
)
def test_case_2_invalid_utf8_in_mid_file_is_quarantined_that_line_alone(tmp_path, packing, bad):
    write(tmp_path, packing, with_row(499, b'{"text": "a ' + bad + b' b"}'))
    reader, documents = read(tmp_path, definition(packing))
    assert documents == others(499)
    assert reasons(reader) == [(499, "utf8")]


def test_case_2_invalid_utf8_in_a_parquet_value_is_quarantined_that_row_alone(tmp_path):
    values = [text.encode() for text in TEXTS]
    values[499] = b"a \xff b"
    column = pa.Array.from_buffers(pa.string(), COUNT, pa.array(values, pa.binary()).buffers())
    path = write(tmp_path, "parquet", rows_of(["x"]))
    for use_dictionary in (False, True):
        pq.write_table(pa.table({"text": column}), path, use_dictionary=use_dictionary)
        reader, documents = read(tmp_path, definition("parquet"))
        assert documents == others(499)
        assert reasons(reader) == [(499, "utf8")]


# 3 to 11: truncated and damaged files


@pytest.mark.parametrize(
    ("packing", "case"), [("jsonl.gz", 3), ("jsonl.zst", 4), ("parquet", 11), ("zip", 0)]
)
@given(data=st.data())
def test_cases_3_4_11_a_file_cut_anywhere_fails(packing, case, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), packing, rows_of(TEXTS[:50]))
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
        fails(Path(folder), packing, "truncated|damaged")


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_cases_3_4_a_file_cut_inside_its_second_member_fails(tmp_path, packing):
    path = write(tmp_path, packing, [])
    path.write_bytes(
        pack(packing, json_lines(rows_of(TEXTS))) + pack(packing, json_lines(rows_of(TEXTS)))[:-1]
    )
    fails(tmp_path, packing, "truncated")


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_cases_3_4_bytes_after_the_last_member_fail(tmp_path, packing):
    path = write(tmp_path, packing, [])
    path.write_bytes(pack(packing, json_lines(rows_of(TEXTS))) + b"rubbish")
    fails(tmp_path, packing, "damaged")


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_case_5_a_file_cut_between_two_members_fails_by_its_pinned_hash(tmp_path, packing):
    members = [pack(packing, json_lines(rows_of(TEXTS[start : start + 500]))) for start in (0, 500)]
    path = write(tmp_path, packing, [])
    path.write_bytes(b"".join(members))
    pin(tmp_path)
    assert len(read(tmp_path, definition(packing))[1]) == COUNT
    path.write_bytes(members[0])
    fails(tmp_path, packing, "expected sha256 .* found .* truncated or changed")


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_case_5_a_file_cut_between_two_members_fails_by_its_pinned_size(tmp_path, packing):
    """The size of a hub's listing. A local file is listed with its own size, and must still have it
    when it is opened.
    """
    members = [pack(packing, json_lines(rows_of(TEXTS[start : start + 500]))) for start in (0, 500)]
    path = write(tmp_path, packing, [])
    path.write_bytes(b"".join(members))
    (file,) = list_inputs(definition(packing), tmp_path)
    path.write_bytes(members[0])
    with pytest.raises(
        InputError, match=f"expected {file.size:,} bytes, found {len(members[0]):,}"
    ):
        list(DocumentReader(file, definition(packing)))


@given(st.data())
def test_case_6_a_bit_flip_in_the_body_of_a_gz_fails(data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "jsonl.gz", rows_of(TEXTS[:50]))
        flip_bit(
            path, data.draw(st.integers(10, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
        )
        fails(Path(folder), "jsonl.gz", "damaged|truncated")


@pytest.mark.parametrize(
    ("packing", "case"),
    [("jsonl", 8), ("jsonl.gz", 6), ("jsonl.zst", 7), ("parquet", 9), ("zip", 0)],
)
@given(data=st.data())
def test_cases_6_to_10_a_bit_flip_anywhere_in_a_pinned_file_fails(packing, case, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), packing, rows_of(TEXTS[:50]))
        pin(Path(folder))
        flip_bit(
            path, data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
        )
        fails(
            Path(folder),
            packing,
            "truncated|damaged|changed|bomb|quarantined|cannot be read|columns found",
        )


@pytest.mark.parametrize("packing", FORMATS)
@given(data=st.data())
def test_a_bit_flip_in_a_file_without_a_pin_fails_or_leaves_every_row_accounted_for(packing, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), packing, rows_of(TEXTS[:50]))
        for _ in range(data.draw(st.integers(1, 3))):
            flip_bit(
                path,
                data.draw(st.integers(0, path.stat().st_size - 1)),
                data.draw(st.integers(0, 7)),
            )
        try:
            reader, documents = read(Path(folder), definition(packing))
        except InputError:
            return
        assert reader.counts["rows"] == len(documents) + reader.counts["empty"] + len(
            reader.quarantined
        )


def test_case_7_a_bit_flip_in_a_zst_without_checksum_fails_by_hash(tmp_path):
    """Raw blocks: zstandard itself cannot see it."""
    path = write(tmp_path, "jsonl.zst", rows_of(["Zq7#vX2p"]))
    pin(tmp_path)
    flip_bit(path, path.read_bytes().index(b"Zq7#vX2p"))
    fails(tmp_path, "jsonl.zst", "expected sha256")


def test_case_8_a_bit_flip_in_plain_jsonl_fails_by_hash(tmp_path):
    path = write(tmp_path, "jsonl", rows_of(TEXTS))
    pin(tmp_path)
    flip_bit(path, path.read_bytes().index(b"quick"))
    fails(tmp_path, "jsonl", "expected sha256")


@pytest.mark.parametrize(("compression", "case"), [("none", 9), ("snappy", 10), ("zstd", 10)])
def test_cases_9_10_a_bit_flip_in_a_parquet_page_with_a_checksum_fails(tmp_path, compression, case):
    path = write(tmp_path, "parquet", rows_of(["x"]))
    table = pa.table({"text": TEXTS})
    pq.write_table(
        table,
        path,
        compression=compression,
        use_dictionary=False,
        write_page_checksum=True,
        write_statistics=False,
    )
    flip_bit(path, path.stat().st_size // 3)
    fails(tmp_path, "parquet", "damaged")


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_cases_9_10_a_bit_flip_in_a_parquet_page_without_a_checksum_fails_by_hash_before_any_row(
    tmp_path, compression
):
    path = write(tmp_path, "parquet", rows_of(["x"]))
    pq.write_table(pa.table({"text": TEXTS}), path, compression=compression, use_dictionary=False)
    pin(tmp_path)
    flip_bit(path, path.stat().st_size // 3)
    (file,) = list_inputs(definition("parquet"), tmp_path)
    reader = DocumentReader(file, definition("parquet"))
    with pytest.raises(InputError, match="expected sha256"):
        next(iter(reader))


def test_a_damaged_member_of_a_zip_fails(tmp_path):
    path = write(tmp_path, "zip", rows_of(["Zq7#vX2p" * 3]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.json", b'{"text": "Zq7#vX2p"}')
    flip_bit(path, path.read_bytes().index(b"Zq7#vX2p"))
    fails(tmp_path, "zip", "'a.json' is damaged")


# 21: files that change


@pytest.mark.parametrize("packing", FORMATS)
def test_a_file_that_changed_since_it_was_listed_fails(tmp_path, packing):
    path = write(tmp_path, packing, rows_of(TEXTS[:10]))
    (file,) = list_inputs(definition(packing), tmp_path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="changed since it was listed"):
        list(DocumentReader(file, definition(packing)))


@pytest.mark.parametrize("packing", FORMATS)
def test_a_file_that_changes_while_it_is_read_fails(tmp_path, packing):
    path = write(tmp_path, packing, rows_of(TEXTS[:10]))
    (file,) = list_inputs(definition(packing), tmp_path)
    documents = iter(DocumentReader(file, definition(packing)))
    next(documents)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="changed while it was read"):
        list(documents)


def test_a_pipe_in_the_place_of_a_listed_file_fails_without_waiting(tmp_path):
    path = write(tmp_path, "jsonl", rows_of(TEXTS[:10]))
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        list(DocumentReader(file, definition("jsonl")))


@pytest.mark.parametrize(
    "url", ["https://example.org/a.jsonl", "file:///etc/passwd", "ftp://a/b.jsonl", "ssh://a/b"]
)
def test_a_url_scheme_that_is_not_allowed_fails(url):
    with pytest.raises(
        InputError, match=r"scheme .* is not allowed; allowed are local files, s3, gs, hf"
    ):
        list(DocumentReader(InputFile("a.jsonl", url, 1), definition("jsonl")))
