"""`SHA256SUMS`: the file in a source's folder that pins the contents of the others, as `sha256sum`
writes it: a line is 64 hex digits, a space, a space or `*`, and the path.

    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/0.jsonl
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from mixtures.errors import InputError

CHECKSUMS = "SHA256SUMS"
_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


class ChecksumFile(NamedTuple):
    """What a place has under the name `SHA256SUMS`."""

    where: str
    """Path or URL, for messages."""
    content: bytes

    def sums(self) -> dict[str, str]:
        """{path: sha256 (lower-case hex)}.

        Raises:
            InputError: it is not UTF-8; a line has another form, a path leads out of the folder, or
                is listed with two hashes.
        """
        try:
            lines = self.content.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where}: cannot be read: {error}") from None
        sums: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            match = _CHECKSUM_LINE.fullmatch(line)
            if match is None:
                raise InputError(
                    f"{self.where}:{number}: is not 64 hex digits, two spaces and a path, as"
                    " sha256sum writes them; make the list again"
                )
            path = PurePosixPath(match[2])
            if path.is_absolute() or ".." in path.parts:
                raise InputError(
                    f"{self.where}:{number}: {match[2]} leads out of the folder; list only files"
                    " below it"
                )
            if sums.setdefault(path.as_posix(), match[1].lower()) != match[1].lower():
                raise InputError(
                    f"{self.where}:{number}: {path} is listed before with another hash; make the"
                    " list again"
                )
        return sums
