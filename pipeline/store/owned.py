"""What lies in a folder that others may write to: files that are no links, and folders that are
ours.

A link that a stranger put where a lock, a temporary file or a building folder will be would lead
writes to what is not his. So such files are opened without following links, by the folder's
descriptor where somebody could exchange the folder in between; and a folder that was there before
is used only if it is one of ours that nobody else may write to.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixtures.errors import RecipeError

_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes of what says of a text that a filter removes it, or would."""


def open_own(
    path: Path, flags: int, mode: int = 0o666, folder: int | None = None, *, names: bool = False
) -> int:
    """A descriptor of a regular file that has no other name, links not followed.

    Args:
        flags, mode: as of `os.open`. folder: descriptor of the folder that holds it; None: by its
            whole path. names: whether it may have other names, so that the caller does not write
            to it before it has looked.

    Raises:
        RecipeError: something else is there. OSError: it cannot be opened.
    """
    name = path if folder is None else path.name
    try:
        # a pipe would be waited for
        handle = os.open(name, flags | _NO_LINK | os.O_NONBLOCK, mode, dir_fd=folder)
    except OSError as error:
        if path.is_symlink():
            raise _strange(path, "a symbolic link") from None
        error.filename = str(path)
        raise
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and (names or found.st_nlink <= 1):
        return handle
    os.close(handle)
    what = "no file" if not stat.S_ISREG(found.st_mode) else "another name of some file"
    raise _strange(path, what)


@contextmanager
def opened_folder(path: Path, folder: int | None = None) -> Iterator[int]:
    """A descriptor of a folder that is no link. folder: descriptor of the folder that holds it;
    None: by its whole path.

    Raises:
        RecipeError: it is none.
    """
    name = path if folder is None else path.name
    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=folder)
    except OSError as error:
        if path.is_symlink():
            raise _strange(path, "a symbolic link") from None
        if isinstance(error, NotADirectoryError):
            raise _strange(path, "no folder") from None
        raise
    try:
        yield handle
    finally:
        os.close(handle)


def remove_inside(folder: int, name: str) -> None:
    """Delete what has a name in a folder, given by its descriptor; links are not followed."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    # shutil.rmtree takes a descriptor from Python 3.11 on
    for _, _, _, inner in os.fwalk(name, dir_fd=folder):
        for entry in os.scandir(inner):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=inner)
    for _, folders, _, inner in os.fwalk(name, topdown=False, dir_fd=folder):
        for one in folders:
            os.rmdir(one, dir_fd=inner)
    os.rmdir(name, dir_fd=folder)


def own_folder(path: Path) -> None:
    """Make a folder that nobody else may open, or find the one that we made.

    Raises:
        RecipeError: something else is there.
    """
    try:
        path.mkdir(PRIVATE_FOLDER)
    except FileExistsError:
        with opened_folder(path) as handle:
            require_own(path, os.fstat(handle))


def require_own(path: Path, found: os.stat_result) -> None:
    """Refuse a folder that others made, or may write to.

    Raises:
        RecipeError: says which.
    """
    # not the process's user: some shared file systems give what root makes to nobody
    with tempfile.TemporaryFile(dir=path.parent) as file:
        us = os.fstat(file.fileno()).st_uid
    if found.st_uid != us:
        raise _strange(path, f"of another user ({found.st_uid})")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _strange(path, f"open to others (mode {stat.S_IMODE(found.st_mode):o})")


def _strange(path: Path, what: str) -> RecipeError:
    return RecipeError(
        f"{path}: {what}, which annealmix did not make; find out who put it there, and remove it,"
        " or choose another place"
    )
