"""Sources in folders of an object store or of a repository of the hub, listed as strictly as local
ones.

An object is known by its size and etag; both are compared when it is opened and again when all of
it has been read, so that one that is replaced meanwhile fails the build. A file of the hub is named
by its commit, which is looked up once a listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mixtures.errors import RecipeError
from mixtures.recipe.source import SourceDefinition
from pipeline.inputs.checksums import CHECKSUMS, parse_checksums, with_checksums
from pipeline.inputs.file import SUFFIXES, InputFile, nothing_matches
from pipeline.inputs.hub import list_tree, resolve_commit
from pipeline.places.files import content, etag_of, file_system, list_objects, retried
from pipeline.places.places import RemoteFolder


def list_remote(definition: SourceDefinition, folder: RemoteFolder) -> list[InputFile]:
    """The files of the definition's format below a remote folder, in no particular order; hidden
    ones are left out.

    Raises:
        InputError: it cannot be listed, there is no such file, or one that must not be there.
            RecipeError: format `datasets`.
    """
    if definition.format == "datasets":
        raise RecipeError(
            f"{folder}: a source of format datasets is read from the hub or a local folder; leave"
            " out --data, or copy it"
        )
    found = {
        path: file
        for path, file in _files(definition, folder).items()
        if not any(part[0] == "." for part in path.split("/"))
    }
    files = [file for path, file in found.items() if path.endswith(SUFFIXES[definition.format])]
    if not files:
        raise nothing_matches(definition, folder, sorted(found))
    if CHECKSUMS not in found:
        return files
    listing = found[CHECKSUMS].url
    sums = parse_checksums(listing, content(RemoteFolder(listing.rsplit("/", 1)[0]), CHECKSUMS))
    return with_checksums(listing, sums, files, found.__contains__)


def _files(definition: SourceDefinition, folder: RemoteFolder) -> Mapping[str, InputFile]:
    """Everything below a folder, by path below it."""
    if folder.scheme != "hf":
        return {
            path: InputFile(path, f"{folder}/{path}", entry.size, etag=entry.etag)
            for path, entry in list_objects(folder).items()
        }
    owner, name, *inner = folder.url.removeprefix("hf://datasets/").split("/")
    name, _, revision = name.partition("@")
    asked = definition.model_copy(
        update={"repo": f"{owner}/{name}", "revision": revision or "main"}
    )
    below = "/".join(inner)
    found = list_tree(asked, resolve_commit(asked), below)
    start = len(below) + 1 if below else 0
    return {path[start:]: replace(file, path=path[start:]) for path, file in found.items()}


def object_unchanged(file: InputFile) -> bool:
    """Whether an object still has the size and etag that it was listed with.

    Raises:
        InputError: the store does not answer, or it is gone.
    """
    system = file_system(file.scheme)
    entry = retried(f"{file.url}: cannot be looked up again", lambda: system.info(file.url))
    return (int(entry["size"]), etag_of(entry)) == (file.size, file.etag)
