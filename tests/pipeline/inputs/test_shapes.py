"""One corpus in many shapes is one corpus, and a shape that is not as it says is named."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.load import load_recipe
from pipeline.inputs.listing import DataFolders, list_files
from pipeline.inputs.readers import DocumentReader
from pipeline.inputs.readers.layouts.columns import bytes_type
from tests.pipeline.shapes import FOLDER, SHAPES, lines, write_shape

HEAD = "name: mine\ntokenizer: sample\n"


def texts(count: int = 40) -> list[str]:
    """Some with a blank line in them, quotes, separators and letters that are no ASCII."""
    draw = random.Random(7)
    words = ["the", "sea", 'a "quote"', "x,y", "tab\there", "über", "海", "end.\nLine"]
    return [
        f"{number} {' '.join(draw.choices(words, k=9))}"
        + ("\n\nIts body\tgoes on, here.\n" if number % 3 else "")
        for number in range(count)
    ]


def readers(folder: Path, source: str) -> list[DocumentReader]:
    recipe = folder / "mine.yaml"
    recipe.write_text(f"{HEAD}sources:\n  notes: {source}, all: true}}\n", "utf-8")
    loaded = load_recipe(str(recipe))
    place = DataFolders().folder_of(loaded, "notes")
    definition = loaded.definitions["notes"]
    return [DocumentReader(file, definition) for file in list_files(definition, place)]


def read(folder: Path, source: str) -> list[str]:
    found = []
    for reader in readers(folder, source):
        found += [text for _, text in reader]
        assert not reader.quarantined
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_corpus_has_its_texts(tmp_path: Path, shape: str) -> None:
    assert read(tmp_path, write_shape(shape, texts(), tmp_path)) == texts()


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / "d").mkdir(exist_ok=True)
    (folder / "d" / name).write_bytes(content)


def refused(folder: Path, source: str) -> str:
    with pytest.raises((InputError, RecipeError)) as caught:
        read(folder, source)
    return str(caught.value).replace(f"{folder}/", "")


ROWS = lines([{"text": "a"}, {"text": "b"}])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.jsonl",
            gzip.compress(ROWS, mtime=0),
            "is JSON lines, packed by gzip; its ending says JSON lines",
        ),
        ("a.jsonl.gz", ROWS, "is JSON lines; its ending says JSON lines, packed by gzip"),
        ("a.jsonl", b'[{"text": "a"}]', "is one JSON array; its ending says JSON lines: name it"),
        ("a.json", b'{\n "text": "a"\n}', "is JSON objects over several lines each"),
        ("a.jsonl", ROWS.replace(b"\n", b"\r"), "is lines that end in a carriage return alone"),
        ("a.jsonl", ROWS.decode().encode("utf-16"), "is text in UTF-16"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("a.parquet", b"<!DOCTYPE html><html>", "is HTML; its ending says Parquet: the download"),
        ("a.csv", ROWS, "is JSON lines; its ending says comma-separated values"),
        ("a.warc", b"<html><body></body>", "is HTML; its ending says WARC records"),
        ("a.arrow", ROWS, "is JSON lines; its ending says Arrow"),
        ("a.json", b'[{"text": "a"}, {"text": "b"}', "ends inside its JSON array"),
        ("a.json", b'[{"text": "a"} {"text": "b"}]', "no comma between two items, at character 16"),
        ("a.json", b'[{"text": "a"},]', "has an item that is no JSON"),
        ("a.json", b'[{"text": "a"}] []', "goes on after the end"),
        ("a.csv", b'text,n\n"a,1\nb,2\n', "is not csv as RFC 4180 has it"),
        ("a.csv", b"text,text\na,1\n", "has the column 'text' more than once"),
        (
            "a.warc",
            b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 2\r\n\r\nab\r\n\r\n",
            "only extracted text is read",
        ),
        (
            "a.warc",
            b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 9\r\n\r\nab\r\n\r\n",
            "ends",
        ),
    ],
)
def test_a_file_that_is_not_what_it_says_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    put(tmp_path, name, content)
    assert said in refused(tmp_path, "{data: d, text: text")


def test_an_arrow_stream_without_its_end_mark_is_refused(tmp_path: Path) -> None:
    write_shape("save_to_disk", texts(), tmp_path)
    path = tmp_path / FOLDER / "data-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    assert "no end mark" in refused(tmp_path, "{data: Meine Notizen, text: body")


def test_text_of_an_arrow_file_that_is_no_utf8_is_quarantined_alone(tmp_path: Path) -> None:
    values = pa.array([b"a", b"\xff", b"c"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, values.buffers())
    (tmp_path / "d").mkdir()
    table = pa.table({"text": column})
    with ipc.new_file(tmp_path / "d" / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    (reader,) = readers(tmp_path, "{data: d, text: text")
    assert [text for _, text in reader] == ["a", "c"]
    assert [(item.row, item.reason) for item in reader.quarantined] == [(1, "utf8")]


def test_a_text_file_in_which_nothing_can_be_seen_holds_no_row(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", b"A text.")
    put(tmp_path, "b.txt", " \n\u200b".encode())
    both = readers(tmp_path, "{data: d, text: text")
    assert [list(reader) for reader in both] == [[(0, "A text.")], []]
    assert [reader.counts["empty_files"] for reader in both] == [0, 1]


NOT_UTF8 = {
    "struct": ([{"body": b"a"}, {"body": b"\xff"}, None, {"body": b"c"}], "{data: d, text: m.body"),
    "chat": (
        [
            [{"role": b"user", "content": b"a"}],
            [{"role": b"user", "content": b"a"}, {"role": b"user", "content": b"\xff"}],
            [],
            [{"role": b"user", "content": b"c"}],
        ],
        "{data: d, text: {column: m, chat: plain}",
    ),
}


@pytest.mark.parametrize("ending", ["arrow", "parquet"])
@pytest.mark.parametrize("shape", NOT_UTF8)
def test_text_inside_structures_that_is_no_utf8_is_quarantined_alone(
    tmp_path: Path, shape: str, ending: str
) -> None:
    values, source = NOT_UTF8[shape]
    fields = {name: pa.string() for name in ("role", "content")}
    kind = pa.list_(pa.struct(fields)) if shape == "chat" else pa.struct({"body": pa.string()})
    table = pa.table({"m": pa.array(values, bytes_type(kind)).cast(kind, safe=False)})
    (tmp_path / "d").mkdir()
    if ending == "parquet":
        parquet.write_table(table, tmp_path / "d" / "a.parquet")
    else:
        with ipc.new_file(tmp_path / "d" / "a.arrow", table.schema) as writer:
            writer.write_table(table)
    (reader,) = readers(tmp_path, source)
    assert [text.strip()[-1] for _, text in reader] == ["a", "c"]
    assert (1, "utf8") in [(item.row, item.reason) for item in reader.quarantined]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.csv",
            b"id,text\n1,a\n2\n\n3,c,d\n4,\xff\n5,e\n",
            [(1, "fields"), (2, "fields"), (3, "utf8")],
        ),
        (
            "a.json",
            b'[{"text": "a"}, {"text": "\xff"}, 7, {"text": null}, {"n": %s, "text": "e"}]'
            % (b"7" * 5_000),
            [(1, "utf8"), (2, "not-an-object"), (3, "null-field")],
        ),
    ],
)
def test_a_bad_row_is_quarantined_alone(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[int, str]]
) -> None:
    put(tmp_path, name, content)
    (reader,) = readers(tmp_path, "{data: d, text: text")
    assert [text for _, text in reader] == ["a", "e"]
    assert [(item.row, item.reason) for item in reader.quarantined] == expected


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers(-(10**18), 10**18) | st.text() | st.booleans(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        )
    ),
    st.integers(1, 9),
    st.sampled_from([None, 1]),
)
def test_any_array_comes_apart_wherever_its_blocks_end(
    items: list[object], size: int, indent: int | None
) -> None:
    from pipeline.inputs.readers.layouts.json_array import _Items

    data = json.dumps(items, indent=indent, ensure_ascii=False).encode()
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    assert [json.loads(item) for item in _Items("x", blocks, 1 << 20)] == items


def test_files_of_two_layouts_are_no_one_source(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", ROWS)
    put(tmp_path, "README.txt", b"About these notes.")
    assert read(tmp_path, "{data: d, text: text") == ["a", "b"]
    put(tmp_path, "notes.txt", b"A text, or not?")
    assert "several layouts: 1 of json (a.jsonl), 1 of txt (notes.txt)" in refused(
        tmp_path, "{data: d, text: text"
    )
    assert read(tmp_path, '{data: "d/**/*.jsonl", text: text') == ["a", "b"]
    assert read(tmp_path, "{data: d/a.jsonl, text: text") == ["a", "b"]


def test_a_data_set_of_several_splits_is_no_source(tmp_path: Path) -> None:
    for split in ("test", "train"):
        write_shape("save_to_disk", texts(), tmp_path / "d" / split)
    (tmp_path / "d" / "dataset_dict.json").write_text("{}")
    assert "of the splits test, train, and a source is one" in refused(
        tmp_path, "{data: d, text: body"
    )


def _nested(folder: Path) -> None:
    table = pa.Table.from_pylist([{"data": {"text": "a", "lang": "en"}, "n": 1}])
    parquet.write_table(table, folder / "a.parquet")


@pytest.mark.parametrize("text", ["data.txt", "data.none.x", "txt"])
@pytest.mark.parametrize(
    "write",
    [
        _nested,
        lambda folder: (folder / "a.jsonl").write_bytes(
            lines([{"data": {"text": "a", "lang": "en"}, "n": 1}])
        ),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, write: Callable[[Path], object], text: str
) -> None:
    (tmp_path / "d").mkdir()
    write(tmp_path / "d")
    said = refused(tmp_path, f"{{data: d, text: {text}")
    assert f"no column {text!r}" in said
    assert "columns found: data.text, data.lang, n" in said
    if text == "data.txt":
        assert "did you mean 'data.text'?" in said
