"""What a file is, told from its first bytes, whatever its name says.

    tell(b"PAR1...") -> Content("parquet")
    tell(<gzip of a line of JSON>) -> Content("json-lines", packing="gz")

A file that says one thing by its ending and is another would be read as rows that are no rows: a
page of HTML that a failed download left, the pointer of Git LFS in the place of the file, a list
in the place of lines. What is told here names it in the error.

Formats with a magic number are known for certain, the others by how they begin; `csv` and `tsv` are
guesses (lines with the same number of fields). Numbers: RFC 1952 (gzip), RFC 8878 (zstd), the
specifications of xz, bzip2, Parquet, Arrow IPC, ZIP (APPNOTE 4.3.7), WARC 1.1, Git LFS.
"""

from __future__ import annotations

import csv
import json
from typing import NamedTuple

from pipeline.inputs.readers.compression import unpacked_head
from pipeline.inputs.readers.rows import BYTE_ORDER_MARK, MEBIBYTE

HEAD_BYTES = 1 << 16
"""Of a file, or of what is packed in it, that are looked at."""
PACKED_HEAD_BYTES = MEBIBYTE
"""Of a packed file that are unpacked for them: more than a block of bzip2 (900,000 bytes) or zstd
(131,072) that could not be made smaller, since nothing is unpacked before a block is whole."""

KINDS: dict[str, str] = {
    "empty": "an empty file",
    "blank": "nothing but white space",
    "parquet": "Parquet",
    "arrow-file": "an Arrow file (Feather)",
    "arrow-stream": "an Arrow stream",
    "feather-1": "Feather, version 1",
    "zip": "a ZIP archive",
    "tar": "a tar archive",
    "7z": "a 7z archive",
    "pdf": "a PDF",
    "sqlite": "an SQLite database",
    "hdf5": "HDF5",
    "avro": "Avro",
    "orc": "ORC",
    "numpy": "a NumPy array",
    "warc": "WARC records",
    "lfs-pointer": "a Git LFS pointer, not the file itself",
    "annex-pointer": "a git-annex pointer, not the file itself",
    "utf-16": "text in UTF-16",
    "utf-32": "text in UTF-32",
    "html": "HTML",
    "xml": "XML",
    "json-lines": "JSON lines",
    "json-array": "one JSON array",
    "json-object": "JSON objects over several lines each",
    "json-seq": "a JSON text sequence (RFC 7464)",
    "json-joined": "JSON objects with no line break between them",
    "cr-lines": "lines that end in a carriage return alone",
    "csv": "comma-separated values",
    "tsv": "tab-separated values",
    "text": "text",
    "gz": "gzip again",
    "zst": "zstd again",
    "bz2": "bzip2 again",
    "xz": "xz again",
    "binary": "binary data",
    "unknown": "something that its beginning does not tell",
}
"""Every kind, in words."""

PACKINGS: dict[str, str] = {"gz": "gzip", "zst": "zstd", "bz2": "bzip2", "xz": "xz"}
"""Compressions of single files, by the ending that says them."""

_PACKED = (
    (b"\x1f\x8b", "gz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
)
_ZSTD_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_MAGIC = (
    (b"PAR1", "parquet"),
    (b"PARE", "parquet"),  # an encrypted footer
    (b"ARROW1\0\0", "arrow-file"),
    (b"FEA1", "feather-1"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1e{", "json-seq"),
    (b"%PDF-", "pdf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"Obj\x01", "avro"),
    (b"ORC", "orc"),
    (b"\x93NUMPY", "numpy"),
    (b"WARC/1.", "warc"),
    (b"version https://git-lfs.github.com/spec/", "lfs-pointer"),
    (b"/annex/objects/", "annex-pointer"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_STREAM_MARK = b"\xff\xff\xff\xff"  # Arrow IPC: the continuation mark, then a length of metadata
_TAR_AT, _TAR = 257, b"ustar"
_LINES_OF_A_GUESS = 20


class Content(NamedTuple):
    """What a file is."""

    kind: str
    """One of `KINDS`; of a packed file, of what is in it."""
    packing: str | None = None
    """One of `PACKINGS`."""

    def __str__(self) -> str:
        words = KINDS[self.kind]
        return f"{words}, packed by {PACKINGS[self.packing]}" if self.packing else words


def tell(head: bytes) -> Content:
    """What a file is that begins so.

    Args:
        head: its first HEAD_BYTES, PACKED_HEAD_BYTES of one that `packing_of` names a packing of,
            or all of it where it is smaller.
    """
    packing = packing_of(head)
    if packing is None:
        return Content(_kind(head[:HEAD_BYTES], cut=len(head) >= HEAD_BYTES))
    unpacked, whole = unpacked_head(head, packing, HEAD_BYTES)
    if not unpacked and not whole:  # damaged, or cut before the end of its first block
        return Content("unknown", packing)
    return Content(_kind(unpacked, cut=not whole), packing)


def packing_of(head: bytes) -> str | None:
    """The compression of a file that begins so, one of `PACKINGS`."""
    for magic, packing in _PACKED:
        if head.startswith(magic) or (packing == "zst" and _is_skippable(head)):
            return packing
    return None


def _is_skippable(head: bytes) -> bool:
    return len(head) >= 4 and int.from_bytes(head[:4], "little") in _ZSTD_SKIPPABLE


def _kind(head: bytes, *, cut: bool) -> str:
    """cut: there may be more of it."""
    if not head:
        return "empty"
    for magic, kind in (*_MAGIC, *_PACKED):  # what is packed here was packed twice
        if head.startswith(magic):
            return kind
    if head.startswith(_STREAM_MARK) and 0 < int.from_bytes(head[4:8], "little") < 1 << 28:
        return "arrow-stream"
    if head[_TAR_AT:].startswith(_TAR):
        return "tar"
    if _looks_like_utf16(head):
        return "utf-16"
    if b"\0" in head or not (_is_utf8(head, cut=cut) or head.lstrip()[:1] in (b"[", b"{")):
        return "binary"  # JSON with some bytes that are no UTF-8 is JSON with bad rows
    return _kind_of_text(head.removeprefix(BYTE_ORDER_MARK))


def _looks_like_utf16(head: bytes) -> bool:
    """Half of the bytes of Latin text in UTF-16 are zero, all in the same places."""
    sample = head[:1024]
    half = len(sample) // 2
    first, second = sample[0 : 2 * half : 2].count(0), sample[1 : 2 * half : 2].count(0)
    return half >= 4 and max(first, second) > 0.7 * half and min(first, second) < 0.1 * half


def _is_utf8(head: bytes, *, cut: bool) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return cut and error.reason == "unexpected end of data"  # inside a character
    return True


def _kind_of_text(head: bytes) -> str:
    text = head.decode("utf-8", "ignore").lstrip()
    if not text:
        return "blank"
    if text[0] in "[{":
        return _kind_of_json(text)
    start = text[:1024].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "html"
    if start.startswith("<?xml"):
        return "html" if "<html" in start else "xml"
    if "\r" in text and "\n" not in text:
        return "cr-lines"
    for kind, separator in (("tsv", "\t"), ("csv", ",")):
        if _is_table(text, separator):
            return kind
    return "text"


def _kind_of_json(text: str) -> str:
    line, _, rest = text.partition("\n")
    if "\r" in line.rstrip("\r") and not rest and _is_json(line.split("\r")[0]):
        return "cr-lines"
    if _is_json(line):  # a list on the first of several lines is a row that is a list
        return "json-lines" if text[0] == "{" or rest.strip() else "json-array"
    if text[0] == "[":
        return "json-array"
    if (end := _end_of_value(text)) is not None:
        joined = end <= len(line) and text[end:].lstrip(" \t")[:1] == "{"
        # of several lines the first may be damaged, and is then a row that is
        if joined and not (rest.strip() and _is_json(rest.lstrip().split("\n")[0])):
            return "json-joined"
        return "json-object" if end > len(line) else "json-lines"
    # the first value does not end in what was looked at
    return "json-object" if rest.lstrip()[:1] == '"' else "json-lines"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _end_of_value(text: str) -> int | None:
    """Where the first JSON value ends; None if it does not end here, or is none."""
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None


def _is_table(text: str, separator: str) -> bool:
    lines = text.splitlines(keepends=True)[: _LINES_OF_A_GUESS + 1]
    lines = lines[:-1] if len(lines) > _LINES_OF_A_GUESS else lines
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter=separator, strict=True) if row}
    except csv.Error:
        return False
    return len(lines) > 1 and len(widths) == 1 and widths.pop() > 1
