"""What a file is is told from its first bytes, whatever its name says."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from mixtures.errors import InputError
from pipeline.inputs.readers.content import HEAD_BYTES, KINDS, Content, tell
from tests.pipeline.input_files import definition, read

ROWS = [{"id": number, "text": f"Line {number}, and\nanother."} for number in range(50)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = pa.Table.from_pylist(ROWS)


WORDS = random.Random(5).randbytes(600_000).hex().encode()


def cut_gzip(content: bytes) -> bytes:
    """A gzip member of which the end is missing."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _stream(file: io.BytesIO) -> None:
    with ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)


def _zip(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", "{}")


FILES = {
    "empty": b"",
    "blank": b" \n\n",
    "parquet": _written(lambda file: parquet.write_table(TABLE, file)),
    "arrow-file": _written(lambda file: feather.write_feather(TABLE, file)),
    "arrow-stream": _written(_stream),
    "zip": _written(_zip),
    "pdf": b"%PDF-1.7\n",
    "warc": b"WARC/1.0\r\nWARC-Type: conversion\r\n",
    "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "utf-16": '{"text": "a"}\n'.encode("utf-16"),
    "html": b"\n<!DOCTYPE html><title>429 Too Many Requests</title>",
    "xml": b"<?xml version='1.0'?><feed/>",
    "json-lines": LINES,
    "json-array": json.dumps(ROWS).encode(),
    "json-object": json.dumps(ROWS[0], indent=2).encode(),
    "json-joined": b'{"text": "a"} {"text": "b"}',
    "cr-lines": LINES.replace(b"\n", b"\r"),
    "csv": b'text,n\n"a, b",1\nc,2\n',
    "tsv": b"text\tn\na, b\t1\nc\t2\n",
    "text": b"It was a dark night.\nThe rain fell.\n",
    "binary": b"\x00\x01\x02\x9f" * 9,
}
PACK = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_told_by_how_it_begins(kind: str) -> None:
    assert tell(FILES[kind][:HEAD_BYTES]) == Content(kind)


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("kind", ["json-lines", "json-array", "csv", "warc", "text", "html"])
def test_a_packed_file_is_told_by_what_is_in_it(kind: str, packing: str) -> None:
    assert tell(PACK[packing](FILES[kind])[:HEAD_BYTES]) == Content(kind, packing)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xef\xbb\xbf" + LINES, "json-lines"),
        (b"\n\n" + LINES, "json-lines"),
        (json.dumps(ROWS, indent=1).encode(), "json-array"),
        (b"[1]\n[2]\n", "json-lines"),  # rows that are lists: the reader says so of each
        (b"[1, 2]\n", "json-array"),
        (b'{"text": "a"}', "json-lines"),
        (b'{"text": "' + b"a" * HEAD_BYTES, "json-lines"),
        (b'{\n  "text": "' + b"a" * HEAD_BYTES, "json-object"),
        (b'{\n{"text": "b"}\n', "json-lines"),
        (b'[1]\n{"text": \n', "json-lines"),
        (b'{"text": "a"} {"text": "b"}\n{"text": "c"}\n', "json-lines"),
        (b'{"text": "a"}{"text": "b"}\n', "json-joined"),
        (b'{"text": "a\n{"text": "b"}\n', "json-lines"),  # the first line alone is damaged
        ("\u00e4".encode() * (HEAD_BYTES // 2) + b"a", "text"),
        (("a" + "\u00e4" * HEAD_BYTES).encode()[:HEAD_BYTES], "text"),  # cut in a character
        ("a\u00e4".encode("latin-1"), "binary"),
        (gzip.compress(LINES, mtime=0)[:12], "unknown"),
        (gzip.compress(b"", mtime=0), "empty"),
        (gzip.compress(b"", mtime=0) + gzip.compress(LINES, mtime=0), "json-lines"),
        (bz2.compress(WORDS)[:HEAD_BYTES], "unknown"),  # no block is whole
        (cut_gzip("\u00e4".encode() * 99 + b"\xc3"), "text"),  # cut inside a character
    ],
)
def test_what_is_told_of_odd_files(head: bytes, kind: str) -> None:
    assert tell(head[:HEAD_BYTES]).kind == kind


@given(st.binary(max_size=200) | st.sampled_from(list(FILES.values())).map(lambda f: f[:99]))
def test_anything_is_something(head: bytes) -> None:
    for packed in (head, *(pack(head) for pack in PACK.values())):
        content = tell(packed)
        assert content.kind in KINDS
        assert str(content)


@pytest.mark.parametrize("packing", PACK)
def test_an_array_or_a_page_of_many_blocks_is_told(tmp_path: Path, packing: str) -> None:
    made = random.Random(7)
    texts = [made.randbytes(500).hex() for _ in range(1500)]
    array = json.dumps([{"text": text} for text in texts]).encode()
    page = b"<!doctype html>" + "".join(texts).encode()
    for name, content in (("a/source/a.json", array), ("b/source/b.jsonl", page)):
        path = tmp_path / f"{name}.{packing}"
        path.parent.mkdir(parents=True)
        path.write_bytes(PACK[packing](content))
    assert [text for _, text in read(tmp_path / "a", definition("found"))[1]] == texts
    with pytest.raises(InputError, match="a web page"):
        read(tmp_path / "b", definition("found"))
