"""Rows that are not as the definition says, and rows that only look so: quarantined, or read.

The case numbers are those of the fault list that the readers were built against; the ending is in
each test's name: `fails` (InputError), `quarantined` (that row alone, with its number and reason)
or `read` (handled).
"""

from __future__ import annotations

import gzip
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mixtures.errors import InputError
from pipeline.inputs.readers import DocumentReader, ReadLimits
from tests.pipeline.input_files import (
    COUNT,
    FORMATS,
    STREAMS,
    TEXTS,
    datasets_definition,
    definition,
    fails,
    json_lines,
    list_inputs,
    others,
    pack,
    read,
    reasons,
    rows_of,
    with_row,
    write,
)

# 12 to 15: columns


@pytest.mark.parametrize("packing", FORMATS)
@pytest.mark.parametrize("adapter", ["text", "title-text"])
def test_case_12_a_text_field_missing_everywhere_fails_and_says_what_is_there(
    tmp_path, packing, adapter
):
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
    with pytest.raises(
        InputError, match=r"b.parquet: no column 'text'; columns found: id, content"
    ):
        list(DocumentReader(second, definition("parquet")))


@pytest.mark.parametrize(
    "values", [[1, 2], [1.5, 2.5], [["a"], ["b"]], [{"a": "b"}, {"a": "c"}], [True, False]]
)
def test_case_14_a_parquet_column_of_another_type_fails(tmp_path, values):
    write(tmp_path, "parquet", [{"text": value} for value in values])
    fails(tmp_path, "parquet", "column 'text' is of type")


@pytest.mark.parametrize("packing", [*STREAMS, "zip"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "null-field"), (7, "number"), (0.5, "number"), (True, "not-text"), ([], "not-text")],
)
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
    texts = [*TEXTS[:500], None, *TEXTS[501:]]
    write(tmp_path, "parquet", rows_of(texts))  # type: ignore[arg-type]
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
    write(
        tmp_path,
        "jsonl",
        with_row(
            500,
            b'{"n": 1e999, "m": -'
            + b"9" * 400
            + b', "text": '
            + json.dumps(TEXTS[500]).encode()
            + b"}",
        ),
    )
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
def test_case_17_separators_nul_and_control_characters_in_a_text_are_read_as_they_are(
    tmp_path, packing
):
    values = [
        "a\u2028b\u2029c\u0085d",
        "a\x00b",
        "a\r\nb\x0b\x0c\x1c\x1d\x1eb",
        "\ufeffa",
        "\uffff\U0010ffff",
    ]
    write(tmp_path, packing, rows_of(values))
    assert read(tmp_path, definition(packing))[1] == list(enumerate(values))


def test_case_17_unescaped_line_separators_end_no_line(tmp_path):
    path = write(tmp_path, "jsonl", [])
    path.write_text(
        json.dumps({"text": "a\u2028b\u0085c"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    assert read(tmp_path, definition("jsonl"))[1] == [(0, "a\u2028b\u0085c")]


@pytest.mark.parametrize("packing", ["jsonl.gz", "jsonl.zst", "parquet", "zip"])
def test_a_file_that_packs_nothing_is_an_empty_part_and_counted(tmp_path, packing):
    path = write(tmp_path, packing, [])
    if packing == "parquet":
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    reader, documents = read(tmp_path, definition(packing))
    assert (documents, reader.counts["rows"], reader.counts["empty_files"]) == ([], 0, 1)
    assert reader.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_parquet_file_without_row_groups_is_an_empty_part(tmp_path):
    path = write(tmp_path, "parquet", [{"text": "a"}])
    pq.ParquetWriter(path, pa.schema([("text", pa.string())])).close()
    assert pq.read_metadata(path).num_row_groups == 0
    assert read(tmp_path, definition("parquet"))[0].counts["empty_files"] == 1


def test_a_file_of_blank_lines_is_an_empty_part(tmp_path):
    write(tmp_path, "jsonl", [b"", b" ", b"\r"])
    assert read(tmp_path, definition("jsonl"))[0].counts["empty_files"] == 1


BLANKS = [
    "",
    " ",
    "\t\r\n",
    "\u3000",
    "\u200b\u200d",
    "\0",
    "\ufeff",
    "\u2028",
    "\xad",
    "\u2800\xa0",
]


@pytest.mark.parametrize("packing", FORMATS)
def test_a_text_without_a_visible_character_is_empty_and_counted(tmp_path, packing):
    write(tmp_path, packing, rows_of([*BLANKS, "\u200b.", "\u3000a", "\ufffd"]))
    reader, documents = read(tmp_path, definition(packing))
    assert [text for _, text in documents] == ["\u200b.", "\u3000a", "\ufffd"]
    assert reader.counts["empty"] == len(BLANKS)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "a Git LFS"),
        (b"<!DOCTYPE html>\n<html><body>429 Too Many Requests</body></html>\n", "HTML"),
        (b'[{"text": "a"},\n {"text": "b"}]\n', "one JSON array"),
        (b'{"text": "a"}\r{"text": "b"}\r', "carriage return alone"),
        (b'{\n "text": "a"\n}\n', "over several lines"),
        ('{"text": "a"}\n'.encode("utf-16"), "UTF-16"),
        (gzip.compress(b'{"text": "a"}\n', mtime=0), "JSON lines, packed by gzip"),
        (b'\x1e{"text": "a"}\n\x1e{"text": "b"}\n', "a JSON text sequence"),
        (b'{"content": "a"}\n{"content": "b"}\n', "no column 'text'; columns found: content"),
        (b'{"text": " "}\n{"text": ""}\n', "not one of its 2 rows .* their texts are empty"),
        (b'{"text": 1}\n{"text": null}\n', "not one of its 2 rows .* the first: row 0, int in"),
    ],
    ids=str,
)
def test_a_file_without_a_document_fails_and_says_what_it_is(tmp_path, content, what):
    write(tmp_path, "jsonl", []).write_bytes(content)
    fails(tmp_path, "jsonl", what)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(gzip.compress(b'{"text": "a"}\n', mtime=0), mtime=0), "gzip again"),
        (b'{"text": "served with a Content-Encoding"}\n', "is JSON lines; its ending says"),
        (zstandard.compress(b'{"text": "a"}\n'), "packed by zstd"),
    ],
    ids=str,
)
def test_a_file_packed_otherwise_fails_and_says_what_it_is(tmp_path, content, what):
    write(tmp_path, "jsonl.gz", []).write_bytes(content)
    fails(tmp_path, "jsonl.gz", what)


def test_a_file_of_which_where_selects_nothing_is_no_fault(tmp_path):
    write(tmp_path, "jsonl", [{"text": "a", "kind": "x"}, {"text": 1, "kind": "y"}])
    source = definition("jsonl", where={"kind": ["y", "z"]})
    assert read(tmp_path, source)[0].counts["quarantined"] == 1


@pytest.mark.parametrize("packing", STREAMS)
def test_case_20_duplicate_and_missing_ids_are_read(tmp_path, packing):
    rows = [
        {"text": text} if number % 2 else {"text": text, "id": "same"}
        for number, text in enumerate(TEXTS)
    ]
    write(tmp_path, packing, rows)
    reader, documents = read(tmp_path, definition(packing))
    assert documents == list(enumerate(TEXTS))
    assert reasons(reader) == []
