"""Remote files as streams that survive a broken connection.

An open file asks for BLOCK_BYTES (8 MiB) at a time, and holds a few such blocks whatever its size:
reading an object of 60 MiB from S3 took 30 MB at its peak (2026-11-22, a 2-core x86-64 machine).
What seeks (parquet, zip) is first copied to a temporary file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mixtures.errors import InputError
from pipeline.inputs.file import InputFile
from pipeline.places.files import BLOCK_BYTES, etag_of, file_system, retried


class RetryingStream:
    """A sequential stream that reopens its file where a read failed.

    Args:
        name: for messages.
        open_at: opens the file and returns a handle at the given offset, bytes.
    """

    def __init__(self, name: str, open_at: Callable[[int], Any]) -> None:
        self._name = name
        self._open_at = open_at
        self._handle: Any = None
        self._offset = 0

    def read(self, num_bytes: int) -> bytes:
        """Up to `num_bytes` at the current offset; b"" at the end.

        Raises: InputError when every try failed, or one for a reason that does not pass
        (`pipeline.places.files.is_permanent`).
        """

        def read() -> bytes:
            if self._handle is None:
                self._handle = self._open_at(self._offset)
            return bytes(self._handle.read(num_bytes))

        block = retried(
            f"{self._name}: cannot be read at byte {self._offset:,}",
            read,
            "check the network and the access token, or give local files with --data",
            reset=self.close,
        )
        self._offset += len(block)
        return block

    def close(self) -> None:
        """Close the handle, if there is one; a handle that is broken may fail to close, which
        changes nothing.
        """
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(Exception):
                handle.close()


def open_at(file: InputFile, offset: int) -> Any:
    """A handle at an offset, bytes, on the object that was listed; of the hub a commit is named,
    which cannot change.
    """
    handle = file_system(file.scheme).open(
        file.url, "rb", block_size=BLOCK_BYTES, cache_type="readahead"
    )
    if file.scheme != "hf" and (handle.size, etag_of(handle.details)) != (file.size, file.etag):
        handle.close()
        raise InputError(
            f"{file.url}: the object changed since it was listed: expected {file.size:,} bytes and"
            f" etag {file.etag}, found {handle.size:,} and {etag_of(handle.details)}; plan again"
        )
    handle.seek(offset)
    return handle
