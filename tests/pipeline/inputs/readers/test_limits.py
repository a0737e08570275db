"""Giant, dense and hostile files: read in bounded memory, or an error by name.

The case numbers are those of the fault list that the readers were built against; the ending is in
each test's name: `fails` (InputError), `quarantined` (that row alone, with its number and reason)
or `read` (handled).
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mixtures.errors import InputError
from pipeline.inputs.readers import DocumentReader, ReadLimits
from tests.pipeline.input_files import (
    FORMATS,
    STREAMS,
    TEXTS,
    datasets_definition,
    definition,
    fails,
    json_lines,
    list_inputs,
    pack,
    read,
    reasons,
    rows_of,
    write,
    write_zip,
)

# 36 to 38: size


@pytest.mark.parametrize("packing", STREAMS)
def test_case_36_a_giant_document_and_megabytes_of_white_space_are_read(tmp_path, packing):
    giant, blank = "word " * 4_000_000, " \t" * 1_000_000 + "."
    write(
        tmp_path,
        packing,
        [{"text": "a"}, {"text": giant}, b" \t" * 4_000_000, {"text": blank}, {"text": "b"}],
    )
    reader, documents = read(tmp_path, definition(packing))
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
        [
            {"text": "x" * 3_000_000},
            *rows_of(TEXTS[:5]),
            {"text": "x" * 5_000_000},
            *rows_of(TEXTS[:5]),
            {"text": "x" * 2_000_000},
        ],
    )
    reader, documents = read(tmp_path, definition(packing), ReadLimits(max_row_bytes=1_500_000))
    assert len(documents) == 10
    assert reasons(reader) == [(0, "too-large"), (6, "too-large"), (12, "too-large")]


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst"])
def test_case_37_a_decompression_bomb_fails_at_the_cap(tmp_path, packing):
    path = write(tmp_path, packing, [])
    path.write_bytes(pack(packing, b" " * 50_000_000))
    limits = ReadLimits(max_file_bytes=8_000_000, max_ratio=20)
    fails(tmp_path, packing, "decompression bomb", limits)


def test_case_37_run_length_frames_unpack_in_bounded_pieces(tmp_path):
    """A frame of run-length blocks: 4 bytes for 128 KiB each, the densest that the format has."""
    path = write(tmp_path, "jsonl.zst", [])
    header = b"\x28\xb5\x2f\xfd\x00\x58"
    block = struct.pack("<I", (131072 << 3) | (1 << 1))[:3] + b" "
    last = struct.pack("<I", (131072 << 3) | (1 << 1) | 1)[:3] + b" "
    path.write_bytes(header + block * 20_000 + last)
    assert (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read(10)
        == b" " * 10
    )
    fails(
        tmp_path,
        "jsonl.zst",
        "decompression bomb",
        ReadLimits(max_file_bytes=200_000_000, max_ratio=200),
    )


def test_case_37_a_file_within_its_ratio_is_no_bomb(tmp_path):
    values = ["a" * 1000] * 1000
    for packing in ("jsonl.gz", "jsonl.zst"):
        folder = tmp_path / packing
        write(folder, packing, rows_of(values))
        limits = ReadLimits(max_file_bytes=1, max_ratio=1000)
        assert len(read(folder, definition(packing), limits)[1]) == 1000


@pytest.mark.parametrize(
    ("compression", "use_dictionary"), [("none", True), ("zstd", True), ("zstd", False)]
)
def test_case_37_a_parquet_file_that_unpacks_beyond_the_cap_fails(
    tmp_path, compression, use_dictionary
):
    """One text of 100 kB a thousand times: once in a dictionary, or in pages that compress to
    nothing.
    """
    path = write(tmp_path, "parquet", rows_of(["x"]))
    pq.write_table(
        pa.table({"text": ["abcdefghij" * 10_000] * 1000}),
        path,
        compression=compression,
        use_dictionary=use_dictionary,
    )
    assert path.stat().st_size < 2_000_000
    fails(
        tmp_path,
        "parquet",
        "decompression bomb",
        ReadLimits(max_file_bytes=50_000_000, max_ratio=1),
    )


def test_case_37_a_zip_that_declares_too_much_fails(tmp_path):
    write_zip(
        tmp_path / "source" / "a.zip", {f"{number}.json": b" " * 1_000_000 for number in range(10)}
    )
    fails(tmp_path, "zip", "decompression bomb", ReadLimits(max_file_bytes=9_000_000, max_ratio=1))
    fails(
        tmp_path,
        "zip",
        "1,000,000 bytes, 999,999 are allowed",
        ReadLimits(max_member_bytes=999_999),
    )


def test_case_37_a_zip_member_that_holds_more_than_it_declares_fails(tmp_path):
    path = tmp_path / "source" / "a.zip"
    write_zip(path, {"a.json": b'{"text": "a"}' + b" " * 1_000_000})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 1_000_013), struct.pack("<I", 13)))
    fails(tmp_path, "zip", "'a.json' is damaged")


def test_case_38_a_string_column_over_two_gibibytes_is_read(tmp_path):
    """2,200 plain texts of a mebibyte in one row group: more than 32-bit offsets can address; a
    page compresses 128 times.
    """
    path = write(tmp_path, "parquet", rows_of(["x"]))
    unit = "".join(chr(33 + (number * number * 31 + number // 7) % 90) for number in range(8192))
    column = pa.chunked_array([pa.array([unit * 128] * 20)] * 110)
    pq.write_table(
        pa.table({"text": column}),
        path,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
    )
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(0).total_uncompressed_size > 2**31
    (file,) = list_inputs(definition("parquet"), tmp_path)
    reader = DocumentReader(file, definition("parquet"), ReadLimits(max_file_bytes=4 * 2**30))
    lengths = {(len(text), hash(text)) for _, text in reader}
    assert lengths == {(1048576, hash(unit * 128))}
    assert reader.counts["documents"] == 2200


# 40: hostile archives


@pytest.mark.parametrize(
    "name", ["/etc/a.json", "../a.json", "a/../../b.json", "a\\b.json", "..\\a.json"]
)
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
    members = {
        "a.json": b'{"text": "a"}',
        "b.json": b"",
        "c.json": b"[]",
        "d.json": b'{"text": "\xff"}',
        "e.json": b'{"text": "e"}',
    }
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
    fails(
        tmp_path,
        "jsonl",
        r"more than 10 rows cannot be read \(json 6, null-field 5\)",
        ReadLimits(max_quarantined=10),
    )


def test_gz_written_by_another_tool_with_a_file_name_in_its_header_is_read(tmp_path):
    path = write(tmp_path, "jsonl.gz", [])
    packed = io.BytesIO()
    with gzip.GzipFile("name.json", "wb", fileobj=packed) as stream:
        stream.write(json_lines(rows_of(TEXTS)))
    path.write_bytes(packed.getvalue())
    assert read(tmp_path, definition("jsonl.gz"))[1] == list(enumerate(TEXTS))
