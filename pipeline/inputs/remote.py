"""Folders of an object store or of a repository of the hub as places of input files.

An object is known by its size and etag; both are compared when it is opened and again when all of
it has been read, so that one that is replaced meanwhile fails the build. A file of the hub is named
by its commit, which is looked up once a listing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.inputs.checksums import CHECKSUMS, ChecksumFile
from pipeline.inputs.file import InputFile
from pipeline.inputs.hub import Revision, list_tree
from pipeline.places.files import content, etag_of, file_system, list_objects, retried
from pipeline.places.places import RemoteFolder


@dataclass(frozen=True)
class RemoteListing:
    """A `pipeline.inputs.listing.Lister` of a place that was listed whole."""

    everything: Mapping[str, InputFile]
    """By path below the place."""

    def paths(self) -> list[str]:
        return list(self.everything)

    def files(self, paths: Sequence[str]) -> list[InputFile]:
        return [self.everything[path] for path in paths]

    def holds(self, path: str) -> bool:
        return path in self.everything

    def checksums(self) -> ChecksumFile | None:
        if CHECKSUMS not in self.everything:
            return None
        url = self.everything[CHECKSUMS].url
        return ChecksumFile(url, content(RemoteFolder(url.rsplit("/", 1)[0]), CHECKSUMS))


def list_object_folder(folder: RemoteFolder) -> RemoteListing:
    """A prefix of an object store.

    Raises:
        InputError: it cannot be listed.
    """
    return RemoteListing(
        {
            path: InputFile(path, f"{folder}/{path}", entry.size, etag=entry.etag)
            for path, entry in list_objects(folder).items()
        }
    )


def list_hub_folder(folder: RemoteFolder) -> RemoteListing:
    """A folder of a repository of the hub, at the commit that its revision means now.

    Raises:
        InputError: the hub does not answer, or knows no such folder.
    """
    owner, name, *inner = folder.url.removeprefix("hf://datasets/").split("/")
    name, _, revision = name.partition("@")
    below = "/".join(inner)
    files = list_tree(Revision(f"{owner}/{name}", revision or "main"), below)
    start = len(below) + 1 if below else 0
    return RemoteListing(
        {path[start:]: replace(file, path=path[start:]) for path, file in files.items()}
    )


def object_unchanged(file: InputFile) -> bool:
    """Whether an object still has the size and etag that it was listed with.

    Raises:
        InputError: the store does not answer, or it is gone.
    """
    system = file_system(file.scheme)
    entry = retried(f"{file.url}: cannot be looked up again", lambda: system.info(file.url))
    return (int(entry["size"]), etag_of(entry)) == (file.size, file.etag)
