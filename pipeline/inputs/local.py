"""A folder of this machine's file systems as a place of input files.

Links are followed to files alone, and only within the folder, or within the cache of the hub's
client, whose snapshots are links to `blobs/`:

    datasets--OWNER--NAME/snapshots/COMMIT/data/a.parquet -> ../../../blobs/HASH

There a name of 64 hex digits is the sha256 of the content, and pins it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mixtures.errors import InputError
from mixtures.yaml.disk import kind_of, read_bytes
from pipeline.inputs.checksums import CHECKSUMS, ChecksumFile
from pipeline.inputs.contents.names import HUB_DOWNLOADS, is_hidden
from pipeline.inputs.file import NAMED_FILES, InputFile
from pipeline.places.files import patient
from pipeline.report import some

_SHA256 = re.compile(r"[0-9a-f]{64}")


class LocalFolder:
    """A `pipeline.inputs.listing.Lister`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        self._blobs = _blobs_of(self._root)

    def paths(self) -> list[str]:
        """Hidden files too, but of hidden folders only what the hub's client has not whole yet.

        Raises: InputError for a link to a folder, and for a name that is not UTF-8.
        """
        found = list(_walk(self._root))
        downloads = self._root / HUB_DOWNLOADS
        return found + (list(_walk(self._root, HUB_DOWNLOADS)) if downloads.is_dir() else [])

    def files(self, paths: Sequence[str]) -> list[InputFile]:
        """Raises: InputError for a link out of the folder, for what is no regular file or cannot be
        read, and for two links to one file (but blobs of the hub's cache).
        """
        files, first_links, root = [], dict[tuple[int, int], str](), str(self._root)
        for path in paths:
            state, blob = self._state(path)
            first = first_links.setdefault((state.st_dev, state.st_ino), path)
            if first != path and blob is None:  # equal files of a repository share a blob
                raise InputError(
                    f"{self._root}: {first} and {path} are links to one file, which would be read"
                    " twice; remove one"
                )
            file = InputFile.of_local(path, os.path.join(root, path), state)
            pinned = blob is not None and _SHA256.fullmatch(blob.name)
            files.append(replace(file, sha256=blob.name) if blob and pinned else file)
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
            return ChecksumFile(str(path), read_bytes(path))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); mend it, or remove it"
            ) from None

    def _state(self, relative: str) -> tuple[os.stat_result, Path | None]:
        """A file's state, and the blob that a link of a snapshot of the hub's cache leads to."""
        path, blob = os.path.join(self._root, relative), None
        try:
            state = patient(f"{path}: cannot be read", partial(os.lstat, path))
            if stat.S_ISLNK(state.st_mode):
                target = Path(path).resolve()
                blob = target if target.parent == self._blobs else None
                if blob is None and not target.is_relative_to(self._root):
                    raise InputError(
                        f"{path}: the link leads out of the source's folder, to {target}; copy the"
                        " file, or make the source's own folder the link"
                    )
                state = patient(f"{path}: cannot be read", partial(os.stat, path))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); fetch it again, or remove it from the"
                " source"
            ) from None
        if not stat.S_ISREG(state.st_mode):
            raise InputError(
                f"{path}: {kind_of(state)}, not a regular file; only regular files are read:"
                " remove it from the source"
            )
        return state, blob


def _blobs_of(root: Path) -> Path | None:
    """The folder of blobs, if root is a snapshot of the hub's cache or lies in one.

    Raises:
        InputError: a download of the repository was not finished.
    """
    for folder in (root, *root.parents):
        repository = folder.parent.parent
        if folder.parent.name == "snapshots" and repository.name.startswith("datasets--"):
            blobs = repository / "blobs"
            unfinished = sorted(path.name for path in blobs.glob("*.incomplete"))
            if unfinished:
                raise InputError(
                    f"{blobs}: holds unfinished downloads ({some(unfinished, NAMED_FILES)}), so"
                    " files of the snapshot may be missing; finish the download, or delete them"
                )
            return blobs if blobs.is_dir() else None
    return None


def folder_state(folder: Path) -> str:
    """Hash of name, size, mtime, inode and ctime of every file in a folder: what stands for the
    content until it is read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in _walk(folder) if not is_hidden(path)):
        state = (folder / path).stat()
        values = (path, state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns)
        digest.update(repr(values).encode("utf-8"))
    return digest.hexdigest()


def _walk(root: Path, below: str = "") -> Iterator[str]:
    """Paths, from root on, of the files of a folder of it, hidden folders left out. Links to
    folders are refused: following them could go in circles.
    """
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            path, hidden = os.path.join(below, entry.name), entry.name.startswith(".")
            if entry.is_dir(follow_symlinks=False):
                if not hidden:
                    yield from _walk(root, path)
                continue
            if not hidden and entry.is_symlink() and entry.is_dir():
                raise InputError(
                    f"{entry.path}: links to folders are not followed; copy the folder, or make the"
                    " source's own folder the link"
                )
            _refuse_unreadable_name(root, path)
            yield path


def _refuse_unreadable_name(root: Path, path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"{root}: the file name {os.fsencode(path)!r} is not UTF-8; rename it"
        ) from None
