"""Readers: every row of every layout is a document or is accounted for, whatever the bytes around
it look like.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import AnnealmixError, InputError
from pipeline.inputs.readers import DocumentReader, ReadLimits
from pipeline.inputs.readers.blank import is_blank
from pipeline.inputs.readers.compression import unpacked_blocks
from pipeline.inputs.readers.layouts.json_lines import split_lines
from pipeline.inputs.readers.raw import RawFile
from tests.pipeline.input_files import (
    FORMATS,
    STREAMS,
    datasets_definition,
    definition,
    json_lines,
    list_inputs,
    pack,
    read,
    reasons,
    rows_of,
    texts,
    write,
    write_zip,
)

CHECKOUT = Path(__file__).resolve().parents[4]
ANY_TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize("packing", FORMATS)
@given(values=st.lists(ANY_TEXT, min_size=1, max_size=20))
def test_any_list_of_texts_comes_back_from_any_format(packing, values):
    with tempfile.TemporaryDirectory() as folder:
        values = ["a text", *values]  # a file without a document is an error
        path = write(Path(folder), packing, rows_of(values))
        reader, documents = read(Path(folder), definition(packing))
        kept = [(row, value) for row, value in enumerate(values) if not is_blank(value)]
        assert documents == kept
        assert reader.counts["rows"] == len(values)
        assert reader.counts["empty"] == len(values) - len(kept)
        assert reader.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert reader.size == path.stat().st_size


@pytest.mark.parametrize(
    "writer",
    ["default", "plain", "dictionary", "large_string", "string_view", "binary", "dictionary_array"],
)
@given(values=st.lists(ANY_TEXT, min_size=1, max_size=30), row_group=st.integers(1, 40))
def test_texts_come_back_from_parquet_however_they_are_stored(writer, values, row_group):
    kinds = {
        "large_string": pa.large_string(),
        "string_view": pa.string_view(),
        "binary": pa.binary(),
    }
    values = ["a text", *values]
    column = pa.array(values, kinds.get(writer, pa.string()))
    column = column.dictionary_encode() if writer == "dictionary_array" else column
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source" / "a.parquet"
        path.parent.mkdir()
        table = pa.table({"other": pa.array(range(len(values))), "text": column})
        pq.write_table(
            table,
            path,
            row_group_size=row_group,
            use_dictionary=writer != "plain",
            write_page_checksum=True,
        )
        assert read(Path(folder), definition("parquet"))[1] == [
            (row, value) for row, value in enumerate(values) if not is_blank(value)
        ]


@pytest.mark.parametrize("packing", FORMATS)
def test_where_selects_rows_and_counts_the_others(tmp_path, packing):
    rows = [{"text": f"t{row}", "kind": "keep" if row % 3 else "other"} for row in range(10)]
    write(tmp_path, packing, rows)
    reader, documents = read(tmp_path, definition(packing, where={"kind": ("keep",)}))
    assert [row for row, _ in documents] == [1, 2, 4, 5, 7, 8]
    assert dict(reader.counts) == {"rows": 10, "documents": 6, "where": 4, "empty": 0}


@pytest.mark.parametrize("packing", FORMATS)
def test_adapters_see_all_their_columns_in_every_format(tmp_path, packing):
    write(
        tmp_path,
        packing,
        [
            {"inputs": "Is it?", "targets": "yes", "id": "1"},
            {"inputs": "So", "targets": "no", "id": "2"},
        ],
    )
    assert read(tmp_path, definition(packing, "flan"))[1] == [(0, "Is it? yes"), (1, "So\nno")]


@pytest.mark.parametrize("packing", STREAMS)
def test_a_row_is_the_index_of_its_line_and_blank_lines_are_no_rows(tmp_path, packing):
    write(tmp_path, packing, [{"text": "a"}, b"", b"  \t\r", {"text": "b"}, b"", {"text": "c"}])
    reader, documents = read(tmp_path, definition(packing))
    assert documents == [(0, "a"), (3, "b"), (5, "c")]
    assert reader.counts["rows"] == 3


def test_rows_of_a_zip_are_its_json_members_by_name(tmp_path):
    members = {
        "b.json": b'{"text": "b"}',
        "README.md": b"x",
        "c/a.json": b'\n{\n"text": "c"}\n',
        "a.json": b'\xef\xbb\xbf{"text": "a"}',
        "d/": b"",
    }
    write_zip(tmp_path / "source" / "a.zip", members)
    reader, documents = read(tmp_path, definition("zip"))
    assert documents == [(0, "a"), (1, "b"), (2, "c")]
    assert reader.counts["byte_order_marks"] == 1
    assert reader.counts["companions"] == 1


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b""))),
    st.lists(st.integers(0, 200), max_size=10),
    st.integers(1, 12),
    st.booleans(),
)
def test_lines_do_not_depend_on_where_blocks_end(lines, cuts, limit, ends_in_newline):
    data = b"\n".join(lines) + (b"\n" if ends_in_newline else b"")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    blocks = [data[start:stop] for start, stop in pairwise(edges)]
    expected = data.split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    found = [line for part in split_lines(iter(blocks), limit) for line in part]
    assert found == [line if len(line) <= limit else b"" for line in expected]


@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=8),
    st.sampled_from(["jsonl.gz", "jsonl.zst"]),
    st.booleans(),
)
def test_any_number_of_members_unpacks_to_their_concatenation(parts, packing, padded):
    """Each part a member or frame of its own; gzip may pad with zeros, zstd may have skippable
    frames between.
    """
    gap = b"\0" * 700 if packing == "jsonl.gz" else b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    data = (gap if padded else b"").join(pack(packing, part) for part in parts) + (
        gap if padded else b""
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source" / ("a.json.gz" if packing == "jsonl.gz" else "a.jsonl.zst")
        path.parent.mkdir()
        path.write_bytes(data)
        (file,) = list_inputs(definition(packing), Path(folder))
        with RawFile(file) as raw:
            assert b"".join(
                unpacked_blocks(raw, packing.partition(".")[2] or None, ReadLimits())
            ) == b"".join(parts)


def test_streams_larger_than_every_buffer_come_back(tmp_path):
    """Some 6 MB of lines between 0 and 300 kB, so that lines cross blocks, slices and frames."""
    values = [
        chr(97 + size % 26) * size
        for size in [7, 300_000, 1_048_576, 0, 65_536, 4096, *range(200_000, 224_000, 1000), 1]
    ]
    for packing in STREAMS:
        write(tmp_path / packing, packing, rows_of(values))
        assert read(tmp_path / packing, definition(packing))[1] == [
            (row, value) for row, value in enumerate(values) if value
        ]


@pytest.mark.parametrize("packing", ["jsonl", "parquet"])
def test_a_local_folder_is_read_by_the_datasets_library_without_a_network(tmp_path, packing):
    values = [*texts(20), "", "tail"]
    write(tmp_path, packing, rows_of(values))
    source = datasets_definition()
    reader, documents = read(tmp_path, source)
    assert documents == [(row, value) for row, value in enumerate(values) if value]
    lines = b"".join(
        json.dumps({"text": value}, separators=(",", ":")).encode() + b"\n" for value in values
    )
    assert (reader.sha256, reader.size) == (hashlib.sha256(lines).hexdigest(), len(lines))


def test_a_column_of_a_dataset_that_is_not_read_is_not_decoded(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    rows = {"text": ["a", "b"], "image": [{"bytes": b"no image", "path": None}] * 2}
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table(rows, features.arrow_schema), tmp_path / "source" / "a.parquet")
    assert read(tmp_path, datasets_definition())[1] == [(0, "a"), (1, "b")]


def test_a_dataset_without_the_column_or_split_fails(tmp_path):
    write(tmp_path, "parquet", [{"body": "a"}])
    with pytest.raises(InputError, match="columns found: body"):
        read(tmp_path, datasets_definition())
    with pytest.raises(InputError, match="the datasets library cannot read owner/name/gone"):
        read(tmp_path, datasets_definition(split="gone"))


def test_a_loading_script_in_a_dataset_folder_is_not_run(tmp_path):
    write(tmp_path, "jsonl", rows_of(texts(2)))
    mark = tmp_path / "ran"
    (tmp_path / "source" / "source.py").write_text(f"open({str(mark)!r}, 'w')\n")
    with pytest.raises(InputError, match="scripts are no longer supported"):
        read(tmp_path, datasets_definition())
    assert not mark.exists()


def test_a_reader_reads_once(tmp_path):
    write(tmp_path, "jsonl", rows_of(["a"]))
    reader, _ = read(tmp_path, definition("jsonl"))
    with pytest.raises(AnnealmixError, match="once"):
        list(reader)


def test_a_reader_that_is_left_early_has_no_hash(tmp_path):
    write(tmp_path, "jsonl", rows_of(texts(3)))
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    reader = DocumentReader(file, definition("jsonl"))
    assert next(iter(reader)) == (0, texts(1)[0])
    assert (reader.sha256, reader.size) == ("", 0)


LAYOUTS = {
    "camel-biology": ("zip", "camel"),
    "camel-chemistry": ("zip", "camel"),
    "camel-physics": ("zip", "camel"),
    "dclm-baseline": ("jsonl.zst", "text"),
    "dclm-dedup": ("parquet", "text"),
    "dolmino-flan": ("jsonl.gz", "text"),
    "dolmino-pes2o": ("jsonl.gz", "text"),
    "dolmino-stackexchange": ("jsonl.gz", "text"),
    "dolmino-wiki": ("jsonl.gz", "text"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_real_files_hold_the_documents_and_bytes_that_their_listing_states(shared, name):
    """SOURCES.md counts a Camel document without the blank line between its two messages: 2
    bytes.
    """
    listed = re.findall(
        rf"^\| {name}/(\S+) \| (\d+) \| (\d+) \| (\d+) \| (\w+) \|$",
        (shared / "data" / "SOURCES.md").read_text(),
        re.M,
    )
    packing, adapter = LAYOUTS[name]
    source = definition(packing, adapter).model_copy(update={"name": name})
    found = []
    for file in list_inputs(source, shared / "data"):
        reader = DocumentReader(file, source)
        num_bytes = sum(len(text.encode()) - (2 if adapter == "camel" else 0) for _, text in reader)
        assert reader.counts["rows"] == reader.counts["documents"]
        found.append(
            (file.path, str(reader.counts["rows"]), str(num_bytes), str(reader.size), reader.sha256)
        )
    assert found == sorted(listed)


def test_real_evaluation_files_read_where_they_hold_a_text_and_fail_by_their_columns_where_not(
    shared,
):
    source = definition("jsonl").model_copy(update={"name": "bench"})
    found: dict[str, int | str] = {}
    for file in list_inputs(source, shared / "data"):
        reader = DocumentReader(file, source)
        try:
            found[file.path] = len(list(reader))
        except InputError as error:
            found[file.path] = "columns found" if "columns found: " in str(error) else str(error)
    without = (
        "hellaswag.jsonl",
        "mmlu.jsonl",
        "piqa_validation.jsonl",
        "wmdp_bio_SCHEMA_STANDIN.jsonl",
    )
    assert found == dict.fromkeys(without, "columns found") | {"lambada_openai_test.jsonl": 300}


def test_the_formats_agree_on_one_set_of_texts(tmp_path):
    values = texts(50)
    found = set()
    for packing in FORMATS:
        write(tmp_path / packing, packing, rows_of(values))
        found.add(tuple(read(tmp_path / packing, definition(packing))[1]))
    assert found == {tuple(enumerate(values))}


def test_bytes_of_gz_and_zstd_written_by_the_usual_writers_are_read(tmp_path):
    """With checksums, content size, long windows and several levels."""
    data = json_lines(rows_of(texts(2000)))
    writers = [
        ("jsonl.gz", "a.json.gz", gzip.compress(data, 9)),
        (
            "jsonl.zst",
            "a.jsonl.zst",
            zstandard.ZstdCompressor(19, write_checksum=True, write_content_size=False).compress(
                data
            ),
        ),
        ("jsonl.zst", "a.json.zst", zstandard.ZstdCompressor(1, threads=2).compress(data)),
    ]
    for number, (packing, name, packed) in enumerate(writers):
        path = tmp_path / str(number) / "source" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(packed)
        reader, documents = read(tmp_path / str(number), definition(packing))
        assert [text for _, text in documents] == texts(2000)
        assert reasons(reader) == []


@pytest.mark.parametrize(
    ("packing", "absent"),
    [("jsonl.gz", "pyarrow datasets huggingface_hub"), ("parquet", "datasets huggingface_hub")],
)
def test_reading_a_local_file_loads_no_library_of_another_format(tmp_path, packing, absent):
    write(tmp_path, packing, rows_of(texts(3)))
    code = (
        "import pathlib, sys\n"
        "from mixtures.recipe.source_definition import SourceDefinition\n"
        "from pipeline.inputs.listing import list_files\n"
        "from pipeline.inputs.readers import DocumentReader\n"
        "fields = dict(name='source', repo='o/n', revision='main', paths=('*',), licence='x',"
        f" adapter='text', format={packing!r})\n"
        "source = SourceDefinition(**fields)\n"
        f"(file,) = list_files(source, pathlib.Path({str(tmp_path)!r}) / 'source')\n"
        "assert len(list(DocumentReader(file, source))) == 3\n"
        f"print(sorted(set(sys.modules) & set({absent!r}.split())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
