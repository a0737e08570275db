"""The bytes of an input file: opened once, hashed while they pass, and the same at the end as when
they were listed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from mixtures.errors import InputError
from mixtures.yaml.disk import kind_of
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import content_unchanged
from pipeline.inputs.readers.rows import MEBIBYTE
from pipeline.places.files import NOT_YET, patient
from pipeline.places.places import SCHEMES


class RawFile:
    """One input file, open for reading; a context manager.

    Sequential layouts call `blocks` and then `finish`. Layouts that seek (parquet, zip) call
    `seekable`, which reads and checks all bytes before the first of them is parsed.

    Attributes: sha256 (hex) and size (bytes) of the content, once all of it has been read.
    """

    def __init__(self, file: InputFile) -> None:
        self.file = file
        self.sha256 = ""
        self.size = 0
        self._hash = hashlib.sha256()
        self._handle: Any = None
        self._head = b""  # read, and not yet given out
        self._spooled: IO[bytes] | None = None

    def __enter__(self) -> RawFile:
        self._handle = _open_local(self.file) if self.file.local else _open_remote(self.file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.close()
        if self._spooled is not None:
            self._spooled.close()

    def head(self, num_bytes: int) -> bytes:
        """The file's first bytes, before any are taken."""
        while len(self._head) < num_bytes and (block := self._from_file(num_bytes)):
            self._head += block
        return self._head[:num_bytes]

    def blocks(self, block_bytes: int = MEBIBYTE) -> Iterator[bytes]:
        """The file's bytes in order, hashed as they pass."""
        while block := self._read(block_bytes):
            self._hash.update(block)
            self.size += len(block)
            yield block

    def seekable(self) -> IO[bytes]:
        """A handle on the checked content, at its start. A remote file is first copied into an
        unnamed temporary file.
        """
        # __exit__ closes it
        target = None if self.file.local else tempfile.TemporaryFile()  # noqa: SIM115
        self._spooled = target
        try:
            for block in self.blocks():
                if target is not None:
                    target.write(block)
        except OSError as error:
            raise InputError(
                f"{self.file.url}: cannot be copied to {tempfile.gettempdir()} ({error.strerror});"
                " set TMPDIR to a folder with room"
            ) from None
        self.check_content()
        handle: IO[bytes] = self._handle if target is None else target
        handle.seek(0)
        return handle

    def finish(self) -> None:
        """After the last row: the content is all there, is what is pinned, and the file is the one
        that was listed.

        Raises: InputError that says what was expected and what was found.
        """
        self.check_content()
        if not content_unchanged(self.file):
            raise InputError(
                f"{self.file.url}: the file changed while it was read (size, times, inode or etag);"
                " run again when nothing writes to it"
            )

    def check_content(self) -> None:
        """Size and, where it is pinned, sha256 of the bytes read."""
        self.sha256 = self._hash.hexdigest()
        if self.size != self.file.size:
            raise InputError(
                f"{self.file.url}: expected {self.file.size:,} bytes, found {self.size:,}: the file"
                " is truncated or changed; fetch it again"
            )
        if self.file.sha256 is not None and self.sha256 != self.file.sha256:
            raise InputError(
                f"{self.file.url}: expected sha256 {self.file.sha256}, found {self.sha256}:"
                " the file is truncated or changed; fetch it again"
            )

    def _read(self, num_bytes: int) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._from_file(num_bytes)

    def _from_file(self, num_bytes: int) -> bytes:
        try:
            block: bytes = self._handle.read(num_bytes)
        except OSError as error:
            raise InputError(
                f"{self.file.url}: cannot be read at byte {self.size:,} ({error}); fetch it again"
            ) from None
        return block


def _open_local(file: InputFile) -> IO[bytes]:
    """Open a listed file without waiting for a writer, should a pipe have taken its place."""
    try:
        descriptor = patient(
            f"{file.url}: cannot be opened",
            lambda: os.open(file.url, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC),
            NOT_YET,
        )
    except OSError as error:
        raise InputError(
            f"{file.url}: cannot be opened ({error.strerror}); fetch it again, or remove it from"
            " the source"
        ) from None
    handle = os.fdopen(descriptor, "rb")
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        handle.close()
        raise InputError(
            f"{file.url}: {kind_of(state)}, not a regular file; only regular files are read"
        )
    if not file.is_still(state):
        handle.close()
        raise InputError(
            f"{file.url}: the file changed since it was listed: expected {file.size:,} bytes, found"
            f" {state.st_size:,} (or other times or another inode): it is truncated or changed;"
            " plan again"
        )
    return handle


def _open_remote(file: InputFile) -> Any:
    if file.scheme not in SCHEMES:
        allowed = f"local files, {', '.join(SCHEMES)}"
        raise InputError(
            f"{file.url}: the scheme {file.scheme!r} is not allowed; allowed are {allowed}; copy"
            " the file to such a place"
        )
    from pipeline.inputs.readers.remote import RetryingStream, open_at

    return RetryingStream(file.url, lambda offset: open_at(file, offset))
