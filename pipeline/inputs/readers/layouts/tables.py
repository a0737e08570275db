"""Rows of comma- or tab-separated values (RFC 4180): a header of column names, then a record a row.

The row number counts the records after the header, from 0; an empty line is none. A field may stand
in double quotes, also in tsv, and then hold separators and line breaks; all is text, and an empty
field is an empty text, never null. A record with more or fewer fields than the header is
quarantined (`fields`). A quote that nothing closes is an error: it swallows the rest of the file.

`datasets` and pyarrow guess types and nulls, and polars repairs quotes, so a text `NA` or `007`
would not be what it is; the standard library's parser, which this is, keeps text.
"""

from __future__ import annotations

import csv
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterator

from mixtures.errors import InputError
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.readers.layouts.columns import other_separator
from pipeline.inputs.readers.rows import ReadLimits, Rows

SEPARATORS = {"csv": ",", "tsv": "\t"}


def table_rows(where: str, layout: str, blocks: Iterator[bytes], limits: ReadLimits) -> Rows:
    """Yield (record index, {column: text}) for every record.

    Args:
        where: path or URL of the file. layout: csv or tsv.

    Raises: InputError if the header is none or a quote is not closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), limits.max_row_bytes))
    reader = csv.reader(_lines(blocks), delimiter=SEPARATORS[layout], strict=True)
    names: list[str] = []
    row = 0
    try:
        for fields in reader:
            if not fields:
                continue
            if not names:
                names = _header(where, fields)
                continue
            yield row, _record(names, fields)
            row += 1
    except csv.Error as error:
        raise InputError(
            f"{where}:{reader.line_num}: is not {layout} as RFC 4180 has it ({error}); write"
            ' a quote in a quoted field as "", or give JSON lines'
        ) from None


def _header(where: str, names: list[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{where}: the header has the column {twice[0][:40]!r} more than once; give each"
            " its own name"
        )
    return names


def _record(names: list[str], fields: list[str]) -> dict[str, str] | BadRecord:
    if len(fields) != len(names):
        separator = other_separator(names)
        hint = f", and the delimiter looks like {separator!r}" if separator else ""
        return BadRecord("fields", f"{len(fields)} fields, the header has {len(names)}{hint}")
    for name, field in zip(names, fields, strict=True):
        try:
            field.encode("utf-8")
        except UnicodeEncodeError:
            return BadRecord("utf8", f"bytes that are not UTF-8 in column {name!r}")
    return dict(zip(names, fields, strict=True))


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    """Lines with their ends, as the parser wants them; bytes that are no UTF-8 pass as surrogate
    escapes. Only a newline ends a line here: the parser itself knows carriage returns.
    """
    decode = getincrementaldecoder("utf-8")("surrogateescape").decode
    waiting: list[str] = []
    for block in blocks:
        *lines, rest = decode(block).split("\n")
        for line in lines:
            waiting.append(f"{line}\n")
            yield "".join(waiting)
            waiting = []
        waiting.append(rest)
    if last := "".join([*waiting, decode(b"", final=True)]):
        yield last
