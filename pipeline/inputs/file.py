"""One file of a source: what is known of it before it is read, and which names files of a format
have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixtures.errors import InputError
from mixtures.recipe.source import SourceDefinition
from pipeline.places.places import Place
from pipeline.report import some

SUFFIXES: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl",),
    "jsonl.gz": (".json.gz", ".jsonl.gz"),
    "jsonl.zst": (".json.zst", ".jsonl.zst"),
    "parquet": (".parquet",),
    "zip": (".zip",),
}


@dataclass(frozen=True)
class InputFile:
    """One file of a source.

    path: below the source's folder or repository, with forward slashes: what provenance shows.
    url: absolute local path; `s3://` or `gs://` and the path; `hf://datasets/REPO@COMMIT/PATH`; or
        `datasets://REPO@COMMIT` and `datasets:///FOLDER`.
    size: bytes (0 for `datasets`, whose rows have no file).
    mtime_ns, inode: of a local file; etag: of a remote one, and of a local folder that `datasets`
        loads.
    sha256: pinned hash of the content, where one is known: a line of `SHA256SUMS`, or the hub's.
    """

    path: str
    url: str
    size: int
    mtime_ns: int | None = None
    inode: int | None = None
    etag: str | None = None
    sha256: str | None = None

    @property
    def scheme(self) -> str:
        """What its URL begins with; empty for a file of this machine's file systems."""
        return self.url.partition("://")[0] if "://" in self.url else ""

    @property
    def local(self) -> bool:
        """True for a file of this machine's file systems."""
        return not self.scheme


NAMED_FILES = 5  # in a message; a group or folder may have hundreds


def named_files(source: str, files: Sequence[Mapping[str, Any]]) -> str:
    """A group's files in words. files: as a plan holds them."""
    return f"input files {some([file['path'] for file in files], NAMED_FILES)} of {source}"


def nothing_matches(definition: SourceDefinition, folder: Place, found: list[str]) -> InputError:
    """The error of a folder that holds no file of the definition's format. found: paths of those
    that it holds.
    """
    pattern = ", ".join(f"**/*{suffix}" for suffix in SUFFIXES[definition.format])
    return InputError(
        f"{folder}: no file matches {pattern} (format {definition.format}); found"
        f" {some(found, NAMED_FILES) or 'nothing'}"
    )
