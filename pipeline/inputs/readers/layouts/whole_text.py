"""A text file as one row: its whole content, in the column `text`, as it stands. One in which
nothing can be seen holds no row, as a JSON lines file of blank lines does.
"""

from __future__ import annotations

from collections import Counter

from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.readers.blank import is_blank
from pipeline.inputs.readers.compression import unpacked_blocks
from pipeline.inputs.readers.layouts.json_lines import without_byte_order_mark
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import ReadLimits, Rows


def whole_text_rows(
    raw: RawFile, packing: str | None, limits: ReadLimits, counts: Counter[str]
) -> Rows:
    """Yield (0, {"text": content}), unless it is blank.

    Raises: InputError as `unpacked_blocks` does, and if the content is not what was listed or
        pinned.
    """
    pieces, num_bytes = [], 0
    for block in without_byte_order_mark(unpacked_blocks(raw, packing, limits), counts):
        num_bytes += len(block)
        if num_bytes <= limits.max_text_bytes:
            pieces.append(block)
    raw.finish()
    if num_bytes > limits.max_text_bytes:
        yield (
            0,
            BadRecord(
                "too-large",
                f"{num_bytes:,} bytes of text, {limits.max_text_bytes:,} are allowed",
            ),
        )
        return
    try:
        text = b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError as error:
        yield 0, BadRecord("utf8", f"{error.reason} at byte {error.start} of the file")
        return
    if not is_blank(text):
        yield 0, {"text": text}
