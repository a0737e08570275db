"""Documents of a finished mix, found from its files alone: by token, by position, by digest, by
file and row.

    token -> position      bisection of the pointers of tokens.idx, memory-mapped: some thirty pages
    position -> part, row  a part of the tables holds the documents that start in a slice of the
                           stream (`manifest.layout`)
    digest, file and row   one column of every part, compared as numbers: neither is sorted in the
                           stream; parts side by side on all cores

Nothing holds more than a column of a part on each core, but for `strands_and_epochs`: 6 bytes a
document. What a trainer reads in a step comes here as positions
(`mixtures.trainers.training_order`).
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mixtures.errors import AuditFailed, ManifestError, RecipeError
from mixtures.mix.blocks import BLOCK_ROWS, Block, batches, num_rows, read_block
from mixtures.mix.claims import SourceClaim, read_claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.indexed import IndexedTokens, open_indexed
from mixtures.mix.slots import Donor, MaskRuns, SlotReader
from mixtures.mix.tables import TABLES, Columns

DIGEST_DIGITS = (8, 32)
"""Hex digits that name a document: at least, and at most."""

PositionValues = tuple[int, int, int, str, str, int, int, bool, str, int]

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Position:
    """A document where it stands in a mix: the columns of its tables (`mixtures.mix.tables`),
    digest in hex.
    """

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

    Args:
        kept_blocks: of the tables, that are kept for the next question: some 37 bytes a document.
    Raises:
        ManifestError: the manifest or a file is missing, damaged, or not what the others say.
        RecipeError: the mix is public, so it does not say where its documents came from.
    """

    def __init__(self, folder: Path, kept_blocks: int = 8) -> None:
        self.folder = folder
        self.block = lru_cache(kept_blocks)(self._read_block)
        self.claims = read_claims(folder)
        if self.claims.public:
            raise RecipeError(
                f"{folder}: a public mix, without files and rows; trace the mix that it was made of"
            )
        self.total_documents = self.claims.total_documents
        self.total_tokens = self.claims.total_tokens

    @cached_property
    def index(self) -> IndexedTokens:
        """tokens.bin and tokens.idx, memory-mapped."""
        try:
            index = open_indexed(self.folder / TOKENS, self.folder / INDEX)
        except AuditFailed as error:
            raise ManifestError(f"{error}; build the mix again") from None
        actual = (index.tokens.dtype.name, len(index.tokens), len(index.pointers))
        expected = (self.claims.layout.token_dtype, self.total_tokens, self.total_documents)
        if actual != expected:
            raise ManifestError(
                f"{self.folder}: tokens.bin and tokens.idx hold {actual[1]:,} tokens of"
                f" {actual[0]} in {actual[2]:,} documents, the manifest says {expected[1]:,} of"
                f" {expected[0]} in {expected[2]:,}; build the mix again"
            )
        return index

    def position_of(self, token: int) -> int:
        """Position of the document that a token of the stream belongs to.

        Raises:
            RecipeError: the mix has no such token.
        """
        if not 0 <= token < self.total_tokens:
            raise RecipeError(
                f"{self.folder}: has no token {token:,}; its tokens are 0 to"
                f" {self.total_tokens - 1:,}"
            )
        # the last document that starts at or before the token is before the first that starts after
        return self._first_position(token + 1) - 1

    def document(self, position: int) -> Position:
        """The document at a position of the stream.

        Raises:
            RecipeError: the mix has no such document. ManifestError: its tables disagree with its
                tokens.idx.
        """
        if not 0 <= position < self.total_documents:
            raise RecipeError(
                f"{self.folder}: has no document {position:,}; its documents are 0 to"
                f" {self.total_documents - 1:,}"
            )
        return self.documents([position])[0]

    def documents(self, positions: Sequence[int]) -> list[Position]:
        """The documents at some positions of the stream, given in ascending order.

        Raises:
            ManifestError: its tables disagree with its tokens.idx.
        """
        by_block: dict[tuple[int, int], list[int]] = {}
        for position in positions:
            by_block.setdefault(self._block_of(position)[:2], []).append(position)

        def read(block_positions: list[int]) -> list[Position]:
            """Documents of one block, which is read once for all of them."""
            return [Position(*self.values(position)) for position in block_positions]

        return [place for places in _side_by_side(read, [*by_block.values()]) for place in places]

    def values(self, position: int) -> PositionValues:
        """The fields of `Position` of a document, in their order.

        Raises:
            ManifestError: the tables disagree with tokens.idx.
        """
        part, number, at = self._block_of(position)
        block = self.block(part, number)
        return (
            position,
            self._pointers.item(position) // self._token_bytes,
            self._sizes.item(position),
            *block.values(at),
        )

    def donors(self, position: int) -> list[Donor]:
        """Of an aligned arm, what stands in the slot at a position; none where there is no slot.

        Raises:
            ManifestError: the table of slots cannot be read.
        """
        return self._slots.at(position) if self._slots else []

    @cached_property
    def _slots(self) -> SlotReader | None:
        return SlotReader(self.folder, self.claims.arm.fill) if self.claims.arm else None

    @cached_property
    def masked(self) -> MaskRuns | None:
        """Of a masked arm, the tokens that are no targets.

        Raises:
            ManifestError: the table of runs cannot be read.
        """
        return MaskRuns.read(self.folder) if self.claims.mask else None

    def first_tokens(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Tokens of the stream before each of some documents; both int64 [num_positions]."""
        return self._pointers[positions] // self._token_bytes

    def table_parts(self) -> dict[str, list[Path]]:
        """The parts of each table in order, after their footers are held against tokens.idx.

        Raises:
            ManifestError: one cannot be read, or has other columns or another number of rows.
        """
        paths: dict[str, list[Path]] = {table: [] for table in TABLES}
        for part, (first, last) in enumerate(pairwise(self.part_starts)):
            for table, schema in TABLES.items():
                path = part_path(self.folder, table, part)
                if (rows := num_rows(path, schema)) != last - first:
                    raise ManifestError(
                        f"{path}: {rows:,} rows, tokens.idx has {last - first:,} documents there;"
                        f" `annealmix audit {self.folder}` says what else is off"
                    )
                paths[table].append(path)
        return paths

    def _block_of(self, position: int) -> tuple[int, int, int]:
        """Part of the tables, number of the block in it, and row of the block."""
        part = bisect_right(self.part_starts, position) - 1
        return (part, *divmod(position - self.part_starts[part], BLOCK_ROWS))

    @cached_property
    def part_starts(self) -> list[int]:
        """Position of the first document of each part of the tables, and one past the last."""
        parts = range(1, -(-self.total_tokens // self._slice_tokens))
        starts = [self._first_position(part * self._slice_tokens) for part in parts]
        return [0, *starts, self.total_documents]

    def _read_block(self, part: int, number: int) -> Block:
        """Documents of a part, held against tokens.idx: BLOCK_ROWS, or the rest of the part."""
        row = number * BLOCK_ROWS
        first = self.part_starts[part] + row
        last = min(first + BLOCK_ROWS, self.part_starts[part + 1])
        expected: Columns = {
            "position": np.arange(first, last),
            "first_token": self._pointers[first:last] // self._token_bytes,
            "num_tokens": self._sizes[first:last],
        }
        return read_block(self.folder, part, row, expected)

    def places_of(self, prefix: str) -> list[Position]:
        """Every place of a document, in stream order; as `positions_of`."""
        return self.documents(self.positions_of(prefix))

    def positions_of(self, prefix: str) -> list[int]:
        """Positions of the one document whose digest begins with `prefix`, ascending; none if it is
        not in the mix.

        Args:
            prefix: 8 to 32 hex digits in lower case.
        Raises:
            RecipeError: several documents begin so.
        """
        # the first 4 bytes as the number that they are in memory, so that nothing is swapped
        head = np.frombuffer(bytes.fromhex(prefix[:8]), "<u4")[0]

        def begins(columns: Columns) -> list[tuple[int, str]]:
            """(row, digest in hex) of the rows [num_rows] whose digest begins with the prefix."""
            rows = np.flatnonzero(columns["digest"].view("<u4")[:, 0] == head).tolist()
            candidates = ((row, columns["digest"][row].tobytes().hex()) for row in rows)
            return [(row, digest) for row, digest in candidates if digest.startswith(prefix)]

        hits = self._search("documents", ["digest"], begins)
        digests = {digest for _, digest in hits}
        if len(digests) > 1:
            some = ", ".join(sorted(digests)[:3])
            raise RecipeError(
                f"{self.folder}: {len(digests)} documents have digests that begin with {prefix}:"
                f" {some}; give more digits"
            )
        return [position for position, _ in hits]

    def places_from(self, source: str, file: str, row: int) -> list[Position]:
        """Every place of the document that a source took from a row of a file."""

        def is_of_row(columns: Columns) -> list[tuple[int, None]]:
            """(row, nothing) of the rows [num_rows] that come from the file and row."""
            files, rows = columns["file"], np.flatnonzero(columns["row"] == row).tolist()
            return [(at, None) for at in rows if files.names[files.codes[at]] == file]

        hits = self._search("provenance", ["file", "row"], is_of_row)
        places = self.documents([position for position, _ in hits])
        return [place for place in places if place.source == source]

    def strands_and_epochs(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        """What each document belongs to: number of its strand in the manifest's `sources`, and
        epoch; int32 and uint16 [num_docs].

        Raises:
            ManifestError: it is of a strand that the manifest does not list, or the tables lack
                documents.
        """

        def read(columns: Columns) -> list[tuple[int, tuple[Any, Any]]]:
            """(strand int32 [num_rows], epoch uint16 [num_rows]) of a batch, as one entry."""
            strands = self.claims.strands_of(columns).astype(np.int32)
            if (strands < 0).any():
                raise ManifestError(
                    f"{self.folder}: its tables name a source that the manifest does not list;"
                    " build the mix again"
                )
            return [(0, (strands, columns["epoch"]))]

        pieces = [
            piece for _, piece in self._search("documents", ["source", "copy", "epoch"], read)
        ]
        strands, epochs = (np.concatenate(column) for column in zip(*pieces, strict=True))
        if len(strands) != self.total_documents:
            raise ManifestError(
                f"{self.folder}: its tables hold {len(strands):,} documents, the manifest says"
                f" {self.total_documents:,}"
            )
        return strands, epochs

    def tokens(self, place: Position, first: int = 0, last: int | None = None) -> list[int]:
        """Tokens first .. last - 1 of a document, without its BOS and EOD."""
        if self.claims.tokenizer.bos_id is not None:
            first = max(first, 1)
        last = place.num_tokens - 1 if last is None else min(last, place.num_tokens - 1)
        return [
            int(token)
            for token in self.index.tokens[place.first_token + first : place.first_token + last]
        ]

    def strand(self, place: Position) -> SourceClaim:
        """What the manifest says of the source, copies or insert that a document belongs to.

        Raises:
            ManifestError: it lists none of that name.
        """
        for strand in self.claims.sources:
            if (strand.name, strand.copy_number) == (place.source, place.copy):
                return strand
        raise ManifestError(
            f"{self.folder}: document {place.position} is of {place.source!r}, which the manifest"
            " does not list"
        )

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int32]:
        """As `index.sizes`, a plain array: what a memmap gives out costs ten times as much.

        int32 [num_docs], tokens with the end of the document.
        """
        return np.asarray(self.index.sizes)

    @cached_property
    def _pointers(self) -> npt.NDArray[np.int64]:
        """As `index.pointers`: int64 [num_docs], bytes before each document."""
        return np.asarray(self.index.pointers)

    @cached_property
    def _token_bytes(self) -> int:
        return int(self.index.tokens.dtype.itemsize)

    @cached_property
    def _slice_tokens(self) -> int:
        return self.claims.layout.slice_tokens

    def _first_position(self, token: int) -> int:
        """Position of the first document that starts at or after a token.

        Not by numpy, which would copy all pointers first: they are not aligned in the file.
        """
        return bisect_left(
            range(len(self._pointers)), token * self._token_bytes, key=self._pointers.item
        )

    def _search(
        self,
        table: str,
        columns: list[str],
        find: Callable[[Columns], list[tuple[int, _Found]]],
    ) -> list[tuple[int, _Found]]:
        """What `find` finds in the rows of every part, in stream order: (position, found) for each
        (row of the batch, found).

        find: takes columns of a batch, [num_rows] each; gives (row of it, what was searched).
        """

        def search(part: int) -> list[tuple[int, _Found]]:
            position, hits = self._first_position(part * self._slice_tokens), []
            for batch in batches(part_path(self.folder, table, part), table, columns):
                hits += [(position + row, one) for row, one in find(batch)]
                position += len(batch[columns[0]])
            return hits

        parts = range(-(-self.total_tokens // self._slice_tokens))
        return [one for hits in _side_by_side(search, parts) for one in hits]


_Item = TypeVar("_Item")


def _side_by_side(work: Callable[[_Item], _Found], items: Sequence[_Item]) -> list[_Found]:
    """The work on each item, in their order, on all cores: pyarrow lets go of the interpreter while
    it decodes.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, items))
