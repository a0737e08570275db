"""Locks: a holder is waited for and named; a lock that never answers is named, and an end."""

from __future__ import annotations

import errno
import fcntl
import threading

import pytest

from mixtures.errors import AnnealmixError
from pipeline.store import lock
from pipeline.store.lock import locked


def test_a_lock_that_never_answers_is_named_after_seconds_and_ends(tmp_path, monkeypatch, capsys):
    """As on a network file system whose lock service is gone: the call does not come back."""
    never = threading.Event()
    monkeypatch.setattr(fcntl, "lockf", lambda *args: never.wait())
    monkeypatch.setattr(lock, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(lock, "SILENT_SECONDS", 0.2)
    with (
        pytest.raises(AnnealmixError, match="the lock did not answer for"),
        locked(tmp_path / "lock", "store"),
    ):
        raise AssertionError("nobody gave the lock")
    never.set()
    assert f"{tmp_path / 'lock'}: the lock does not answer" in capsys.readouterr().err


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(OSError, match="No locks available") as caught, locked(tmp_path / "x", "y"):
        raise AssertionError("nobody gave the lock")
    assert caught.value.filename == str(tmp_path / "x")
