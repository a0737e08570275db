"""Documents of a finished mix, found from its files alone: by token, by position, by digest, by file and row.

    token -> position      bisection of the pointers of tokens.idx, memory-mapped: some thirty pages
    position -> part, row  a part of the tables holds the documents that start in a slice of the stream (`manifest.layout`)
    digest, file and row   one column of every part, compared as numbers: neither is sorted in the stream

Nothing holds more than a column of one part. A trainer's step becomes tokens or positions before it comes here (`mixtures.trainers`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures import manifest as manifests
from mixtures.errors import AuditFailed, ManifestError, RecipeError
from mixtures.indexed import IndexedTokens, open_indexed

DIGEST_DIGITS = (8, 32)
"""Hex digits that name a document: at least, and at most."""
BATCH_ROWS = 1 << 16  # documents whose columns are compared at a time


@dataclass(frozen=True)
class Place:
    """A document where it stands in a mix: the columns of its tables (`mixtures.tables`), digest in hex."""

    position: int
    first_token: int
    num_tokens: int
    source: str
    digest: str
    epoch: int
    copy: int
    cut: bool
    file: str
    row: int


class TracedMix:
    """A mix folder, opened without reading its documents.

    Raises:
        ManifestError: the manifest or a file is missing, damaged, or not what the others say.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = manifests.load(folder)
        self.total_documents: int = self.manifest["total_documents"]
        self.total_tokens: int = self.manifest["total_tokens"]

    @cached_property
    def index(self) -> IndexedTokens:
        """tokens.bin and tokens.idx, memory-mapped."""
        try:
            index = open_indexed(self.folder / "tokens.bin", self.folder / "tokens.idx")
        except AuditFailed as error:
            raise ManifestError(f"{error}; build the mix again") from None
        found = (index.tokens.dtype.name, len(index.tokens), len(index.pointers))
        expected = (self.manifest["layout"]["token_dtype"], self.total_tokens, self.total_documents)
        if found != expected:
            raise ManifestError(
                f"{self.folder}: tokens.bin and tokens.idx hold {found[1]:,} tokens of {found[0]} in {found[2]:,} documents, the manifest "
                f"says {expected[1]:,} of {expected[0]} in {expected[2]:,}; build the mix again"
            )
        return index

    def position_of(self, token: int) -> int:
        """Position of the document that a token of the stream belongs to.

        Raises:
            RecipeError: the mix has no such token.
        """
        if not 0 <= token < self.total_tokens:
            raise RecipeError(f"{self.folder}: has no token {token:,}; its tokens are 0 to {self.total_tokens - 1:,}")
        return self._first_position(token + 1) - 1

    def document(self, position: int) -> Place:
        """The document at a position of the stream.

        Raises:
            RecipeError: the mix has no such document. ManifestError: its tables disagree with its tokens.idx.
        """
        if not 0 <= position < self.total_documents:
            raise RecipeError(f"{self.folder}: has no document {position:,}; its documents are 0 to {self.total_documents - 1:,}")
        first_token, num_tokens = int(self.index.pointers[position]) // self._token_bytes, int(self.index.sizes[position])
        part = first_token // self._slice_tokens
        row = position - self._first_position(part * self._slice_tokens)
        said = _row(self._part("documents", part), row) | _row(self._part("provenance", part), row)
        found = {"position": position, "first_token": first_token, "num_tokens": num_tokens}
        if wrong := [name for name, value in found.items() if said.get(name) != value]:
            raise ManifestError(
                f"{self._part('documents', part)}: row {row} says {wrong[0]} {said.get(wrong[0])}, tokens.idx {found[wrong[0]]}; "
                f"`annealmix audit {self.folder}` says what else is off"
            )
        return Place(**{**said, "digest": said["digest"].hex()})

    def places_of(self, prefix: str) -> list[Place]:
        """Every place of a document, in stream order; as `positions_of`."""
        return [self.document(position) for position in self.positions_of(prefix)]

    def positions_of(self, prefix: str) -> list[int]:
        """Positions of the one document whose digest begins with `prefix`, ascending; none if it is not in the mix.

        Args:
            prefix: 8 to 32 hex digits in lower case.
        Raises:
            RecipeError: several documents begin so.
        """
        head = np.frombuffer(bytes.fromhex(prefix[:8]), "<u4")[0]
        positions, digests = [], set()
        for part, position in self._parts():
            for batch in _batches(self._part("documents", part), ["digest"]):
                column = batch.column(0)
                raw = np.frombuffer(column.buffers()[1], "<u4")[4 * column.offset : 4 * (column.offset + len(column))]
                for row in np.flatnonzero(raw[::4] == head).tolist():
                    if (digest := raw[4 * row : 4 * row + 4].tobytes().hex()).startswith(prefix):
                        positions.append(position + row)
                        digests.add(digest)
                position += len(column)
        if len(digests) > 1:
            some = ", ".join(sorted(digests)[:3])
            raise RecipeError(f"{self.folder}: {len(digests)} documents have digests that begin with {prefix}: {some}; give more digits")
        return positions

    def places_from(self, source: str, file: str, row: int) -> list[Place]:
        """Every place of the document that a source took from a row of a file."""
        positions = []
        for part, position in self._parts():
            for batch in _batches(self._part("provenance", part), ["file", "row"]):
                files, rows = batch.column("file"), batch.column("row")  # from buffers: pyarrow's own conversion would import pandas
                found = np.frombuffer(rows.buffers()[1], "<u8")[rows.offset : rows.offset + len(rows)]
                positions += [position + at for at in np.flatnonzero(found == row).tolist() if files[at].as_py() == file]
                position += len(batch)
        return [place for place in map(self.document, positions) if place.source == source]

    def tokens(self, place: Place) -> list[int]:
        """The tokens of a document, without its EOD."""
        return [int(token) for token in self.index.tokens[place.first_token : place.first_token + place.num_tokens - 1]]

    def strand(self, place: Place) -> dict[str, Any]:
        """What the manifest says of the source, copies or insert that a document belongs to.

        Raises:
            ManifestError: it lists none of that name.
        """
        for strand in self.manifest["sources"]:
            if (strand["name"], strand["copy"]) == (place.source, place.copy):
                return dict(strand)
        raise ManifestError(f"{self.folder}: document {place.position} is of {place.source!r}, which the manifest does not list")

    @property
    def _token_bytes(self) -> int:
        return int(self.index.tokens.dtype.itemsize)

    @property
    def _slice_tokens(self) -> int:
        return int(self.manifest["layout"]["slice_tokens"])

    def _first_position(self, token: int) -> int:
        """Position of the first document that starts at or after a token.

        Not by numpy, which would copy all pointers first: they are not aligned in the file.
        """
        pointers = self.index.pointers
        return bisect_left(range(len(pointers)), token * self._token_bytes, key=lambda position: int(pointers[position]))

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Every part of the tables, and the position of its first document."""
        for part in range(-(-self.total_tokens // self._slice_tokens)):
            yield part, self._first_position(part * self._slice_tokens)

    def _part(self, table: str, number: int) -> Path:
        return self.folder / f"{table}.parquet" / f"part-{number:05d}.parquet"


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a part, in its order; texts are not spelled out."""
    try:
        file = pq.ParquetFile(path, memory_map=True, read_dictionary=["file"] if "file" in columns else None)
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _damaged(path, error) from None


def _row(path: Path, row: int) -> dict[str, Any]:
    """One row of a part; of the file, only its row group is read."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
        left = row
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if left < rows:
                return dict(file.read_row_group(group).slice(left, 1).to_pylist()[0])
            left -= rows
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    raise ManifestError(f"{path}: ends before row {row}, where tokens.idx has another document; build the mix again")


def _damaged(path: Path, error: Exception) -> ManifestError:
    return ManifestError(f"{path}: cannot be read ({str(error).splitlines()[0]}); build the mix again")
