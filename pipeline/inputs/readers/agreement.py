"""What a file says by its ending, held against what it is."""

from __future__ import annotations

from mixtures.errors import InputError
from pipeline.inputs.file import Layout
from pipeline.inputs.readers.content import (
    HEAD_BYTES,
    PACKED_HEAD_BYTES,
    PACKINGS,
    Content,
    packing_of,
    tell,
)
from pipeline.inputs.readers.raw import RawFile

_TOLD = 16
"""Bytes of which each format with a magic number has more."""
_TEXTS = ("jsonl", "json", "csv", "tsv", "txt")
_TEXT = ("json-lines", "json-array", "json-object", "json-joined", "cr-lines")
_LINES = ("csv", "tsv", "text", "binary", "blank", "empty")
"""What may be lines that are damaged, each of which is judged by itself."""
_ALLOWED: dict[str, tuple[str, ...]] = {
    "jsonl": ("json-lines", *_LINES),
    "json": ("json-lines", "json-array", *_LINES),
    "csv": ("cr-lines", *_LINES),
    "tsv": ("cr-lines", *_LINES),
    "txt": ("html", "xml", *_TEXT, *_LINES),
    "warc": ("warc", "binary", "blank", "empty"),
    "parquet": ("parquet", "binary"),
    "arrow": ("arrow-file", "arrow-stream", "binary"),
    "zip": ("zip", "binary"),
}
"""By layout; damaged files are binary, and their reader says where the damage is."""
_SAID = {
    "jsonl": "JSON lines",
    "json": "JSON",
    "csv": "comma-separated values",
    "tsv": "tab-separated values",
    "txt": "text",
    "warc": "WARC records",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "zip": "a ZIP archive",
}
_CURES = {
    "lfs-pointer": "fetch the file itself with `git lfs pull`",
    "annex-pointer": "fetch the file itself with `git annex get`",
    "html": "the download gave a web page: fetch it again",
    "json-object": "write an object a line, `jq -c .`",
    "json-joined": "write an object a line, `jq -c .`",
    "json-array": "name it .json, or write an object a line, `jq -c '.[]'`",
    "cr-lines": "end its lines with newlines, `tr '\\r' '\\n'`",
    "utf-16": "write it in UTF-8, `iconv -f UTF-16 -t UTF-8`",
    "utf-32": "write it in UTF-8, `iconv -f UTF-32 -t UTF-8`",
}


def check_agreement(raw: RawFile, layout: Layout) -> Content:
    """What a file is, which must be what its ending says.

    Raises:
        InputError: it is something else; says what, and what to do.
    """
    head = raw.head(HEAD_BYTES)
    if packing_of(head):
        head = raw.head(PACKED_HEAD_BYTES)
    content = tell(head)
    if len(head) < _TOLD and (layout.packing or layout.name not in _TEXTS):
        return content  # too short to be whole: its reader says where it is cut
    packed = content.packing == layout.packing or (
        content.packing is None and content.kind in ("binary", "empty", "blank")
    )
    if packed and content.kind in (*_ALLOWED[layout.name], "unknown"):
        return content
    said = _SAID[layout.name]
    if layout.packing:
        said += f", packed by {PACKINGS[layout.packing]}"
    cure = _CURES.get(content.kind, "fetch it again, or give it the ending of what it is")
    raise InputError(f"{raw.file.url}: is {content}; its ending says {said}: {cure}")
