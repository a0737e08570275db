"""Locks of a store or an output, between processes of one machine or of a shared file system."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.report import say
from pipeline.store.owned import open_own


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting for another holder, who is named."""
    with _acquired(path, what) as file:
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


@contextmanager
def _acquired(path: Path, what: str) -> Iterator[TextIO]:
    """The locked file. A holder may delete it when it is done, so what was waited for may be no
    longer the file at the path.

    The lock is the process's own (POSIX), so that no helper process that a killed builder leaves
    behind goes on holding it.
    """
    told = False
    while True:
        with os.fdopen(open_own(path, os.O_RDWR | os.O_CREAT), "r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                if not told:
                    say(
                        f"waiting for the {what}, held by process"
                        f" {file.read().strip() or 'unknown'}"
                    )
                    told = True
                fcntl.lockf(file, fcntl.LOCK_EX)
            if _is_at(path, os.fstat(file.fileno())):
                yield file
                return


def _is_at(path: Path, opened: os.stat_result) -> bool:
    """Whether an opened file is still the one at its path."""
    try:
        return os.path.samestat(path.lstat(), opened)
    except FileNotFoundError:
        return False
