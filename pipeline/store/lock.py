"""Locks of a store or an output, between processes of one machine or of a shared file system."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TextIO

from mixtures.errors import AnnealmixError
from pipeline.report import say
from pipeline.store.owned import open_own

POLL_SECONDS = 0.2
"""Between two tries of a lock that another holds."""
TELL_SECONDS = 5
"""After which it is said that a lock does not answer."""
SILENT_SECONDS = 60
"""After which that is an error."""


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

    A lock file that has other names is of a copy of the folder by hard links (`cp -al`), or a
    stranger's plant: nothing is written to it, and the folder gets a lock file of its own.

    The lock is the process's own (POSIX), so that no helper process that a killed builder leaves
    behind goes on holding it.
    """
    told = False
    while True:
        with os.fdopen(open_own(path, os.O_RDWR | os.O_CREAT, names=True), "r+") as file:
            while not _answered(path, file.fileno()):
                if not told:
                    file.seek(0)
                    shared = os.fstat(file.fileno()).st_nlink > 1
                    holder = (not shared and file.read().strip()) or "unknown"
                    say(f"waiting for the {what}, held by process {holder}")
                    told = True
                time.sleep(POLL_SECONDS)
            found = os.fstat(file.fileno())
            if not _is_at(path, found):
                continue
            if found.st_nlink <= 1:
                yield file
                return
            path.unlink()  # while it is held, so that no other holder takes it for the lock


def _answered(path: Path, descriptor: int) -> bool:
    """Take the lock if nobody holds it; True if it was taken.

    A network file system whose lock service is gone does not even say no: the call, which must not
    wait, does not come back. So it is made by a thread that nobody waits for.

    Raises:
        AnnealmixError: there was no answer for `SILENT_SECONDS`.
    """
    answers: SimpleQueue[bool | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            answers.put(False)
        except OSError as error:
            answers.put(error)
        else:
            answers.put(True)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TELL_SECONDS)
    except Empty:
        say(f"{path}: the lock does not answer; is there a lock service on its file system?")
        try:
            answer = answers.get(timeout=SILENT_SECONDS - TELL_SECONDS)
        except Empty:
            raise AnnealmixError(
                f"{path}: the lock did not answer for {SILENT_SECONDS} s; have the lock service of"
                " the network file system started (rpc.lockd), or put the folder on another disk"
            ) from None
    if isinstance(answer, OSError):
        raise OSError(answer.errno, answer.strerror, str(path)) from answer
    return answer


def _is_at(path: Path, opened: os.stat_result) -> bool:
    """Whether an opened file is still the one at its path."""
    try:
        return os.path.samestat(path.lstat(), opened)
    except FileNotFoundError:
        return False
