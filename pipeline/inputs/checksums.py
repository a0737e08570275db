"""`SHA256SUMS`: the file in a source's folder that pins the contents of the others, as `sha256sum`
writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mixtures.errors import InputError

if TYPE_CHECKING:
    from pipeline.inputs.file import InputFile

CHECKSUMS = "SHA256SUMS"
_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def with_checksums(
    listing: str, sums: Mapping[str, str], files: list[InputFile], is_there: Callable[[str], bool]
) -> list[InputFile]:
    """Pin each file to its hash in a `SHA256SUMS`, which must list all of them, and nothing else.
    listing: where it lies.

    Raises: InputError names what is missing, or not listed.
    """
    for path in sums:
        if not is_there(path):
            raise InputError(
                f"{listing}: lists {path}, which is missing; fetch it, or take it out of the list"
            )
    for file in files:
        if file.path not in sums:
            raise InputError(
                f"{listing}: does not list {file.path}, which is in the folder; add it to the list,"
                " or remove the file"
            )
    return [replace(file, sha256=sums[file.path]) for file in files]


def read_checksums(listing: Path) -> dict[str, str]:
    """`parse_checksums` of a local file.

    Raises: InputError if it cannot be read, and as `parse_checksums`.
    """
    try:
        return parse_checksums(str(listing), listing.read_bytes())
    except OSError as error:
        raise InputError(f"{listing}: cannot be read: {error}") from None


def parse_checksums(listing: str, content: bytes) -> dict[str, str]:
    """Path -> sha256 (lower-case hex) of what a file in the format of `sha256sum` says. listing:
    where it lies.

    Raises: InputError for a line of another form, a path out of the folder, and a path listed with
    two hashes.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{listing}: cannot be read: {error}") from None
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _CHECKSUM_LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"{listing}:{number}: is not 64 hex digits, two spaces and a path, as sha256sum"
                " writes them; make the list again"
            )
        path = PurePosixPath(match[2])
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{listing}:{number}: {match[2]} leads out of the folder; list only files below it"
            )
        if sums.setdefault(path.as_posix(), match[1].lower()) != match[1].lower():
            raise InputError(
                f"{listing}:{number}: {path} is listed before with another hash; make the list"
                " again"
            )
    return sums
