"""Rows of a zip archive of JSON files: one JSON object a member (Camel).

The row number is the index of the member among all members that end in `.json`, sorted by name, so
that packing the archive again changes no row. Folders are passed over; hidden members, those that
operating systems leave (`__MACOSX/`) and READMEs are left out and counted; any other is an error.
Names that lead out of the archive, links, encryption, two members of one name and damaged or
oversized members are errors: the archive is then not what its publisher made.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import PurePosixPath

from mixtures.errors import InputError
from pipeline.inputs.contents.names import is_companion, is_hidden
from pipeline.inputs.readers.compression import unpacks_too_far
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import BYTE_ORDER_MARK, ReadLimits, Rows, parse_json

_ENCRYPTED = 0x1
_UNIX = 3
# What zipfile raises for archives that are not as the format says; NotImplementedError is for
# versions and methods unknown to it.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def zip_rows(raw: RawFile, limits: ReadLimits, counts: Counter[str]) -> Rows:
    """Yield (member index, record) for every `.json` member.

    Raises: InputError if the archive or a member is damaged, hostile or not what was listed or
    pinned.
    """
    handle = raw.seekable()
    try:
        with zipfile.ZipFile(handle) as archive:
            members = _checked_members(raw, archive, limits, counts)
            for row, member in enumerate(members):
                data = _read_member(raw, archive, member, limits)
                if data.startswith(BYTE_ORDER_MARK):
                    counts["byte_order_marks"] += 1
                    data = data[len(BYTE_ORDER_MARK) :]
                yield row, parse_json(data)
    except _DAMAGE as error:
        raise InputError(
            f"{raw.file.url}: the zip archive is truncated or damaged ({error}); fetch it again"
        ) from None


def _checked_members(
    raw: RawFile, archive: zipfile.ZipFile, limits: ReadLimits, counts: Counter[str]
) -> list[zipfile.ZipInfo]:
    """The `.json` members sorted by name. What is wrong with any member is wrong with the
    archive. Those that are left out are counted under `companions`.
    """
    members: list[zipfile.ZipInfo] = []
    for entry in archive.infolist():
        _check_name(raw, entry)
        name = entry.filename
        if entry.is_dir():
            continue
        if is_hidden(name) or is_companion(name):
            counts["companions"] += 1
        elif name.lower().endswith(".json"):
            members.append(entry)
        else:
            raise InputError(
                f"{raw.file.url}: holds the member {name!r}; members of one JSON object each"
                " (.json) are read; unpack the archive, or take it out"
            )
    members.sort(key=lambda entry: entry.filename)
    for before, member in pairwise(members):
        if before.filename == member.filename:
            raise InputError(
                f"{raw.file.url}: holds two members named {member.filename!r}; make the archive"
                " again"
            )
    for member in members:
        _check_member(raw, member, limits)
    total = sum(member.file_size for member in members)
    allowed = limits.unpacked_bytes(raw.file.size)
    if total > allowed:
        raise unpacks_too_far(raw, total, allowed)
    return members


def _check_name(raw: RawFile, entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    # zipfile replaces backslashes on some systems and cuts names at NUL; orig_filename is what
    # stands in the archive.
    if name.is_absolute() or ".." in name.parts or {"\\", "\0"} & set(entry.orig_filename):
        raise InputError(
            f"{raw.file.url}: the member name {entry.orig_filename!r} leads out of the archive; do"
            " not use this archive"
        )
    mode = entry.external_attr >> 16
    if entry.create_system == _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(
            f"{raw.file.url}: the member {entry.filename!r} is a link or a device; only regular"
            " members are read"
        )


def _check_member(raw: RawFile, member: zipfile.ZipInfo, limits: ReadLimits) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise InputError(
            f"{raw.file.url}: the member {member.filename!r} is encrypted; make the archive again"
            " without a password"
        )
    if member.compress_type not in _METHODS:
        raise InputError(
            f"{raw.file.url}: the member {member.filename!r} is packed by method"
            f" {member.compress_type}; allowed are stored and deflate"
        )
    if member.file_size > limits.max_member_bytes:
        raise InputError(
            f"{raw.file.url}: the member {member.filename!r} holds {member.file_size:,} bytes,"
            f" {limits.max_member_bytes:,} are allowed; remove it"
        )


def _read_member(
    raw: RawFile, archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: ReadLimits
) -> bytes:
    """All bytes of a member. zipfile stops at the declared size and compares the checksum there, so
    no member holds more.
    """
    try:
        with archive.open(member) as stream:
            data = stream.read(limits.max_member_bytes + 1)
    except _DAMAGE as error:
        raise InputError(
            f"{raw.file.url}: the member {member.filename!r} is damaged ({error}); fetch the"
            " archive again"
        ) from None
    if len(data) != member.file_size:
        raise InputError(
            f"{raw.file.url}: the member {member.filename!r} declares {member.file_size:,} bytes,"
            f" holds {len(data):,}; fetch it again"
        )
    return data
