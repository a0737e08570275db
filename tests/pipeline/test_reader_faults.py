"""Damaged and hostile input, one test a case: an error by name, or a quarantined row and all the others read. Never silence.

The case numbers are those of the fault list that the readers were built against; the ending is in each test's name: `fails`
(InputError), `quarantined` (that row alone, with its number and reason) or `read` (handled).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from pipeline.inputs import InputFile, list_inputs
from pipeline.readers import DocumentReader, ReadLimits
from tests.pipeline.input_files import (
    FORMATS,
    NAMES,
    STREAMS,
    datasets_definition,
    definition,
    flip_bit,
    json_lines,
    pack,
    pin,
    read,
    reasons,
    rows_of,
    texts,
    write,
    write_zip,
)

COUNT = 1000
TEXTS = texts(COUNT)


def with_row(row, value):
    """A thousand good rows, one of them replaced; bytes are a raw line."""
    rows = rows_of(TEXTS)
    rows[row] = value
    return rows


def others(row):
    return [(number, text) for number, text in enumerate(TEXTS) if number != row]


def fails(folder, packing, match, limits=None, **more):
    with pytest.raises(InputError, match=match) as caught:
        read(folder, definition(packing, **more), limits)
    assert NAMES[packing] in str(caught.value)


# 1, 2: lines that cannot be decoded


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize(
    "line", [b'{"text": "secret', b"{'text': 'secret'}", b'{"text": "secret"} x', b'{"text": NaN}', b'{"text": "x", "n": -Infinity}']
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
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"])
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


@pytest.mark.parametrize(("packing", "case"), [("jsonl.gz", 3), ("jsonl.zst", 4), ("parquet", 11), ("zip", 0)])
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
    path.write_bytes(pack(packing, json_lines(rows_of(TEXTS))) + pack(packing, json_lines(rows_of(TEXTS)))[:-1])
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
    """The size of a hub's listing. A local file is listed with its own size, and must still have it when it is opened."""
    members = [pack(packing, json_lines(rows_of(TEXTS[start : start + 500]))) for start in (0, 500)]
    path = write(tmp_path, packing, [])
    path.write_bytes(b"".join(members))
    (file,) = list_inputs(definition(packing), tmp_path)
    path.write_bytes(members[0])
    with pytest.raises(InputError, match=f"expected {file.size:,} bytes, found {len(members[0]):,}"):
        list(DocumentReader(file, definition(packing)))


@given(st.data())
def test_case_6_a_bit_flip_in_the_body_of_a_gz_fails(data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "jsonl.gz", rows_of(TEXTS[:50]))
        flip_bit(path, data.draw(st.integers(10, path.stat().st_size - 1)), data.draw(st.integers(0, 7)))
        fails(Path(folder), "jsonl.gz", "damaged|truncated")


@pytest.mark.parametrize(("packing", "case"), [("jsonl", 8), ("jsonl.gz", 6), ("jsonl.zst", 7), ("parquet", 9), ("zip", 0)])
@given(data=st.data())
def test_cases_6_to_10_a_bit_flip_anywhere_in_a_pinned_file_fails(packing, case, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), packing, rows_of(TEXTS[:50]))
        pin(Path(folder))
        flip_bit(path, data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7)))
        fails(Path(folder), packing, "truncated|damaged|changed|bomb|quarantined|cannot be read|columns found")


@pytest.mark.parametrize("packing", FORMATS)
@given(data=st.data())
def test_a_bit_flip_in_a_file_without_a_pin_fails_or_leaves_every_row_accounted_for(packing, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), packing, rows_of(TEXTS[:50]))
        for _ in range(data.draw(st.integers(1, 3))):
            flip_bit(path, data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7)))
        try:
            reader, documents = read(Path(folder), definition(packing))
        except InputError:
            return
        assert reader.counts["rows"] == len(documents) + reader.counts["empty"] + len(reader.quarantined)


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
    pq.write_table(table, path, compression=compression, use_dictionary=False, write_page_checksum=True, write_statistics=False)
    flip_bit(path, path.stat().st_size // 3)
    fails(tmp_path, "parquet", "damaged")


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_cases_9_10_a_bit_flip_in_a_parquet_page_without_a_checksum_fails_by_hash_before_a_row_is_read(tmp_path, compression):
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


# 12 to 15: columns


@pytest.mark.parametrize("packing", FORMATS)
@pytest.mark.parametrize("adapter", ["text", "title-text"])
def test_case_12_a_text_field_missing_everywhere_fails_and_says_what_is_there(tmp_path, packing, adapter):
    write(tmp_path, packing, [{"id": "1", "body": "a"}, {"id": "2", "body": "b"}])
    with pytest.raises(InputError, match=r"columns found: .?id.?, .?body.?;"):
        read(tmp_path, definition(packing, adapter))


def test_case_12_a_column_of_where_that_is_missing_everywhere_fails(tmp_path):
    for packing in FORMATS:
        write(tmp_path / packing, packing, rows_of(TEXTS[:5]))
        fails(tmp_path / packing, packing, "columns found", where={"source": ("s2ag",)})


def test_case_12_a_large_file_without_the_field_fails_before_its_end(tmp_path):
    write(tmp_path, "jsonl", [{"id": "1", "body": "a"}] * 50)
    fails(
        tmp_path,
        "jsonl",
        "more than 10 rows cannot be read .missing-field 11.; columns found: 'id', 'body'",
        ReadLimits(max_quarantined=10),
    )


@pytest.mark.parametrize("packing", [*STREAMS, "zip"])
def test_case_13_schema_drift_inside_a_file_is_quarantined(tmp_path, packing):
    rows = [{"text" if number < 700 else "content": text} for number, text in enumerate(TEXTS)]
    write(tmp_path, packing, rows)
    reader, documents = read(tmp_path, definition(packing))
    assert len(documents) == 700
    assert reasons(reader) == [(row, "missing-field") for row in range(700, COUNT)]


def test_case_14_a_parquet_file_without_the_column_of_the_others_fails(tmp_path):
    write(tmp_path, "parquet", rows_of(TEXTS), "a.parquet")
    write(tmp_path, "parquet", [{"id": "1", "content": "x"}], "b.parquet")
    first, second = list_inputs(definition("parquet"), tmp_path)
    assert len(list(DocumentReader(first, definition("parquet")))) == COUNT
    with pytest.raises(InputError, match=r"b.parquet: no column 'text'; columns found: id, content"):
        list(DocumentReader(second, definition("parquet")))


@pytest.mark.parametrize("values", [[1, 2], [1.5, 2.5], [["a"], ["b"]], [{"a": "b"}, {"a": "c"}], [True, False]])
def test_case_14_a_parquet_column_of_another_type_fails(tmp_path, values):
    write(tmp_path, "parquet", [{"text": value} for value in values])
    fails(tmp_path, "parquet", "column 'text' is of type")


@pytest.mark.parametrize("packing", [*STREAMS, "zip"])
@pytest.mark.parametrize(("value", "reason"), [(None, "null-field"), (7, "number"), (0.5, "number"), (True, "not-text"), ([], "not-text")])
def test_case_15_a_text_that_is_no_text_is_quarantined(tmp_path, packing, value, reason):
    write(tmp_path, packing, with_row(500, {"text": value}))
    reader, documents = read(tmp_path, definition(packing))
    assert documents == others(500)
    assert reasons(reader) == [(500, reason)]


@pytest.mark.parametrize("dictionary", [False, True])
def test_case_15_a_null_in_a_parquet_column_is_quarantined(tmp_path, dictionary):
    path = write(tmp_path, "parquet", rows_of(["x"]))
    values = pa.array([None if row == 500 else text for row, text in enumerate(TEXTS)])
    pq.write_table(pa.table({"text": values.dictionary_encode() if dictionary else values}), path)
    reader, documents = read(tmp_path, definition("parquet"))
    assert documents == others(500)
    assert reasons(reader) == [(500, "null-field")]


def test_case_15_a_null_in_a_dataset_is_quarantined(tmp_path):
    write(tmp_path, "parquet", rows_of([*TEXTS[:500], None, *TEXTS[501:]]))  # type: ignore[list-item]
    reader, documents = read(tmp_path, datasets_definition())
    assert documents == others(500)
    assert reasons(reader) == [(500, "null-field")]


# 16 to 20: unusual, and no fault


@pytest.mark.parametrize("packing", [*STREAMS, "zip"])
def test_case_16_a_lone_surrogate_is_read_repaired_and_counted(tmp_path, packing):
    write(tmp_path, packing, with_row(500, {"text": "a \ud800 b \udfff c \ud83d\ude00", "id": "x"}))
    reader, documents = read(tmp_path, definition(packing))
    assert dict(documents)[500] == "a \ufffd b \ufffd c \U0001f600"
    assert len(documents) == COUNT
    assert reader.counts["repaired_surrogates"] == 2
    assert reasons(reader) == []


def test_case_16_a_lone_surrogate_outside_the_text_is_read_and_repairs_nothing(tmp_path):
    write(tmp_path, "jsonl", with_row(500, {"text": TEXTS[500], "url": "\ud800"}))
    reader, documents = read(tmp_path, definition("jsonl"))
    assert documents == list(enumerate(TEXTS))
    assert reader.counts["repaired_surrogates"] == 0


def test_numbers_beyond_a_double_outside_the_text_are_read(tmp_path):
    write(tmp_path, "jsonl", with_row(500, b'{"n": 1e999, "m": -' + b"9" * 400 + b', "text": ' + json.dumps(TEXTS[500]).encode() + b"}"))
    assert read(tmp_path, definition("jsonl"))[1] == list(enumerate(TEXTS))


@pytest.mark.parametrize("packing", STREAMS)
def test_case_17_byte_order_mark_crlf_and_no_final_newline_are_read(tmp_path, packing):
    path = write(tmp_path, packing, [])
    lines = b"\xef\xbb\xbf" + json_lines(rows_of(TEXTS)).replace(b"\n", b"\r\n")
    path.write_bytes(pack(packing, lines[:-2]))
    reader, documents = read(tmp_path, definition(packing))
    assert documents == list(enumerate(TEXTS))
    assert reader.counts["byte_order_marks"] == 1


@pytest.mark.parametrize("packing", FORMATS)
def test_case_17_separators_nul_and_control_characters_in_a_text_are_read_as_they_are(tmp_path, packing):
    values = ["a\u2028b\u2029c\u0085d", "a\x00b", "a\r\nb\x0b\x0c\x1c\x1d\x1eb", "\ufeffa", "\uffff\U0010ffff"]
    write(tmp_path, packing, rows_of(values))
    assert read(tmp_path, definition(packing))[1] == list(enumerate(values))


def test_case_17_unescaped_line_separators_end_no_line(tmp_path):
    path = write(tmp_path, "jsonl", [])
    path.write_text(json.dumps({"text": "a\u2028b\u0085c"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read(tmp_path, definition("jsonl"))[1] == [(0, "a\u2028b\u0085c")]


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst", "parquet", "zip"])
def test_case_18_a_file_that_packs_nothing_fails_unless_allowed(tmp_path, packing):
    path = write(tmp_path, packing, [])
    if packing == "parquet":
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    fails(tmp_path, packing, "holds no row")
    assert read(tmp_path, definition(packing), ReadLimits(allow_empty=True))[1] == []


def test_case_18_a_file_of_blank_lines_fails(tmp_path):
    write(tmp_path, "jsonl", [b"", b" ", b"\r"])
    fails(tmp_path, "jsonl", "holds no row")


def test_case_19_an_archive_without_json_members_fails(tmp_path):
    write_zip(tmp_path / "source" / "a.zip", {"readme.txt": b"x"})
    fails(tmp_path, "zip", "holds no row")


@pytest.mark.parametrize("packing", STREAMS)
def test_case_20_duplicate_and_missing_ids_are_read(tmp_path, packing):
    rows = [{"text": text} if number % 2 else {"text": text, "id": "same"} for number, text in enumerate(TEXTS)]
    write(tmp_path, packing, rows)
    reader, documents = read(tmp_path, definition(packing))
    assert documents == list(enumerate(TEXTS))
    assert reasons(reader) == []


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


@pytest.mark.parametrize("url", ["https://example.org/a.jsonl", "file:///etc/passwd", "s3://a/b.jsonl", "ssh://a/b"])
def test_a_url_scheme_that_is_not_allowed_fails(url):
    with pytest.raises(InputError, match=r"scheme .* is not allowed; allowed are local files and hf"):
        list(DocumentReader(InputFile("a.jsonl", url, 1), definition("jsonl")))


# 36 to 38: size


@pytest.mark.parametrize("packing", STREAMS)
def test_case_36_a_giant_document_and_megabytes_of_white_space_are_read_in_bounded_time(tmp_path, packing):
    giant, blank = "word " * 4_000_000, " \t" * 1_000_000
    write(tmp_path, packing, [{"text": "a"}, {"text": giant}, blank.encode() * 4, {"text": blank}, {"text": "b"}])
    start = time.process_time()
    reader, documents = read(tmp_path, definition(packing))
    assert time.process_time() - start < 5
    assert documents == [(0, "a"), (1, giant), (3, blank), (4, "b")]
    assert reasons(reader) == []


@pytest.mark.parametrize("packing", FORMATS)
def test_case_36_a_text_above_the_limit_is_quarantined(tmp_path, packing):
    write(tmp_path, packing, rows_of(["ä" * 500, "ä" * 501, "b" * 1000, "c" * 1001]))
    reader, documents = read(tmp_path, definition(packing), ReadLimits(max_text_bytes=1000))
    assert [row for row, _ in documents] == [0, 2]
    assert reasons(reader) == [(1, "too-large"), (3, "too-large")]


@pytest.mark.parametrize("packing", STREAMS)
def test_case_36_a_line_above_the_limit_is_quarantined_wherever_it_stands(tmp_path, packing):
    write(
        tmp_path,
        packing,
        [{"text": "x" * 3_000_000}, *rows_of(TEXTS[:5]), {"text": "x" * 5_000_000}, *rows_of(TEXTS[:5]), {"text": "x" * 2_000_000}],
    )
    reader, documents = read(tmp_path, definition(packing), ReadLimits(max_row_bytes=1_500_000))
    assert len(documents) == 10
    assert reasons(reader) == [(0, "too-large"), (6, "too-large"), (12, "too-large")]


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_case_37_a_decompression_bomb_fails_at_the_cap(tmp_path, packing):
    path = write(tmp_path, packing, [])
    path.write_bytes(pack(packing, b" " * 50_000_000))
    start = time.process_time()
    fails(tmp_path, packing, "decompression bomb", ReadLimits(max_file_bytes=8_000_000, max_ratio=20))
    assert time.process_time() - start < 5


def test_case_37_run_length_frames_unpack_in_bounded_pieces(tmp_path):
    """A frame of run-length blocks: 4 bytes for 128 KiB each, the densest that the format has."""
    path = write(tmp_path, "jsonl.zst", [])
    header = b"\x28\xb5\x2f\xfd\x00\x58"
    block = struct.pack("<I", (131072 << 3) | (1 << 1))[:3] + b" "
    last = struct.pack("<I", (131072 << 3) | (1 << 1) | 1)[:3] + b" "
    path.write_bytes(header + block * 20_000 + last)
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read(10) == b" " * 10
    fails(tmp_path, "jsonl.zst", "decompression bomb", ReadLimits(max_file_bytes=200_000_000, max_ratio=200))


def test_case_37_a_file_within_its_ratio_is_no_bomb(tmp_path):
    values = ["a" * 1000] * 1000
    for packing in ("jsonl.gz", "jsonl.zst"):
        write(tmp_path, packing, rows_of(values))
        assert len(read(tmp_path, definition(packing), ReadLimits(max_file_bytes=1, max_ratio=1000))[1]) == 1000


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_case_37_a_parquet_file_that_unpacks_beyond_the_cap_fails(tmp_path, compression, use_dictionary):
    """One text of 100 kB a thousand times: once in a dictionary, or in pages that compress to nothing."""
    if compression == "none" and not use_dictionary:
        pytest.skip("packs nothing")
    path = write(tmp_path, "parquet", rows_of(["x"]))
    pq.write_table(pa.table({"text": ["abcdefghij" * 10_000] * 1000}), path, compression=compression, use_dictionary=use_dictionary)
    assert path.stat().st_size < 2_000_000
    fails(tmp_path, "parquet", "decompression bomb", ReadLimits(max_file_bytes=50_000_000, max_ratio=1))


def test_case_37_a_zip_that_declares_too_much_fails(tmp_path):
    write_zip(tmp_path / "source" / "a.zip", {f"{number}.json": b" " * 1_000_000 for number in range(10)})
    fails(tmp_path, "zip", "decompression bomb", ReadLimits(max_file_bytes=9_000_000, max_ratio=1))
    fails(tmp_path, "zip", "1,000,000 bytes, 999,999 are allowed", ReadLimits(max_member_bytes=999_999))


def test_case_37_a_zip_member_that_holds_more_than_it_declares_fails(tmp_path):
    path = tmp_path / "source" / "a.zip"
    write_zip(path, {"a.json": b'{"text": "a"}' + b" " * 1_000_000})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 1_000_013), struct.pack("<I", 13)))
    fails(tmp_path, "zip", "'a.json' is damaged")


def test_case_38_a_string_column_over_two_gibibytes_is_read(tmp_path):
    """2,200 plain texts of a mebibyte in one row group: more than 32-bit offsets can address; a page compresses 128 times."""
    path = write(tmp_path, "parquet", rows_of(["x"]))
    unit = "".join(chr(33 + (number * number * 31 + number // 7) % 90) for number in range(8192))
    column = pa.chunked_array([pa.array([unit * 128] * 20)] * 110)
    pq.write_table(pa.table({"text": column}), path, compression="zstd", use_dictionary=False, write_statistics=False)
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(0).total_uncompressed_size > 2**31
    (file,) = list_inputs(definition("parquet"), tmp_path)
    reader = DocumentReader(file, definition("parquet"), ReadLimits(max_file_bytes=4 * 2**30))
    lengths = {(len(text), hash(text)) for _, text in reader}
    assert lengths == {(1048576, hash(unit * 128))}
    assert reader.counts["documents"] == 2200


# 40: hostile archives


@pytest.mark.parametrize("name", ["/etc/a.json", "../a.json", "a/../../b.json", "a\\b.json", "..\\a.json"])
def test_case_40_a_zip_member_whose_name_leads_out_fails(tmp_path, name):
    write_zip(tmp_path / "source" / "a.zip", {"ok.json": b'{"text": "a"}', name: b'{"text": "b"}'})
    fails(tmp_path, "zip", "leads out of the archive")


def test_case_40_a_zip_member_that_is_a_link_fails(tmp_path):
    path = tmp_path / "source" / "a.zip"
    write_zip(path, {"ok.json": b'{"text": "a"}'})
    link = zipfile.ZipInfo("link.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    fails(tmp_path, "zip", "'link.json' is a link")


def test_an_encrypted_zip_member_fails(tmp_path):
    path = tmp_path / "source" / "a.zip"
    write_zip(path, {"a.json": b'{"text": "a"}'})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    fails(tmp_path, "zip", "'a.json' is encrypted")


def test_two_zip_members_of_one_name_fail(tmp_path):
    path = tmp_path / "source" / "a.zip"
    write_zip(path, {"a.json": b'{"text": "a"}'})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.json", b'{"text": "b"}')
    fails(tmp_path, "zip", "two members named 'a.json'")


def test_a_zip_member_that_is_no_json_object_is_quarantined(tmp_path):
    members = {"a.json": b'{"text": "a"}', "b.json": b"", "c.json": b"[]", "d.json": b'{"text": "\xff"}', "e.json": b'{"text": "e"}'}
    write_zip(tmp_path / "source" / "a.zip", members)
    reader, documents = read(tmp_path, definition("zip"))
    assert documents == [(0, "a"), (4, "e")]
    assert reasons(reader) == [(1, "json"), (2, "not-an-object"), (3, "utf8")]


def test_a_zip_member_packed_by_another_method_fails(tmp_path):
    path = tmp_path / "source" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.json", b'{"text": "a"}')
    fails(tmp_path, "zip", "method 12; allowed are stored and deflate")


def test_a_pinned_hash_of_dataset_rows_is_checked(tmp_path):
    write(tmp_path, "jsonl", rows_of(TEXTS[:3]))
    source = datasets_definition()
    (file,) = list_inputs(source, tmp_path)
    reader = DocumentReader(file, source)
    assert len(list(reader)) == 3
    assert len(list(DocumentReader(replace(file, sha256=reader.sha256), source))) == 3
    with pytest.raises(InputError, match="expected rows of sha256"):
        list(DocumentReader(replace(file, sha256="0" * 64), source))


def test_a_quarantine_that_outgrows_its_limit_fails_with_the_reasons(tmp_path):
    write(tmp_path, "jsonl", [{"text": "a"}, *[b"{"] * 6, *[{"text": None}] * 5])
    fails(tmp_path, "jsonl", r"more than 10 rows cannot be read \(json 6, null-field 5\)", ReadLimits(max_quarantined=10))


def test_gz_written_by_another_tool_with_a_file_name_in_its_header_is_read(tmp_path):
    path = write(tmp_path, "jsonl.gz", [])
    packed = io.BytesIO()
    with gzip.GzipFile("name.json", "wb", fileobj=packed) as stream:
        stream.write(json_lines(rows_of(TEXTS)))
    path.write_bytes(packed.getvalue())
    assert read(tmp_path, definition("jsonl.gz"))[1] == list(enumerate(TEXTS))
