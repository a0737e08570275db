"""Files as rows, one published layout a module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.file import Layout
from pipeline.inputs.readers.compression import unpacked_blocks
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import BYTE_ORDER_MARK, ReadLimits, Rows


def rows_of(
    raw: RawFile,
    layout: Layout,
    columns: Sequence[NeededColumn],
    limits: ReadLimits,
    counts: Counter[str],
) -> Rows:
    """The rows of a file, whose content is as its layout says (`check_agreement`). Who has read all
    of them calls `raw.finish`.

    Args:
        counts: where byte order marks and members that are left out are counted.

    Raises: InputError as `unpacked_blocks` does, and as the layout's own module says.
    """
    if layout.name == "parquet":
        from pipeline.inputs.readers.layouts.parquet import parquet_rows

        return parquet_rows(raw, columns, limits)
    if layout.name == "arrow":
        from pipeline.inputs.readers.layouts.arrow import arrow_rows

        return arrow_rows(raw, columns, limits)
    if layout.name == "zip":
        from pipeline.inputs.readers.layouts.zip_members import zip_rows

        return zip_rows(raw, limits, counts)
    blocks, where = unpacked_blocks(raw, layout.packing, limits), raw.file.url
    blocks = _without_byte_order_mark(blocks, counts)
    if layout.name in ("csv", "tsv"):
        from pipeline.inputs.readers.layouts.tables import table_rows

        return table_rows(where, layout.name, blocks, limits)
    if layout.name == "json":
        from pipeline.inputs.readers.layouts.json_array import json_array_rows

        return json_array_rows(where, blocks, limits)
    if layout.name == "txt":
        from pipeline.inputs.readers.layouts.whole_text import whole_text_rows

        return whole_text_rows(blocks, limits)
    if layout.name == "warc":
        from pipeline.inputs.readers.layouts.warc import warc_rows

        return warc_rows(where, blocks, limits)
    from pipeline.inputs.readers.layouts.json_lines import json_line_rows

    return json_line_rows(blocks, limits)


def _without_byte_order_mark(blocks: Iterator[bytes], counts: Counter[str]) -> Iterator[bytes]:
    """The blocks without a byte order mark at their start; counts it under `byte_order_marks`."""
    start = b""
    for block in blocks:
        start += block
        if len(start) >= len(BYTE_ORDER_MARK):
            break
    if start.startswith(BYTE_ORDER_MARK):
        counts["byte_order_marks"] += 1
        start = start[len(BYTE_ORDER_MARK) :]
    yield start
    yield from blocks
