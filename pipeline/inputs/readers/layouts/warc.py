"""Rows of WARC files of extracted text (Common Crawl's WET): a row a `conversion` record.

    column    of the record
    text      its block, as it stands
    url       WARC-Target-URI
    date      WARC-Date
    language  WARC-Identified-Content-Language; empty where there is none

The row number counts conversion records from 0; warcinfo and metadata records are no rows. A
response or request record is an error: its block is HTTP and HTML, and which text that holds is for
an extractor to say. (WARC 1.1, ISO 28500:2017. datatrove's reader extracts and passes over records
that it cannot, without a count.)
"""

from __future__ import annotations

from collections.abc import Iterator

from mixtures.errors import InputError
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.readers.rows import ReadLimits, Rows

_NO_ROWS = ("warcinfo", "metadata")
_HEADER_BYTES = 1 << 20


def warc_rows(where: str, blocks: Iterator[bytes], limits: ReadLimits) -> Rows:
    """Yield (record index, {column: text}) for every conversion record. where: path or URL of the
    file.

    Raises: InputError for a record that is not as the format says or holds no extracted text.
    """
    stream = _Stream(where, blocks)
    row = 0
    while (header := stream.header()) is not None:
        kind, size = header.get("warc-type", ""), stream.size(header)
        if kind not in (*_NO_ROWS, "conversion"):
            raise InputError(
                f"{where}: has a record of type {kind[:40]!r} at byte {stream.offset:,};"
                " only extracted text is read (WET: conversion records): extract the text first"
            )
        block = stream.block(size, keep=kind == "conversion" and size <= limits.max_text_bytes)
        if kind == "conversion":
            yield row, _record(header, block, size, limits)
            row += 1


def _record(
    header: dict[str, str], block: bytes, size: int, limits: ReadLimits
) -> dict[str, str] | BadRecord:
    if size > limits.max_text_bytes:
        return BadRecord(
            "too-large", f"{size:,} bytes of text, {limits.max_text_bytes:,} are allowed"
        )
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRecord("utf8", f"{error.reason} at byte {error.start} of the record")
    return {
        "text": text,
        "url": header.get("warc-target-uri", ""),
        "date": header.get("warc-date", ""),
        "language": header.get("warc-identified-content-language", ""),
    }


class _Stream:
    """Records one after the other. offset: of what comes next, bytes once unpacked."""

    def __init__(self, where: str, blocks: Iterator[bytes]) -> None:
        self._where, self._blocks = where, blocks
        self._held, self._at = b"", 0
        self.offset = 0

    def header(self) -> dict[str, str] | None:
        """The next record's header, names in lower case; None at the end."""
        while (end := self._held.find(b"\r\n\r\n", self._at)) < 0:
            if len(self._held) - self._at > _HEADER_BYTES:
                raise self._error("has no header where a record should begin")
            if not self._more():
                if self._held[self._at :].strip(b"\r\n"):
                    raise self._error("ends in the header of a record")
                return None
        head = self._take(end + 4 - self._at)
        first, *lines = head.decode("utf-8", "replace").strip("\r\n").split("\r\n")
        if not first.startswith("WARC/1."):
            raise self._error("has no header where a record should begin")
        fields = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise self._error("has a header line without a colon")
            fields[name.strip().lower()] = value.strip()
        return fields

    def size(self, header: dict[str, str]) -> int:
        """Bytes of the block."""
        text = header.get("content-length", "")
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise self._error("has a record without Content-Length")
        return int(text)

    def block(self, size: int, *, keep: bool) -> bytes:
        """The block of a record, and past the two line ends behind it; empty if it is not kept."""
        pieces, missing = [], size
        while missing:
            if self._at == len(self._held) and not self._more():
                raise self._error("ends inside a record")
            piece = self._take(min(missing, len(self._held) - self._at))
            missing -= len(piece)
            if keep:
                pieces.append(piece)
        while len(self._held) - self._at < 4 and self._more():
            pass
        if self._take(4) != b"\r\n\r\n":
            raise self._error("has a record whose block is not as long as its Content-Length says")
        return b"".join(pieces)

    def _more(self) -> bool:
        """Read on, letting go of what was taken; False at the end."""
        block = next(self._blocks, b"")
        self._held, self._at = self._held[self._at :] + block, 0
        return bool(block)

    def _take(self, num_bytes: int) -> bytes:
        taken = self._held[self._at : self._at + num_bytes]
        self._at += len(taken)
        self.offset += len(taken)
        return taken

    def _error(self, what: str) -> InputError:
        return InputError(f"{self._where}: {what}, at byte {self.offset:,}; fetch it again")
