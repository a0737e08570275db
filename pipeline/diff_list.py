"""The documents in which two mixes differ, as a parquet file: who reads it knows which documents a filter removes, so it is mode 0600."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.errors import RecipeError
from pipeline.records import named

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
    """Writes the list, by digest. As a context manager; what is left by an error is removed.

    Raises:
        RecipeError: the file exists already, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError:
            raise RecipeError(f"--list {path}: exists; a list is never written over another file, name a new one") from None
        except OSError as error:
            raise RecipeError(f"--list {path}: cannot be made ({error.strerror}); name a file in a folder that exists") from None
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")

    def __enter__(self) -> DocumentList:
        return self

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
        self._writer.write_table(pa.table([digests, texts[0], sides, texts[1], pa.array(tokens.tolist(), pa.uint64())], schema=SCHEMA))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with named(self.path), self._file:
                self._writer.close()
        except OSError:
            self.path.unlink(missing_ok=True)
            raise
        if error is not None:
            self.path.unlink(missing_ok=True)
