"""Files as rows, one published layout a module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.file import Layout
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import ReadLimits, Rows


def rows_of(
    raw: RawFile,
    layout: Layout,
    columns: Sequence[NeededColumn],
    limits: ReadLimits,
    counts: Counter[str],
) -> Rows:
    """The rows of a file, whose content is as its layout says (`check_agreement`)."""
    if layout.name == "parquet":
        from pipeline.inputs.readers.layouts.parquet import parquet_rows

        return parquet_rows(raw, columns, limits)
    if layout.name == "arrow":
        from pipeline.inputs.readers.layouts.arrow import arrow_rows

        return arrow_rows(raw, columns, limits)
    if layout.name == "zip":
        from pipeline.inputs.readers.layouts.zip_members import zip_rows

        return zip_rows(raw, limits, counts)
    if layout.name in ("csv", "tsv"):
        from pipeline.inputs.readers.layouts.tables import table_rows

        return table_rows(raw, layout.name, layout.packing, limits, counts)
    if layout.name == "json":
        from pipeline.inputs.readers.layouts.json_array import json_array_rows

        return json_array_rows(raw, layout.packing, limits, counts)
    if layout.name == "txt":
        from pipeline.inputs.readers.layouts.whole_text import whole_text_rows

        return whole_text_rows(raw, layout.packing, limits, counts)
    if layout.name == "warc":
        from pipeline.inputs.readers.layouts.warc import warc_rows

        return warc_rows(raw, layout.packing, limits, counts)
    from pipeline.inputs.readers.layouts.json_lines import json_line_rows

    return json_line_rows(raw, layout.packing, limits, counts)
