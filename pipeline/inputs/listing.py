"""Inputs: which files a source consists of, and what is known of each before it is read.

A local source is every file of the published format below its folder, in any depth: `DATA/NAME/`,
or one of its own. A `SHA256SUMS` file in it (the format of `sha256sum`: 64 hex digits, a space, a
space or `*`, the path) pins the contents; it must list every file. A source of the hub is what its
definition's patterns match at one commit (`pipeline.inputs.hub`). A folder of an object store or of
a repository of the hub is listed as a local one is (`pipeline.inputs.remote`).

Listing is strict, because a file that is silently not there is a mix that is silently another one:
a pattern without a match, an empty file, a link that leads out of the folder, the same file under
two names and a file unknown to `SHA256SUMS` are errors.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.source import SourceDefinition
from mixtures.yaml.tree import suggest
from pipeline.inputs.checksums import CHECKSUMS, read_checksums, with_checksums
from pipeline.inputs.file import SUFFIXES, InputFile, nothing_matches
from pipeline.places.places import WRITABLE, Place, RemoteFolder

_LOCAL_DATASET = "datasets://"  # and the absolute path of a folder


@dataclass(frozen=True)
class DataFolders:
    """Where the user keeps sources. every: holds a folder of each definition's name; named: folders
    of single definitions, before that.
    """

    every: Place | None = None
    named: Mapping[str, Place] = field(default_factory=dict)

    def folder(self, definition: str, own: Path | None = None) -> Place | None:
        """The folder with the files of a definition; None: they are read from the hub.

        Args:
            own: the recipe's own data folder, taken where the user gives none.
        """
        data = self.every or own
        return self.named.get(definition) or (data / definition if data else None)

    def refuse_unknown(self, definitions: Iterable[str]) -> None:
        """Hold the named folders against the definitions that are read.

        Raises:
            RecipeError: one is of a definition that is not.
        """
        known = sorted(definitions)
        for name in self.named:
            if name not in known:
                raise RecipeError(
                    f"--data {name}=...: no source definition of the recipe is called so;"
                    f" {suggest(name, known)}"
                )


def list_inputs(definition: SourceDefinition, data: Place | None) -> list[InputFile]:
    """`list_files` of the folder with the definition's name in a data folder; None reads from the
    hub.
    """
    return list_files(definition, None if data is None else data / definition.name)


def list_files(definition: SourceDefinition, folder: Place | None) -> list[InputFile]:
    """The files of a source, sorted by path (bytes of UTF-8).

    Args:
        folder: holds them; None reads from the hub.

    Raises:
        InputError: there is no file, or one that must not be there. RecipeError: no folder, and it
            is published nowhere.
    """
    if isinstance(folder, RemoteFolder):
        from pipeline.inputs.remote import list_remote

        files = list_remote(definition, folder)
    elif definition.format == "datasets":
        files = [_dataset_input(definition, folder)]
    elif folder is None:
        from pipeline.inputs.hub import list_repository

        files = list_repository(definition, SUFFIXES[definition.format])
    else:
        files = list_folder(definition, folder)
    for file in files:
        if file.size == 0 and definition.format != "datasets":
            raise InputError(
                f"{file.url}: the file is empty (0 bytes); fetch it again, or remove it from the"
                " source"
            )
    return sorted(files, key=lambda file: file.path.encode("utf-8"))


def content_unchanged(file: InputFile) -> bool:
    """True if a local file has the size, time of change and inode that it was listed with; an
    object of an object store size and etag.

    Of a local folder that `datasets` loads, this holds for all its files. Files of the hub are
    named by commit and cannot change.
    """
    if file.url.startswith(_LOCAL_DATASET + "/"):
        folder = Path(file.url.removeprefix(_LOCAL_DATASET))
        return folder.is_dir() and _folder_state(folder) == file.etag
    if file.scheme in WRITABLE:
        from pipeline.inputs.remote import object_unchanged

        return object_unchanged(file)
    if not file.local:
        return True
    try:
        found = os.stat(file.url)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns, found.st_ino) == (
        file.size,
        file.mtime_ns,
        file.inode,
    )


def list_folder(definition: SourceDefinition, folder: Path) -> list[InputFile]:
    """The files of the definition's format below a folder.

    Raises: InputError as `list_files`.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; put the files of source {definition.name} there, or"
            f" {_elsewhere(definition)}"
        )
    root = folder.resolve()
    suffixes = SUFFIXES[definition.format]
    everything = sorted(_walk(root, root))
    files = [_local_input(root, path) for path in everything if path.endswith(suffixes)]
    if not files:
        raise nothing_matches(definition, folder, everything)
    _refuse_same_file_twice(root, files)
    listing = root / CHECKSUMS
    if not listing.exists():
        return files
    return with_checksums(
        str(listing), read_checksums(listing), files, lambda path: (root / path).is_file()
    )


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


def _local_input(root: Path, relative: str) -> InputFile:
    path = root / relative
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        raise InputError(
            f"{path}: the link leads out of the source's folder, to {path.resolve()};"
            " copy the file, or make the source's own folder the link"
        )
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); fetch it again, or remove it from the"
            " source"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: is not a regular file; only regular files are read")
    return InputFile(relative, str(path), found.st_size, found.st_mtime_ns, found.st_ino)


def _refuse_same_file_twice(root: Path, files: list[InputFile]) -> None:
    seen: dict[tuple[int, int], str] = {}
    for file in files:
        found = os.stat(file.url)
        first = seen.setdefault((found.st_dev, found.st_ino), file.path)
        if first != file.path:
            raise InputError(
                f"{root}: {first} and {file.path} are links to one file, which would be read twice;"
                " remove one"
            )


def _elsewhere(definition: SourceDefinition) -> str:
    if definition.repo is None:
        return f"name their folder with --data {definition.name}=DIR"
    return f"leave out --data to read {definition.repo}"


def _dataset_input(definition: SourceDefinition, folder: Path | None) -> InputFile:
    """The one input of format `datasets`: a split of a repository, or of a folder that `datasets`
    can load.
    """
    config = definition.datasets.config if definition.datasets else None
    split = definition.datasets.split if definition.datasets else "train"
    path = f"{definition.repo}{':' + config if config else ''}/{split}"
    if folder is None:
        from pipeline.inputs.hub import resolve_commit

        return InputFile(path, f"datasets://{definition.repo}@{resolve_commit(definition)}", 0)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; put the dataset of source {definition.name} there, or"
            f" {_elsewhere(definition)}"
        )
    return InputFile(
        path, f"{_LOCAL_DATASET}{folder.resolve()}", 0, etag=_folder_state(folder.resolve())
    )


def _folder_state(folder: Path) -> str:
    """Hash of name, size, time of change and inode of every file in a folder: what stands for the
    content until it is read.
    """
    state = hashlib.sha256()
    for path in sorted(_walk(folder, folder)):
        found = (folder / path).stat()
        state.update(repr((path, found.st_size, found.st_mtime_ns, found.st_ino)).encode("utf-8"))
    return state.hexdigest()
