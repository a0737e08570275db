"""The first rows of a file, as a training run would read them: of sequential layouts what is in the
first mebibyte, of parquet and Arrow one batch. No more is read, whatever the file's size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixtures.errors import InputError
from mixtures.words import first_line
from mixtures.yaml.disk import open_file
from pipeline.inputs.file import InputFile, Layout, layout_of
from pipeline.inputs.readers.agreement import check_agreement
from pipeline.inputs.readers.layouts import rows_of
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits
from pipeline.places.files import file_system

ROWS = 500
"""Of a file at most."""
_ZIP_BYTES = 64 * MEBIBYTE  # an archive is read whole: its directory stands at its end


@dataclass
class Sample:
    """What was read of a file."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    bad: int = 0
    """Rows that are no objects, or cannot be decoded."""
    num_rows: float = 0
    """Of the whole file: known for parquet, else estimated by bytes."""
    exact: bool = False
    """Whether `num_rows` is known."""


def sample_of(file: InputFile) -> Sample:
    """Read the first rows of a file.

    Raises:
        InputError: it is damaged, or not what its ending says.
    """
    layout = layout_of(file.path)
    with RawFile(file) as raw:
        content = check_agreement(raw, layout)
        if layout.name in ("parquet", "arrow"):
            return _arrow_sample(file, layout.name)
        if layout.name == "zip" and file.size > _ZIP_BYTES:
            return Sample()
        if layout.name == "json" and content.kind != "json-array":
            layout = layout._replace(name="jsonl")
        return _sequential_sample(raw, layout)


def _sequential_sample(raw: RawFile, layout: Layout) -> Sample:
    """Rows are estimated from those of whole blocks: when bytes are read anew, the rows before are
    those of the bytes before.
    """
    found = Sample()
    size, counted = raw.size, (0, 1)  # bytes; rows and the bytes that they came from
    rows = 0
    for rows, (_, record) in enumerate(rows_of(raw, layout, (), ReadLimits(), Counter()), start=1):
        if raw.size != size:
            if size:
                counted = (rows - 1, size)
            if counted[1] >= MEBIBYTE:
                break
            size = raw.size
        if not isinstance(record, Mapping):
            found.bad += 1
        elif len(found.rows) < ROWS:
            found.rows.append(record)
    else:
        raw.finish()
        found.exact, counted = True, (rows, raw.file.size)
    found.num_rows = counted[0] * raw.file.size / counted[1]
    return found


def _arrow_sample(file: InputFile, layout: str) -> Sample:
    import pyarrow as pa

    try:
        with _opened(file) as handle:
            return _parquet_rows(handle) if layout == "parquet" else _stream_rows(handle, file.size)
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        why = first_line(error, "")
        raise InputError(f"{file.url}: cannot be read ({why}); fetch it again") from None


def _opened(file: InputFile) -> Any:
    if file.local:
        return open_file(Path(file.url))
    return file_system(file.scheme).open(file.url, "rb")


def _parquet_rows(handle: Any) -> Sample:
    from pyarrow import parquet

    file = parquet.ParquetFile(handle)
    batches = file.iter_batches(batch_size=ROWS, row_groups=[0]) if file.num_row_groups else []
    rows: list[Mapping[str, Any]] = next((batch.to_pylist() for batch in batches), [])
    return Sample(rows, 0, file.metadata.num_rows, exact=True)


def _stream_rows(handle: Any, num_bytes: int) -> Sample:
    from pyarrow import ipc

    magic = handle.read(6)
    handle.seek(0)
    if magic == b"ARROW1":
        file = ipc.open_file(handle)
        batch = file.get_batch(0) if file.num_record_batches else None
    else:
        batch = next(iter(ipc.open_stream(handle)), None)
    if batch is None:
        return Sample(exact=True)
    share = min(1.0, batch.nbytes / max(1, num_bytes))
    return Sample(batch.slice(0, ROWS).to_pylist(), 0, len(batch) / share if share else 0)
