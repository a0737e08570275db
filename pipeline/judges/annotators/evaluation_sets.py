"""The files of an evaluation set: read whole, held to their pinned hashes, and every row of them an
item, or an error.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from mixtures.errors import InputError, ManifestError
from mixtures.rules.benchmark import (
    Benchmark,
    BenchmarkFile,
    EvaluationSet,
    Item,
    LoadedBenchmark,
    item_texts,
)
from mixtures.yaml.disk import read_bytes

Rows = Iterable[tuple[str, Mapping[str, Any]]]


def read_benchmark(loaded: LoadedBenchmark) -> EvaluationSet:
    """The items of all files, in the order of the definition and of the rows.

    Raises:
        InputError: a file is missing or unreadable or holds no row, or a row is malformed; with
            file and line, or row of a parquet file.
        ManifestError: a file's bytes are not the pinned ones.
    """
    definition = loaded.definition
    items = [
        item
        for file in definition.files
        for item in _items(definition, file, loaded.folder / file.path, loaded.where)
    ]
    return EvaluationSet(definition, tuple(items))


def _items(definition: Benchmark, file: BenchmarkFile, path: Path, pinned_by: str) -> list[Item]:
    content = _content(file, path, pinned_by)
    rows = (
        _json_rows(content, str(path))
        if definition.format == "jsonl"
        else _parquet_rows(content, definition, str(path))
    )
    # Items are named by the path as the definition has it, so that reports do not know the machine.
    items = [
        Item(file.path + where, item_texts(definition.columns, row, f"{path}{where}"))
        for where, row in rows
    ]
    if not items:
        raise InputError(
            f"{path}: holds no row, so nothing would be looked for; restore the file, or take it"
            f" out of {pinned_by}"
        )
    return items


def _content(file: BenchmarkFile, path: Path, pinned_by: str) -> bytes:
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(
            f"{path}: the evaluation set cannot be read ({error.strerror}); restore the file that"
            f" {pinned_by} names"
        ) from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise ManifestError(
            f"{path}: has sha256 {actual}, {pinned_by} pins {file.sha256}: another set; restore it,"
            " or pin the new one"
        )
    return content


def _json_rows(content: bytes, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise InputError(
                f"{path}:{number}: is not JSON in UTF-8; write one object a line"
            ) from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}:{number}: is {type(row).__name__}, not an object; write one object a line"
            )
        yield f":{number}", row


def _parquet_rows(
    content: bytes, definition: Benchmark, path: str
) -> list[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked = definition.columns
    names = (asked.question, *asked.choices, asked.answer)
    wanted = [name for name in names if name is not None]
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        known = file.schema_arrow.names
        columns = [name for name in wanted if name in known]
        rows = file.read(columns=columns, use_threads=False).to_pylist()
    # UnicodeDecodeError of a text that is not UTF-8 is a ValueError
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: is not a parquet file that can be read ({type(error).__name__}); restore it"
        ) from None
    if missing := [name for name in wanted if name not in known]:
        raise InputError(
            f"{path}: has no column {missing[0]!r}, only {', '.join(map(repr, known))}; name the"
            " columns that the file has"
        )
    return [(f":{number}", row) for number, row in enumerate(rows, start=1)]
