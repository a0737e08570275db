"""A text file as one row: its whole content, in the column `text`, as it stands. One in which
nothing can be seen holds no row, as a JSON lines file of blank lines does.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.readers.blank import is_blank
from pipeline.inputs.readers.rows import ReadLimits, Rows


def whole_text_rows(blocks: Iterator[bytes], limits: ReadLimits) -> Rows:
    """Yield (0, {"text": content}), unless it is blank."""
    pieces, num_bytes = [], 0
    for block in blocks:
        num_bytes += len(block)
        if num_bytes <= limits.max_text_bytes:
            pieces.append(block)
    if num_bytes > limits.max_text_bytes:
        detail = f"{num_bytes:,} bytes of text, {limits.max_text_bytes:,} are allowed"
        yield 0, BadRecord("too-large", detail)
        return
    try:
        text = b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError as error:
        yield 0, BadRecord("utf8", f"{error.reason} at byte {error.start} of the file")
        return
    if not is_blank(text):
        yield 0, {"text": text}
