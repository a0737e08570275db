"""The documents in which two mixes differ, as a parquet file: who reads it knows which documents a
filter removes, so it is mode 0600.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.commands.destination import private_file

SCHEMA = pa.schema(
    [
        ("digest", pa.binary(16)),
        ("source", pa.string()),
        ("side", pa.string()),  # a or b: the mix that has it; both: in both, but not alike
        ("reason", pa.string()),  # why it is not in the other mix; of both: in what it differs
        ("tokens", pa.uint64()),  # of all its places; of both: in A
    ]
)


class DocumentList:
    """Writes the list, by digest."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def add(
        self,
        digest: npt.NDArray[np.uint64],
        source: npt.NDArray[np.object_],
        side: str,
        reason: npt.NDArray[np.object_],
        tokens: npt.NDArray[np.uint64],
    ) -> None:
        """Add documents. digest: uint64 [num_docs, 2]; the others [num_docs]."""
        if not len(digest):
            return
        raw = pa.py_buffer(np.ascontiguousarray(digest).astype(">u8").tobytes())
        digests = pa.Array.from_buffers(pa.binary(16), len(digest), [None, raw])
        texts = [pa.array(column.tolist(), pa.string()) for column in (source, reason)]
        sides = pa.array([side] * len(digest), pa.string())
        self._writer.write_table(
            pa.table(
                [digests, texts[0], sides, texts[1], pa.array(tokens.tolist(), pa.uint64())],
                schema=SCHEMA,
            )
        )


@contextmanager
def document_list(path: Path) -> Iterator[DocumentList]:
    """The list at `path`, to be filled.

    Raises:
        RecipeError: as `private_file`.
    """
    with private_file(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        yield DocumentList(writer)
