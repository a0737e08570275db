"""Locks: a holder is waited for and named; a lock that never answers is named, and an end."""

from __future__ import annotations

import errno
import fcntl
import os
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


def test_a_lock_with_other_names_gives_way_to_one_of_the_folders_own(tmp_path):
    """As in a copy by hard links, or where a stranger linked a file of somebody's."""
    (tmp_path / "theirs").write_text("precious")
    os.link(tmp_path / "theirs", tmp_path / "lock")
    with locked(tmp_path / "lock", "store"):
        assert not (tmp_path / "lock").samefile(tmp_path / "theirs")
        assert (tmp_path / "lock").read_text().startswith(str(os.getpid()))
    assert (tmp_path / "theirs").read_text() == "precious"


def test_a_held_lock_with_other_names_is_waited_for(tmp_path, monkeypatch, capsys):
    (tmp_path / "theirs").write_text("precious")
    os.link(tmp_path / "theirs", tmp_path / "lock")
    answers = iter((False, True, True))
    seen = []

    def answered(path, descriptor):
        seen.append(path.samefile(tmp_path / "theirs"))
        return next(answers)

    monkeypatch.setattr(lock, "_answered", answered)
    monkeypatch.setattr(lock, "POLL_SECONDS", 0)
    with locked(tmp_path / "lock", "store"):
        assert seen == [True, True, False]
    assert "held by process unknown" in capsys.readouterr().err
