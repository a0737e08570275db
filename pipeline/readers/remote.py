"""Files of the hub as streams that survive a broken connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mixtures.errors import InputError

ATTEMPTS = 5
_BLOCK_BYTES = 16 << 20


class RetryingStream:
    """A sequential stream that reopens its file where a read failed.

    Args:
        name: for messages.
        open_at: opens the file and returns a handle at the given offset, bytes.
        attempts: reads tried at one offset before giving up.
        first_wait_seconds: wait before the second try; doubled for each further one.
    """

    def __init__(self, name: str, open_at: Callable[[int], Any], attempts: int = ATTEMPTS, first_wait_seconds: float = 1.0) -> None:
        self._name = name
        self._open_at = open_at
        self._attempts = attempts
        self._first_wait_seconds = first_wait_seconds
        self._handle: Any = None
        self._offset = 0

    def read(self, num_bytes: int) -> bytes:
        """Up to `num_bytes` at the current offset; b"" at the end.

        Raises: InputError when every try failed. All exceptions are tried again: clients wrap a lost connection in many types.
        """
        for attempt in range(1, self._attempts + 1):
            try:
                if self._handle is None:
                    self._handle = self._open_at(self._offset)
                block: bytes = self._handle.read(num_bytes)
            except Exception as error:
                self.close()
                if attempt == self._attempts:
                    raise InputError(
                        f"{self._name}: cannot be read at byte {self._offset:,} after {attempt} tries ({type(error).__name__}: {error});"
                        f" check the network and the access token, or give local files with --data"
                    ) from error
                time.sleep(self._first_wait_seconds * 2 ** (attempt - 1))
            else:
                self._offset += len(block)
                return block
        raise AssertionError("unreachable: the last try returns or raises")

    def close(self) -> None:
        """Close the handle, if there is one; a handle that is broken may fail to close, which changes nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(Exception):
                handle.close()


def open_hub_file(url: str, offset: int) -> Any:
    """A handle on `hf://datasets/REPO@COMMIT/PATH` at an offset, bytes."""
    from huggingface_hub import HfFileSystem

    handle = HfFileSystem().open(url, "rb", block_size=_BLOCK_BYTES)
    handle.seek(offset)
    return handle
