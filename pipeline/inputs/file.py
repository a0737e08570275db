"""One file of a source: what is known of it before it is read, and which names files of a format
have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.report import some

LAYOUTS: dict[str, tuple[str, bool]] = {
    ".jsonl": ("jsonl", True),
    ".ndjson": ("jsonl", True),
    ".json": ("json", True),
    ".csv": ("csv", True),
    ".tsv": ("tsv", True),
    ".txt": ("txt", True),
    ".warc": ("warc", True),
    ".wet": ("warc", True),
    ".parquet": ("parquet", False),
    ".arrow": ("arrow", False),
    ".feather": ("arrow", False),
    ".zip": ("zip", False),
}
"""By ending: how a file is laid out, and whether it may be packed."""
PACKINGS = ("gz", "zst", "bz2", "xz")
SUFFIXES: dict[str, tuple[str, ...]] = {
    "found": tuple(
        ending + packing
        for ending, (_, packable) in LAYOUTS.items()
        for packing in (("", *(f".{name}" for name in PACKINGS)) if packable else ("",))
    ),
    "jsonl": (".jsonl",),
    "jsonl.gz": (".json.gz", ".jsonl.gz"),
    "jsonl.zst": (".json.zst", ".jsonl.zst"),
    "parquet": (".parquet",),
    "zip": (".zip",),
}
NAMED_FILES = 5  # in a message; a group or folder may have hundreds


class Layout(NamedTuple):
    """How a file says by its ending that it is laid out."""

    name: str
    """A value of `LAYOUTS`."""
    packing: str | None
    """One of `PACKINGS`."""

    @property
    def family(self) -> str:
        """What may stand in one folder as one source: JSON with and without line breaks."""
        return {"jsonl": "json"}.get(self.name, self.name)


def layout_of(path: str) -> Layout:
    """What the ending of a file says, which must be one of `SUFFIXES["found"]`, in any case."""
    path = path.lower()
    stem, _, last = path.rpartition(".")
    packing = last if last in PACKINGS else None
    ending = f".{(stem if packing else path).rpartition('.')[2]}"
    return Layout(LAYOUTS[ending][0], packing)


@dataclass(frozen=True)
class InputFile:
    """One file of a source. Plans and ledgers hold its fields:

    {"path": "a/0.jsonl", "url": "/data/wiki/a/0.jsonl", "size": 1048576, "mtime_ns": 17...,
     "inode": 4711, "ctime_ns": 17..., "etag": null, "sha256": "e3b0..."}
    """

    path: str
    """Below the source's folder or repository, with forward slashes: what provenance shows."""
    url: str
    """Absolute local path; `s3://` or `gs://` and the path; `hf://datasets/REPO@COMMIT/PATH`; or
    `datasets://REPO@COMMIT` and `datasets:///FOLDER`.
    """
    size: int
    """Bytes; 0 for `datasets`, whose rows have no file."""
    mtime_ns: int | None = None
    """Time of the last change of a local file's content, nanoseconds since 1970."""
    inode: int | None = None
    """Of a local file."""
    ctime_ns: int | None = None
    """Time of the last change of a local file's content or state, nanoseconds since 1970: no
    program can set it back.
    """
    etag: str | None = None
    """Of a remote file, and of a local folder that `datasets` loads."""
    sha256: str | None = None
    """Pinned hash (hex) of the content, where one is known: of `SHA256SUMS`, or of the hub."""

    @classmethod
    def of_local(cls, path: str, url: str, state: os.stat_result) -> InputFile:
        """A file of this machine's file systems."""
        return cls(path, url, state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns)

    @property
    def scheme(self) -> str:
        """What its URL begins with; empty for a file of this machine's file systems."""
        return self.url.partition("://")[0] if "://" in self.url else ""

    @property
    def local(self) -> bool:
        """True for a file of this machine's file systems."""
        return not self.scheme

    @property
    def state(self) -> tuple[int | None, int | None, int | None]:
        """What of a local file changes with its content: mtime, inode and ctime. A rename or
        another mode changes ctime, too: then the content decides.
        """
        return self.mtime_ns, self.inode, self.ctime_ns

    def is_still(self, state: os.stat_result) -> bool:
        """Whether a local file has the size and state that it was listed with."""
        now = InputFile.of_local(self.path, self.url, state)
        return stat.S_ISREG(state.st_mode) and (now.size, now.state) == (self.size, self.state)


def named_files(source: str, files: Sequence[InputFile]) -> str:
    """A group's files in words."""
    return f"input files {some([file.path for file in files], NAMED_FILES)} of {source}"
