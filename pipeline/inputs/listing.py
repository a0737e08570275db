"""Inputs: which files a source consists of, and what is known of each before it is read.

A local source is every file of the published format below its folder, in any depth: `DATA/NAME/`,
or one of its own. A `SHA256SUMS` file in it (`pipeline.inputs.checksums`) pins the contents; it
must list every file. A folder of an object store or of a repository of the hub is listed in the
same way. A source of the hub is what its definition's patterns match at one commit.

    definition, folder -> Lister (disk, hub, object store) -> paths
    paths -> sort_out (pipeline.inputs.contents) -> list_source -> InputFile, ...; notes

Listing is strict, because a file that is silently not there is a mix that is silently another one:
a pattern without a match, an empty file, a link that leads out of the folder, the same file under
two names and a file unknown to `SHA256SUMS` are errors, and so is what `sort_out` refuses.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.source_definition import DatasetsSplit, SourceDefinition
from mixtures.yaml.tree import suggest
from pipeline.inputs.checksums import ChecksumFile
from pipeline.inputs.contents.sorting import sort_out
from pipeline.inputs.file import InputFile
from pipeline.inputs.hub import Revision, list_tree, resolve_commit
from pipeline.inputs.local import LocalFolder, folder_state
from pipeline.inputs.remote import (
    RemoteListing,
    list_hub_folder,
    list_object_folder,
    object_unchanged,
)
from pipeline.places.places import WRITABLE, Place, RemoteFolder, read_place

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_LOCAL_DATASET = "datasets://"  # and the absolute path of a folder


class Lister(Protocol):
    """A place with files of a source, as `list_files` sees it."""

    def paths(self) -> Sequence[str]:
        """Every file that may be one of the source, in any order, with forward slashes."""

    def files(self, paths: Sequence[str]) -> list[InputFile]:
        """What is known of these before they are read."""

    def holds(self, path: str) -> bool:
        """Whether there is such a file, one of the source or not."""

    def checksums(self) -> ChecksumFile | None:
        """Its `SHA256SUMS`, if it has one."""


@dataclass(frozen=True)
class DataFolders:
    """Where the user keeps sources."""

    every: Place | None = None
    """Holds the folder of each definition (`SourceDefinition.files_folder`)."""
    named: Mapping[str, Place] = field(default_factory=dict)
    """Folders of single definitions, or of those that share a folder's name; they come before."""

    def folder(self, definition: SourceDefinition, own: Path | None = None) -> Place | None:
        """The folder with the files of a definition; None: they are read from the hub.

        Args:
            own: the recipe's own data folder, taken where the user gives none.
        """
        data, folder = self.every or own, definition.files_folder
        named = self.named.get(definition.name) or self.named.get(folder)
        return named or (data / folder if data else None)

    def folder_of(self, recipe: LoadedRecipe, source: str) -> Place | None:
        """The folder with the files of a recipe's source; None: they are read from the hub."""
        definition = recipe.definitions[source]
        if source not in recipe.places:
            return self.folder(definition, recipe.data)
        place = recipe.places[source]
        return self.named.get(definition.name) or (read_place(place) if place else None)

    def refuse_unknown(
        self, definitions: Iterable[SourceDefinition], option: str = "--data"
    ) -> None:
        """Hold the named folders against the definitions that are read. option: names them.

        Raises:
            RecipeError: one is of a definition that is not.
        """
        known = sorted({name for one in definitions for name in (one.name, one.files_folder)})
        for name in self.named:
            if name not in known:
                raise RecipeError(
                    f"{option} {name}=...: no source definition of the recipe is called so;"
                    f" {suggest(name, known)}"
                )


@dataclass(frozen=True)
class Listing:
    """What a place holds of a source."""

    files: list[InputFile]
    """Sorted by path (bytes of UTF-8, which is the order of `str`)."""
    notes: list[str] = field(default_factory=list)
    """What is left out that may be data (`pipeline.inputs.contents.sorting`): a sentence each."""


def list_files(definition: SourceDefinition, folder: Place | None) -> list[InputFile]:
    """The files of `list_source` alone, for who reads again what a build has read."""
    return list_source(definition, folder).files


def list_source(definition: SourceDefinition, folder: Place | None) -> Listing:
    """The files of a source.

    Args:
        folder: holds them; None reads from the hub.

    Raises:
        InputError: there is no file, or one that must not be there. RecipeError: no folder, and it
            is published nowhere.
    """
    if definition.format == "datasets":
        return Listing([_dataset_input(definition, folder)])
    place = _lister(definition, folder)
    # The patterns of what is published are of the repository; a folder has its own layout.
    patterns = definition.paths if folder is None or definition.repo is None else ()
    where = definition.origin if folder is None else str(folder)
    published = isinstance(folder, RemoteFolder) and folder.scheme == "hf"
    contents = sort_out(definition, where, place.paths(), patterns, published=published)
    files = _pinned(place, place.files(contents.read))
    for file in files:
        # a pin says that it is meant: so do SHA256SUMS, and a repository at a commit
        if file.size == 0 and file.sha256 != EMPTY_SHA256 and file.scheme != "hf":
            raise InputError(
                f"{file.url}: the file is empty (0 bytes); fetch it again, or remove it from the"
                " source; if it is meant, list it in SHA256SUMS"
            )
    return Listing(files, contents.notes)


def content_unchanged(file: InputFile) -> bool:
    """True if a local file has the size, time of change and inode that it was listed with; an
    object of an object store size and etag.

    Of a local folder that `datasets` loads, this holds for all its files. Files of the hub are
    named by commit and cannot change.
    """
    if file.url.startswith(_LOCAL_DATASET + "/"):
        folder = Path(file.url.removeprefix(_LOCAL_DATASET))
        return folder.is_dir() and folder_state(folder) == file.etag
    if file.scheme in WRITABLE:
        return object_unchanged(file)
    if not file.local:
        return True
    try:
        return file.is_still(os.stat(file.url))
    except OSError:
        return False


def _lister(definition: SourceDefinition, folder: Place | None) -> Lister:
    if folder is None:
        return RemoteListing(list_tree(Revision(*definition.repository)))
    if isinstance(folder, RemoteFolder):
        return list_hub_folder(folder) if folder.scheme == "hf" else list_object_folder(folder)
    _refuse_missing(definition, folder, "files")
    return LocalFolder(folder)


def _pinned(place: Lister, files: list[InputFile]) -> list[InputFile]:
    """Pin each file to its hash in a `SHA256SUMS`, which must list all of them, and nothing that is
    not there.
    """
    listing = place.checksums()
    if listing is None:
        return files
    sums = listing.sums()
    for path in sums:
        if not place.holds(path):
            raise InputError(
                f"{listing.where}: lists {path}, which is missing; fetch it, or take it out of the"
                " list"
            )
    for file in files:
        if file.path not in sums:
            raise InputError(
                f"{listing.where}: does not list {file.path}, which is in the folder; add it to the"
                " list, or remove the file"
            )
        if file.sha256 not in (None, sums[file.path]):
            raise InputError(
                f"{listing.where}: says sha256 {sums[file.path]} of {file.path}, the hub says"
                f" {file.sha256}; fetch it again, or mend the list"
            )
    return [replace(file, sha256=sums[file.path]) for file in files]


def _refuse_missing(definition: SourceDefinition, folder: Path, what: str) -> None:
    if not folder.is_dir():
        elsewhere = (
            f"name their folder with --data {definition.name}=DIR"
            if definition.repo is None
            else f"leave out --data to read {definition.repo}"
        )
        beside = folder.parent
        names = [path.name for path in beside.iterdir() if path.is_dir()] if beside.is_dir() else []
        close = difflib.get_close_matches(folder.name, names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(
            f"{folder}: no such folder{hint}; put the {what} of source {definition.name} there, or"
            f" {elsewhere}"
        )


def _dataset_input(definition: SourceDefinition, folder: Place | None) -> InputFile:
    """The one input of format `datasets`: a split of a repository, or of a folder that `datasets`
    can load.
    """
    if isinstance(folder, RemoteFolder):
        raise RecipeError(
            f"{folder}: a source of format datasets is read from the hub or a local folder; leave"
            " out --data, or copy it"
        )
    split = definition.datasets or DatasetsSplit()
    path = f"{definition.repo}{':' + split.config if split.config else ''}/{split.split}"
    if folder is None:
        revision = Revision(*definition.repository)
        return InputFile(path, f"datasets://{revision.repo}@{resolve_commit(revision)}", 0)
    _refuse_missing(definition, folder, "dataset")
    folder = folder.resolve()
    return InputFile(path, f"{_LOCAL_DATASET}{folder}", 0, etag=folder_state(folder))
