"""Cases of a source's folder and of columns that are not read: what lies beside the files, what a
file is whatever its name says. Inputs have a thousand documents before anything is done to them.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.endings import COUNT, Case, Input, input_case
from tests.faults.input_cases import ROWS, TEXTS, with_rows
from tests.pipeline.input_files import json_lines, write_zip

LINES = json_lines(ROWS)
HALF = json_lines(ROWS[: COUNT // 2]), json_lines(ROWS[COUNT // 2 :])


def files(contents: dict[str, bytes], packing: str = "jsonl", good: int = COUNT) -> Input:
    """Files of these names and contents."""

    def write(folder: Path) -> None:
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return Input(packing, write, good)


def beside(name: str, content: bytes = LINES) -> Input:
    """One file more than the source's."""
    return files({"x.jsonl": LINES, name: content})


def snapshot(folder: Path) -> None:
    """The folder becomes a link to a snapshot in the cache of the hub's client."""
    repository = folder.parent.parent / "datasets--owner--name"
    commit = repository / "snapshots" / ("0" * 40)
    (repository / "blobs").mkdir(parents=True)
    commit.mkdir(parents=True)
    (repository / "blobs" / ("a" * 40)).write_bytes(LINES)
    (commit / "x.jsonl").symlink_to("../../blobs/" + "a" * 40)
    folder.rmdir()
    folder.symlink_to(commit)


def empty_part(folder: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS}), folder / "x.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "y.parquet")


def annotated(folder: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(TEXTS, pa.json_())}), folder / "x.parquet")


def linked_twice(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(LINES)
    os.link(folder / "x.jsonl", folder / "y.jsonl")


def archive(folder: Path) -> None:
    rows = {f"{number:04}.json": json.dumps(row).encode() for number, row in enumerate(ROWS)}
    write_zip(folder / "x.zip", rows | {"__MACOSX/._0000.json": b"\0\5\x16\7"})


def nested_archive(folder: Path) -> None:
    write_zip(folder / "x.zip", {"a.json": json.dumps(ROWS[0]).encode(), "many.jsonl": LINES})


_BLANK = with_rows({number: {"text": "\u3000\u200b"} for number in range(3)})
_OTHER = with_rows({1: b'{"text": "a", "n": NaN}', 2: b'{"text": "b", "n": "\xff"}'})
_SHARDS = {
    f"train-0000{number}-of-00003.jsonl": half for number, half in zip((0, 2), HALF, strict=True)
}
_CASES: dict[str, tuple[str, str, Input]] = {
    "a pointer of Git LFS in the place of a file": (
        "lfs",
        "F",
        beside("y.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ),
    "a page of status 429 in the place of a file": (
        "html",
        "F",
        beside("y.jsonl", b"<!DOCTYPE html><html><body>429 Too Many Requests</body></html>\n"),
    ),
    "one JSON array in the place of lines": (
        "array",
        "F",
        files({"x.jsonl": json.dumps(ROWS).encode()}),
    ),
    "lines that end in a carriage return": (
        "cr",
        "F",
        files({"x.jsonl": LINES.replace(b"\n", b"\r")}),
    ),
    "UTF-16": ("utf-16", "F", files({"x.jsonl": LINES.decode().encode("utf-16")})),
    "gzip twice": (
        "gzip twice",
        "F",
        files({"x.jsonl.gz": gzip.compress(gzip.compress(LINES, mtime=0), mtime=0)}, "jsonl.gz"),
    ),
    "a JSON text sequence": (
        "json-seq",
        "F",
        files({"x.jsonl": b"\x1e" + LINES.replace(b"\n", b"\n\x1e").removesuffix(b"\x1e")}),
    ),
    "files of another format beside": ("other format", "F", beside("y.jsonl.gz")),
    "an ending in capitals": (
        "capitals",
        "H",
        files({"x.jsonl": HALF[0], "Y.JSONL": HALF[1]}),
    ),
    "an unfinished download": ("unfinished", "F", beside("y.jsonl.incomplete")),
    "an rsync under way": ("rsync", "F", beside(".y.jsonl.aB3dE9")),
    "a training and a test split": (
        "splits",
        "F",
        files({"train/x.jsonl": HALF[0], "test/x.jsonl": HALF[1]}),
    ),
    "a missing shard": ("shard", "F", files(_SHARDS)),
    "a snapshot of the hub's cache": ("snapshot", "H", Input("jsonl", snapshot)),
    "a parquet part with 0 rows": ("empty part", "H", Input("parquet", empty_part)),
    "texts of white space alone": (
        "blank",
        "H",
        files({"x.jsonl": json_lines(_BLANK)}, good=COUNT - 3),
    ),
    "NaN and no UTF-8 in a column that is not read": (
        "unread",
        "H",
        files({"x.jsonl": json_lines(_OTHER)}),
    ),
    "parquet text that is annotated as JSON": ("json type", "H", Input("parquet", annotated)),
    "hard links of one file": ("hard link", "F", Input("jsonl", linked_twice)),
    "stubs of macOS in an archive": ("macos", "H", Input("zip", archive)),
    "lines of JSON in an archive": ("inner lines", "F", Input("zip", nested_archive)),
}
FOLDER_CASES: list[Case] = [
    input_case(number, title, expected, given)
    for title, (number, expected, given) in _CASES.items()
]
