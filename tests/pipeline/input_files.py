"""Builders of input files for the tests of reading: each published layout, whole or damaged, and a
definition to read it by.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mixtures.errors import InputError
from mixtures.recipe.source_definition import DatasetsSplit, SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import list_files
from pipeline.inputs.readers import DocumentReader, ReadLimits

NAMES = {
    "jsonl": "a.jsonl",
    "jsonl.gz": "a.json.gz",
    "jsonl.zst": "a.jsonl.zst",
    "parquet": "a.parquet",
    "zip": "a.zip",
}
STREAMS = ("jsonl", "jsonl.gz", "jsonl.zst")
FORMATS = tuple(NAMES)


def definition(packing: str, adapter: str = "text", **more: Any) -> SourceDefinition:
    """A source definition named `source` of the given format."""
    fields: dict[str, Any] = {
        "name": "source",
        "repo": "owner/name",
        "revision": "0" * 40,
        "licence": "CC0",
    }
    if packing != "datasets":
        fields["paths"] = ("*",)
    return SourceDefinition.model_validate(fields | {"format": packing, "adapter": adapter} | more)


def datasets_definition(
    config: str | None = None, split: str = "train", **more: Any
) -> SourceDefinition:
    """A source definition of format `datasets`."""
    return definition("datasets", datasets=DatasetsSplit(config=config, split=split), **more)


def json_lines(rows: list[Any]) -> bytes:
    """One line of JSON a row; a row that is bytes stands as it is."""
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )


def texts(count: int) -> list[str]:
    """Distinct texts of some 60 bytes."""
    return [
        f"document {number}: the quick brown fox {number * 7919 % 1000} jumps"
        for number in range(count)
    ]


def rows_of(values: list[str]) -> list[Any]:
    """Rows with a text and an id."""
    return [{"id": str(number), "text": value} for number, value in enumerate(values)]


def pack(packing: str, data: bytes) -> bytes:
    """Compress JSON lines as the format says; without a checksum in zstd, as most published files
    are.
    """
    if packing == "jsonl.gz":
        return gzip.compress(data, mtime=0)
    return (
        zstandard.ZstdCompressor(write_checksum=False).compress(data)
        if packing == "jsonl.zst"
        else data
    )


def write(folder: Path, packing: str, rows: list[Any], name: str = "") -> Path:
    """Write rows in the format below folder/source; returns the file."""
    path = folder / "source" / (name or NAMES[packing])
    path.parent.mkdir(parents=True, exist_ok=True)
    if packing == "zip":
        write_zip(
            path, {f"{number:06}.json": json.dumps(row).encode() for number, row in enumerate(rows)}
        )
    elif packing == "parquet":
        columns = list(rows[0]) if rows else ["text"]
        pq.write_table(
            pa.table({column: pa.array([row[column] for row in rows]) for column in columns}), path
        )
    else:
        path.write_bytes(pack(packing, json_lines(rows)))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    """An archive of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def pin(folder: Path) -> None:
    """Write SHA256SUMS over the source's files as they are now."""
    source = folder / "source"
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(source).as_posix()}\n"
        for path in sorted(source.rglob("*.*"))
    ]
    (source / "SHA256SUMS").write_text("".join(lines))


def flip_bit(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def list_inputs(definition: SourceDefinition, data: Path | None) -> list[InputFile]:
    """The files of a source in the folder of its name; None reads from the hub."""
    return list_files(definition, None if data is None else data / definition.name)


def read(
    folder: Path, source: SourceDefinition, limits: ReadLimits | None = None
) -> tuple[DocumentReader, list[tuple[int, str]]]:
    """Read the one file of the source to its end."""
    (file,) = list_inputs(source, folder)
    reader = DocumentReader(file, source, limits or ReadLimits())
    return reader, list(reader)


def reasons(reader: DocumentReader) -> list[tuple[int, str]]:
    """(row, reason) of what a reader quarantined."""
    return [(bad.row, bad.reason) for bad in reader.quarantined]


COUNT = 1000
TEXTS = texts(COUNT)


def with_row(row: int, value: Any) -> list[Any]:
    """A thousand good rows, one of them replaced; bytes are a raw line."""
    rows = rows_of(TEXTS)
    rows[row] = value
    return rows


def others(row: int) -> list[tuple[int, str]]:
    """The documents of `with_row(row, ...)` without the replaced one."""
    return [(number, text) for number, text in enumerate(TEXTS) if number != row]


def fails(
    folder: Path, packing: str, match: str, limits: ReadLimits | None = None, **more: Any
) -> None:
    """Assert that reading the one file of the source is an InputError that matches and names the
    file.
    """
    with pytest.raises(InputError, match=match) as caught:
        read(folder, definition(packing, **more), limits)
    assert NAMES[packing] in str(caught.value)
