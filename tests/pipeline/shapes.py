"""One corpus in many shapes: the same texts in each format, and how a recipe reads them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard
from pyarrow import feather, ipc, parquet

FOLDER = "Meine Notizen/häuser"
"""Of the files, below that of the recipe: with a space, and a letter that is no ASCII."""


def lines(rows: Sequence[Any]) -> bytes:
    """A line of JSON a row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _bodies(texts: Sequence[str]) -> list[dict[str, object]]:
    return [{"id": number, "body": text} for number, text in enumerate(texts)]


def _table(texts: Sequence[str], kind: pa.DataType) -> pa.Table:
    column = pa.array(texts, pa.large_string()).cast(pa.string())
    return pa.table({"id": range(len(texts)), "body": column.cast(kind)})


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file, row_group_size=7)
    return file.getvalue()


def _dictionary(texts: Sequence[str]) -> pa.Table:
    return pa.table({"body": pa.array(texts).dictionary_encode()})


def _nested(texts: Sequence[str]) -> list[dict[str, object]]:
    return [{"data": {"n": 1, "text": text}, "text": "not this one"} for text in texts]


def _parted(texts: Sequence[str]) -> list[dict[str, object]]:
    """Rows whose title, joined to the body by a blank line, is the text; no title where it has
    none.
    """
    parts = [text.split("\n\n", 1) for text in texts]
    return [
        {"title": part[0], "body": part[1]}
        if len(part) == 2 and part[0] and part[1]
        else {"title": None, "body": "\n\n".join(part)}
        for part in parts
    ]


def _feather(texts: Sequence[str]) -> bytes:
    file = io.BytesIO()
    feather.write_feather(_table(texts, pa.large_string()), file)
    return file.getvalue()


def _saved(texts: Sequence[str], folder: Path) -> None:
    """As `datasets.save_to_disk` leaves it: two streams, and two notes beside them."""
    half = len(texts) // 2
    for number, part in enumerate((texts[:half], texts[half:])):
        table = _table(part, pa.string())
        with ipc.new_stream(folder / f"data-0000{number}-of-00002.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    for name in ("state.json", "dataset_info.json"):
        (folder / name).write_text("{}")


def _separated(texts: Sequence[str], separator: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator="\r\n")
    writer.writerows([("id", "body"), *enumerate(texts)])
    return file.getvalue().encode()


def _files(texts: Sequence[str], folder: Path) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number:05}.txt").write_bytes(text.encode())


def _wet(texts: Sequence[str]) -> bytes:
    def record(kind: str, content: bytes) -> bytes:
        head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
        return gzip.compress(head.encode() + content + b"\r\n\r\n")

    info = record("warcinfo", b"software: test\r\n")
    return info + b"".join(record("conversion", text.encode()) for text in texts)


def _zip(texts: Sequence[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for row in _bodies(texts):
            archive.writestr(f"{row['id']:05}.json", json.dumps(row))
    return file.getvalue()


def _chat(texts: Sequence[str], names: tuple[str, str]) -> list[dict[str, object]]:
    return [
        {"messages": [dict(zip(names, ("user", part), strict=True)) for part in text.split("\n\n")]}
        for text in texts
    ]


Shape = tuple[str, str, Callable[[Sequence[str]], bytes] | Callable[[Sequence[str], Path], None]]
SHAPES: dict[str, Shape] = {
    "jsonl": ("body", "a b.jsonl", lambda texts: lines(_bodies(texts))),
    "jsonl.gz": ("body", "ä.jsonl.gz", lambda texts: gzip.compress(lines(_bodies(texts)))),
    "json.zst": (
        "body",
        "a.json.zst",
        lambda texts: zstandard.ZstdCompressor().compress(lines(_bodies(texts))),
    ),
    "jsonl.bz2": ("body", "a.jsonl.bz2", lambda texts: bz2.compress(lines(_bodies(texts)))),
    "jsonl.xz": ("body", "a.jsonl.xz", lambda texts: lzma.compress(lines(_bodies(texts)))),
    "JSON array": ("body", "a.json", lambda texts: json.dumps(_bodies(texts), indent=1).encode()),
    "nested jsonl": ("data.text", "a.ndjson", lambda texts: lines(_nested(texts))),
    "title and body": (
        '[title?, "\\n\\n", body]',
        "a.jsonl",
        lambda texts: lines(_parted(texts)),
    ),
    "parquet": ("body", "a.parquet", lambda texts: _parquet(_table(texts, pa.string()))),
    "large_string": ("body", "a.parquet", lambda texts: _parquet(_table(texts, pa.large_string()))),
    "string_view": ("body", "a.parquet", lambda texts: _parquet(_table(texts, pa.string_view()))),
    "dictionary": ("body", "a.parquet", lambda texts: _parquet(_dictionary(texts))),
    "nested parquet": (
        "data.text",
        "a.parquet",
        lambda texts: _parquet(pa.Table.from_pylist(_nested(texts))),
    ),
    "feather": ("body", "a.feather", _feather),
    "save_to_disk": ("body", "", _saved),
    "csv": ("body", "a.csv", lambda texts: _separated(texts, ",")),
    "tsv.gz": ("body", "a.tsv.gz", lambda texts: gzip.compress(_separated(texts, "\t"))),
    "txt": ("text", "", _files),
    "WET": ("text", "a.warc.wet.gz", _wet),
    "zip": ("body", "a.zip", _zip),
    "messages": (
        "{column: messages, chat: plain}",
        "a.jsonl",
        lambda texts: lines(_chat(texts, ("role", "content"))),
    ),
    "conversations": (
        "{column: messages, chat: plain}",
        "a.parquet",
        lambda texts: _parquet(pa.Table.from_pylist(_chat(texts, ("from", "value")))),
    ),
}
"""By name: the text expression, the file's name (empty: several files), and what writes it."""


def write_shape(name: str, texts: Sequence[str], root: Path) -> str:
    """Write a corpus below `root`; returns the source that reads it, but for its amount and its
    closing brace.
    """
    expression, file, write = SHAPES[name]
    folder = root / FOLDER
    folder.mkdir(parents=True)
    if file:
        (folder / file).write_bytes(write(texts))  # type: ignore[call-arg, arg-type]
    else:
        write(texts, folder)  # type: ignore[call-arg]
    return f"{{data: {FOLDER.split('/')[0]}, text: {expression}"
