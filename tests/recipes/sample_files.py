"""An independent reading of the sample's files: rows of bytes (JSON lines, zip) or of objects
(parquet), and PLANTED.json.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
DATA = RECIPES / "sample" / "data"
PLANTED: list[dict[str, Any]] = json.loads((DATA / "PLANTED.json").read_text(encoding="utf-8"))
BAD_KINDS = {
    "malformed-json",
    "not-an-object",
    "invalid-utf8",
    "null-text",
    "number-text",
    "missing-text",
}


@cache
def raw_rows(source: str, file: str) -> list[Any]:
    path = DATA / source / file
    if file.endswith(".parquet"):
        rows: list[Any] = pq.read_table(path).to_pylist()
        return rows
    if file.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in sorted(archive.namelist())]
    content = path.read_bytes()
    plain = (
        zstandard.ZstdDecompressor().decompress(content)
        if file.endswith(".zst")
        else gzip.decompress(content)
    )
    return plain.removesuffix(b"\n").split(b"\n")


def parsed(row: Any) -> Any:
    return row if isinstance(row, dict) else json.loads(row.decode("utf-8-sig"))


def text_at(place: dict[str, Any]) -> str:
    """The training text at a place of PLANTED.json."""
    row = parsed(raw_rows(place["source"], place["file"])[place["row"]])
    return f"{row['message_1']}\n\n{row['message_2']}" if "message_1" in row else row["text"]


def planted(*kinds: str) -> list[dict[str, Any]]:
    found = [entry for entry in PLANTED if entry["kind"] in kinds]
    assert found, f"nothing planted of {kinds}"
    return found


def data_files() -> Iterator[tuple[str, str]]:
    for path in sorted(DATA.rglob("*.*")):
        if path.is_file() and path.parent != DATA:
            source, _, file = path.relative_to(DATA).as_posix().partition("/")
            yield source, file


def documents(source: str) -> list[str]:
    """Every text of a source that a strict reader takes, empty ones left out."""
    bad = {
        (entry["file"], entry["row"])
        for entry in PLANTED
        if entry["source"] == source and entry["kind"] in BAD_KINDS
    }
    places = [
        {"source": source, "file": file, "row": row}
        for name, file in data_files()
        if name == source
        for row in range(len(raw_rows(source, file)))
        if (file, row) not in bad
    ]
    return [text for text in map(text_at, places) if text]
