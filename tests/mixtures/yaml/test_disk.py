"""Bytes of large files, where a system moves few of them at a time or keeps all in its cache."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixtures.yaml import disk
from mixtures.yaml.disk import read_at, write_at

CONTENT = bytes(range(256)) * 400


def moved(path: Path) -> tuple[bytes, bytes]:
    """What is read back of what was written at byte 3 of a file, and the whole file."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        write_at(handle, 3, memoryview(CONTENT))
        back = bytearray(len(CONTENT))
        assert read_at(handle, 3, memoryview(back)) == len(CONTENT)
    finally:
        os.close(handle)
    return bytes(back), path.read_bytes()


def refusing(error: Exception, real: Callable[..., int]) -> Callable[..., int]:
    """A call that refuses all flags."""

    def call(handle: int, buffers: list[Any], offset: int, flags: int = 0) -> int:
        if flags:
            raise error
        return real(handle, buffers, offset)

    return call


@pytest.mark.parametrize(
    "error", [OSError(errno.EOPNOTSUPP, "not supported"), NotImplementedError()], ids=repr
)
def test_a_system_that_cannot_leave_its_cache_alone_moves_the_same_bytes(
    tmp_path, monkeypatch, error
):
    monkeypatch.setattr(disk, "_DONTCACHE", 0x80)
    for name in ("preadv", "pwritev"):
        monkeypatch.setattr(os, name, refusing(error, getattr(os, name)))
    assert moved(tmp_path / "file") == (CONTENT, bytes(3) + CONTENT)


def test_other_refusals_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_DONTCACHE", 0x80)
    monkeypatch.setattr(os, "pwritev", refusing(OSError(errno.ENOSPC, "full"), os.pwritev))
    with pytest.raises(OSError, match="full"):
        moved(tmp_path / "file")


def in_parts(real: Callable[..., int]) -> Callable[..., int]:
    """A call that moves a thousand bytes at most."""
    return lambda handle, buffers, *rest: real(handle, [buffers[0][:1000]], *rest)


def test_what_moves_in_parts_arrives_whole(tmp_path, monkeypatch):
    for name in ("preadv", "pwritev"):
        monkeypatch.setattr(os, name, in_parts(getattr(os, name)))
    assert moved(tmp_path / "file") == (CONTENT, bytes(3) + CONTENT)


def test_what_shares_pages_with_its_neighbours_may_stay_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_DONTCACHE", 0x80)
    monkeypatch.setattr(os, "pwritev", refusing(OSError(errno.ENOSPC, "full"), os.pwritev))
    path = tmp_path / "file"
    with path.open("wb") as file:
        write_at(file.fileno(), 0, memoryview(b"little"))
    assert path.read_bytes() == b"little"


def test_a_file_that_ends_says_how_much_it_gave(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"seven..")
    with path.open("rb") as file:
        assert read_at(file.fileno(), 2, memoryview(bytearray(100))) == 5
