"""One pass over the documents of a mix: the columns of each part, and what came before them, given
to every check in turn.

Copies of a source that is repeated do not begin with their first epoch, so the checks that compare
epochs see them last, in the order of epochs and keys.

Memory: one part's columns, and what the checks keep: 8 bytes a document (`copies`), 20 more for
those of repeated sources (`sequence`), and the columns of such copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, unread
from mixtures.audit.tables.parts import PartReader
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.keys import digest_columns, order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.tables import Columns, Texts

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Documents of one part in stream order, all arrays [num_docs] but for `before` and `digest`:
    as the table says, where nothing else is said.
    """

    part: int
    """Number of the slice."""
    before: Int64s
    """[num_sources], tokens of each strand before these."""
    number: Int64s
    """Documents of the stream before a document, counted here, not read."""
    position: Uint64s
    first_token: Uint64s
    num_tokens: Int64s
    source: Int64s
    """Index into the manifest's sources (a strand: name and copy), -1 for an unknown one."""
    start: Int64s
    """Tokens of its strand before a document, counted here, not read."""
    index: Int64s
    """Documents of its strand before it, counted here, not read."""
    digest: Uint64s
    """[num_docs, 2], the high and the low half."""
    order_key: Uint64s
    epoch: Int64s
    copy: Int64s
    cut: npt.NDArray[np.bool_]
    """Where a slot's donor is shortened to its slot, and by no quota, False."""
    slot: Int64s
    """Of an aligned arm's slots, their index in its table (`SlotTable.at`); -1 of others."""
    repeated: npt.NDArray[np.bool_]
    """Whether a slot's first donor stands elsewhere, too (`SlotTable.repeated`)."""
    files: Sequence[str]
    """Paths, as all provenance so far says them."""
    file: Int64s | None
    """Index into `files`; None where that part of provenance cannot be read."""
    origin: Uint64s | None
    """Its position as the provenance says; None where that part cannot be read."""

    def __len__(self) -> int:
        return len(self.position)

    def by_source(self, num_sources: int) -> Iterator[tuple[int, Int64s]]:
        """(source, rows of that source) for each source that has any.

        Rows: int64 [num_of_source], ascending.
        """
        for source in range(num_sources):
            of_source = np.flatnonzero(self.source == source)
            if len(of_source):
                yield source, of_source

    @property
    def own(self) -> npt.NDArray[np.bool_]:
        """Whether a document is its source's own, and stands in no slot: bool [num_docs]."""
        return self.slot < 0

    def where(self, row: int) -> str:
        """How a message names a document."""
        return f"document {int(self.number[row]):,}"

    def first(self, wrong: Int64s, what: str) -> list[str]:
        """What is wrong, named by the first document of which it is; nothing if there is none.
        wrong: int64 [num_wrong], rows.
        """
        return [f"{self.where(int(wrong[0]))} {what}"] if len(wrong) else []

    def take(self, rows: Int64s, others: Sequence[Rows] = ()) -> Rows:
        """Some of these documents and, behind them, those of others. rows: int64 [num_taken]."""
        columns = {
            item.name: _chosen([getattr(one, item.name) for one in (self, *others)], rows)
            for item in fields(self)
            if item.name not in ("part", "before", "files")
        }
        return replace(self, **columns)


def _chosen(pieces: Sequence[Any], rows: Int64s) -> Any:
    """Rows of a column, by its pieces; None where one is None. rows: int64 [num_taken]."""
    return None if any(piece is None for piece in pieces) else np.concatenate(pieces)[rows]


class DocumentCheck(Protocol):
    """A check that is made of all documents, part by part."""

    name: str

    def add(self, rows: Rows) -> None:
        """Look at the next part."""

    def result(self) -> Check:
        """The check, when all parts were seen."""


class _Running:
    """What came before the next part: documents and tokens by source."""

    def __init__(self, claims: Claims, slots: SlotTable) -> None:
        self._claims, self._slots = claims, slots
        self._tokens = np.zeros(len(claims.sources), np.int64)
        self._documents = np.zeros(len(claims.sources), np.int64)
        self._first = 0
        self._files: list[str] = []
        self._numbers: dict[str, int] = {}

    def _file(self, texts: Texts) -> Int64s:
        """The number of each file among all so far, int64 [num_docs]."""
        for name in texts.names:
            if name not in self._numbers:
                self._numbers[name] = len(self._files)
                self._files.append(name)
        return np.array([self._numbers[name] for name in texts.names], np.int64)[texts.codes]

    def rows(self, part: int, documents: Columns, provenance: Columns | None) -> Rows:
        """Columns of a part, [num_docs] each, with what came before each document."""
        digest = digest_columns(documents["digest"])
        source = self._claims.strands_of(documents)
        num_tokens = documents["num_tokens"].astype(np.int64)
        start, index = np.zeros_like(num_tokens), np.zeros_like(num_tokens)
        before = self._tokens.copy()
        for number in range(len(self._tokens)):
            of_strand = np.flatnonzero(source == number)
            ends = self._tokens[number] + np.cumsum(num_tokens[of_strand])
            start[of_strand] = ends - num_tokens[of_strand]
            index[of_strand] = self._documents[number] + np.arange(len(of_strand))
            self._tokens[number] += num_tokens[of_strand].sum()
            self._documents[number] += len(of_strand)
        first, self._first = self._first, self._first + len(source)
        slot = self._slots.at(documents["position"])
        return Rows(
            part=part,
            before=before,
            number=first + np.arange(len(source)),
            position=documents["position"],
            first_token=documents["first_token"],
            num_tokens=num_tokens,
            source=source,
            start=start,
            index=index,
            digest=digest,
            order_key=order_keys(digest),
            epoch=documents["epoch"].astype(np.int64),
            copy=documents["copy"].astype(np.int64),
            cut=documents["cut"].astype(np.bool_) & ~self._slots.shortened(slot, num_tokens),
            slot=slot,
            repeated=self._slots.repeated(slot),
            files=self._files,
            file=None if provenance is None else self._file(provenance["file"]),
            origin=None if provenance is None else provenance["position"],
        )


class _Turns:
    """Copies of sources that are repeated, kept until they can be seen in turn."""

    def __init__(self, claims: Claims) -> None:
        self._rotations = {
            number: source.rotation
            for number, source in enumerate(claims.sources)
            if source.rotation and source.epochs > 1
        }
        self._kept: dict[int, list[Rows]] = {number: [] for number in self._rotations}

    def without(self, rows: Rows) -> Rows:
        """All other documents."""
        if not self._rotations:
            return rows
        for number, pieces in self._kept.items():
            pieces.append(rows.take(np.flatnonzero(rows.source == number)))
        return rows.take(np.flatnonzero(~np.isin(rows.source, list(self._rotations))))

    def kept(self) -> Iterator[Rows]:
        """The documents of each such strand, in the order of epochs and keys."""
        for number, pieces in self._kept.items():
            count = sum(map(len, pieces))
            if count:
                turn = (np.arange(count) - self._rotations[number]) % count
                yield pieces[0].take(turn, pieces[1:])


class InTurn:
    """Marks a check that must see the documents of a strand in the order of epochs and keys."""


def walk(
    reader: PartReader, claims: Claims, slots: SlotTable, checks: Sequence[DocumentCheck]
) -> list[Check]:
    """Give all documents to all checks. Parts after one that cannot be read are still hashed, but
    no check can judge them.
    """
    running, turns, broken = _Running(claims, slots), _Turns(claims), None
    in_turn = [check for check in checks if isinstance(check, InTurn)]
    for part in reader:
        if part.documents is None:
            broken = part.number if broken is None else broken
        elif broken is None:
            rows = running.rows(part.number, part.documents, part.provenance)
            others = turns.without(rows)
            for check in checks:
                check.add(others if check in in_turn else rows)
    if broken is not None:
        why = f"part {broken:,} of documents cannot be read"
        return [unread(check.name, why) for check in checks]
    for rows in turns.kept():
        for check in in_turn:
            check.add(rows)
    return [check.result() for check in checks]
