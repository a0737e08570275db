"""A folder of this machine's file systems as a place of input files.

Hidden files and folders are passed over. Links are followed to files alone, and only within the
folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixtures.errors import InputError
from pipeline.inputs.checksums import CHECKSUMS, ChecksumFile
from pipeline.inputs.file import InputFile


class LocalFolder:
    """A `pipeline.inputs.listing.Lister`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    def paths(self) -> list[str]:
        """Raises: InputError for a link to a folder, and for a name that is not UTF-8."""
        return list(_walk(self._root, self._root))

    def files(self, paths: Sequence[str]) -> list[InputFile]:
        """Raises: InputError for a link out of the folder, for what is no regular file or cannot be
        read, and for two links to one file.
        """
        files, first_links = [], dict[tuple[int, int], str]()
        for path in paths:
            state = self._state(path)
            first = first_links.setdefault((state.st_dev, state.st_ino), path)
            if first != path:
                raise InputError(
                    f"{self._root}: {first} and {path} are links to one file, which would be read"
                    " twice; remove one"
                )
            files.append(InputFile.of_local(path, str(self._root / path), state))
        return files

    def holds(self, path: str) -> bool:
        """Whether there is such a file, hidden or not."""
        return (self._root / path).is_file()

    def checksums(self) -> ChecksumFile | None:
        """Raises: InputError if it cannot be read."""
        path = self._root / CHECKSUMS
        if not path.exists():
            return None
        try:
            return ChecksumFile(str(path), path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error}") from None

    def _state(self, relative: str) -> os.stat_result:
        path = self._root / relative
        if path.is_symlink() and not path.resolve().is_relative_to(self._root):
            raise InputError(
                f"{path}: the link leads out of the source's folder, to {path.resolve()};"
                " copy the file, or make the source's own folder the link"
            )
        try:
            state = path.stat()
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); fetch it again, or remove it from the"
                " source"
            ) from None
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: is not a regular file; only regular files are read")
        return state


def folder_state(folder: Path) -> str:
    """Hash of name, size, time of change and inode of every file in a folder: what stands for the
    content until it is read.
    """
    digest = hashlib.sha256()
    for path in sorted(_walk(folder, folder)):
        state = (folder / path).stat()
        values = (path, state.st_size, state.st_mtime_ns, state.st_ino)
        digest.update(repr(values).encode("utf-8"))
    return digest.hexdigest()


def _walk(root: Path, folder: Path) -> Iterator[str]:
    """Paths of the files below root, hidden ones left out. Links to folders are refused: following
    them could go in circles.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, Path(entry.path))
            elif entry.is_symlink() and entry.is_dir():
                raise InputError(
                    f"{entry.path}: links to folders are not followed; copy the folder, or make the"
                    " source's own folder the link"
                )
            else:
                yield _relative(root, entry.path)


def _relative(root: Path, path: str) -> str:
    relative = Path(path).relative_to(root).as_posix()
    try:
        relative.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"{root}: the file name {os.fsencode(relative)!r} is not UTF-8; rename it"
        ) from None
    return relative
