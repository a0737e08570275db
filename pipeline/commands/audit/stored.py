"""Every document of a mix beside the store: its digest and place, all of its tokens, its file and
row.

The tables of the mix are read part by part, beside the same documents of the store's selection, and
of the ledger rows that those name. Of the selection only the order of documents is taken: digest,
file and row are the ledger's, and the tokens lie where the ledger's row says, not where the
selection does. So a selection that points to other tokens is seen, too.

Memory: the columns of one part, and one chunk of tokens; the store's columns are mapped a part at
a time. Reads the .bin, the tables and the store's tokens of the mix once each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.parts import UNREADABLE, read_part
from mixtures.keys import digest_columns
from mixtures.mix.files import TOKENS, part_path
from mixtures.mix.tables import DOCUMENTS, PROVENANCE, Columns
from mixtures.stream.order import SourceOrder, positions
from mixtures.stream.selection import Selection
from mixtures.words import plural
from pipeline.commands.audit.arms import StoredSlots
from pipeline.inputs.build_source import SelectedSegment
from pipeline.lookup.selection import MixStore
from pipeline.stages.gathering import ledger_segments
from pipeline.stages.stream_columns import StreamColumns, copy_runs, input_paths
from pipeline.store.columns import prefix, read_column
from pipeline.store.trust import Trust

DOCUMENTS_NAME, ORDER, TOKENS_NAME, PROVENANCE_NAME = NAMES = (
    "store documents",
    "store order",
    "store tokens",
    "store provenance",
)

SLOTS_NAME = "store slots"
"""Of arms alone."""

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass
class _Found:
    """What the ledgers and token folders say of some documents, all [num_docs]."""

    digest: npt.NDArray[np.uint64]
    """[num_docs, 2]."""
    file: npt.NDArray[Any]
    row: npt.NDArray[np.uint64]
    num_tokens: Int64s
    """0 where the store has no tokens of it."""
    token_file: Int64s
    """Index into the list of token files that were met."""
    offset: Int64s

    @classmethod
    def empty(cls, count: int) -> _Found:
        """For `count` documents, to be filled in."""
        return cls(
            digest=np.zeros((count, 2), np.uint64),
            file=np.empty(count, object),
            row=np.zeros(count, np.uint64),
            num_tokens=np.zeros(count, np.int64),
            token_file=np.zeros(count, np.int64),
            offset=np.zeros(count, np.int64),
        )


@dataclass
class _Expected:
    """What the tokens of a part must be, by document, all int64 [num_docs]."""

    start: Int64s
    """Tokens of the stream before it."""
    length: Int64s
    """After the cut; 0 for one that cannot be compared."""
    token_file: Int64s
    offset: Int64s
    cut: Bools


@dataclass
class StoredDocuments:
    """A mix, its selection in a store, and what was compared so far.

    mix, store: of the same mix; of an arm, the store of its base, and its slots.
    """

    mix: MixDocuments
    store: MixStore
    slots: StoredSlots | None = None
    documents: int = 0
    tokens: int = 0
    faults: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def __post_init__(self) -> None:
        chosen = [
            strand for choice in self.store.choices.values() for strand in choice.rotated().strands
        ]
        self._selections = {
            self.mix.codes[selection.source, selection.copy]: selection for selection in chosen
        }
        codes = sorted(self._selections)
        strands = [
            self.store.choices[one.source].eligible.strand(one.copy)
            for one in map(self._selections.__getitem__, codes)
        ]
        self._columns = StreamColumns(
            [self._selections[code] for code in codes],
            strands,
            ledger_segments(self.store.plan.sources),
        )
        self._orders = {
            code: SourceOrder(self._selections[code], strand.lengths)
            for code, strand in zip(codes, strands, strict=True)
        }
        self._numbers = {code: number for number, code in enumerate(codes)}
        self._segments = [
            segment for source in self.store.plan.sources for segment in source.segments
        ]
        self._paths = lru_cache(maxsize=64)(input_paths)
        self._seen = dict.fromkeys(codes, 0)
        self._last: tuple[float, int] = (0.0, -1)
        self._token_files: list[Any] = []

    def checks(self) -> list[Check]:
        """The checks of NAMES.

        Raises:
            ManifestError: they would fail, and the store is not what its records say.
        """
        path = self.mix.folder / TOKENS
        dtype = self.mix.claims.layout.dtype
        try:
            size = path.stat().st_size // dtype.itemsize
            stream = np.asarray(np.memmap(path, dtype, "r", 0, (size,)) if size else [], dtype)
            for number in range(self.mix.num_parts):
                self._part(number, stream)
        except UNREADABLE as error:
            why = f"the mix cannot be read: {type(error).__name__}: {error}"
            return [unread(name, why) for name in NAMES]
        for code, selection in self._selections.items():
            if self._seen[code] < selection.documents:
                self._fault(
                    DOCUMENTS_NAME,
                    f"{self.mix.names[code]}: {plural(self._seen[code], 'document')}, the store's"
                    f" selection has {selection.documents:,}",
                )
            rotation = self.mix.claims.sources[code].rotation or 0
            if rotation != selection.rotation:
                self._fault(
                    ORDER,
                    f"{self.mix.names[code]}: begins with copy {selection.rotation:,}, the manifest"
                    f" says {rotation:,}",
                )
            self._cut(code, selection)
        of_slots = self.slots.faults(stream) if self.slots else []
        if of_slots or any(self.faults.values()):
            # a store that a disk or somebody changed must not be taken for a forged mix
            Trust().verify(self._inputs())
        documents = plural(self.documents, "document")
        figures = {
            DOCUMENTS_NAME: f"{documents} are those of the store's selection and ledgers",
            ORDER: f"{documents} stand where their places in the quotas put them",
            TOKENS_NAME: f"{plural(self.tokens, 'token')} of {documents} equal the store's",
            PROVENANCE_NAME: f"file and row of {documents} are the ledgers'",
        }
        found = [judge(name, figures[name], self.faults[name]) for name in NAMES]
        return [*found, judge(SLOTS_NAME, self.slots.figure, of_slots)] if self.slots else found

    def _inputs(self) -> set[Any]:
        return {
            folder
            for segment in self._segments
            for folder in (segment.ledger, *(item.folder for item in segment.tokens))
        }

    def _cut(self, code: int, selection: Selection) -> None:
        """Hold what the manifest says of the cut document against the selection."""
        said, cut = self.mix.claims.sources[code].cut, selection.cut
        listed = None if said is None else (said.document, said.kept_tokens, said.num_tokens)
        taken = None if cut is None else (cut.document, cut.kept_tokens, cut.num_tokens)
        if listed != taken:
            self._fault(
                DOCUMENTS_NAME,
                f"{self.mix.names[code]}: its cut (document, kept tokens, tokens) is {taken}, the"
                f" manifest says {listed}",
            )

    def _part(self, number: int, stream: npt.NDArray[Any]) -> None:
        """Compare the documents that start in a slice. stream: [num_tokens], all of the mix."""
        path = self.mix.part(number)
        rows = read_part(path, DOCUMENTS, self.mix.max_rows, spelled=False)
        origins: Columns | None = None
        try:
            path = part_path(self.mix.folder, "provenance", number)
            origins = read_part(path, PROVENANCE, self.mix.max_rows)
        except UNREADABLE as error:
            self._fault(PROVENANCE_NAME, f"part {number:,} cannot be read: {error}")
        if origins is not None and len(origins["row"]) != len(rows["position"]):
            self._fault(PROVENANCE_NAME, f"part {number:,} has another number of rows")
            origins = None
        source, count = self.mix.source_codes(rows), len(rows["position"])
        num_tokens = rows["num_tokens"].astype(np.int64)
        expected = _Expected(
            start=self.tokens + np.cumsum(num_tokens) - num_tokens,
            length=np.zeros(count, np.int64),
            token_file=np.zeros(count, np.int64),
            offset=np.zeros(count, np.int64),
            cut=np.zeros(count, np.bool_),
        )
        where = np.zeros(count, np.float64)
        self._token_files = []
        for code in np.unique(source).tolist():
            mine = np.flatnonzero(source == code)
            if code not in self._selections:
                self._note(DOCUMENTS_NAME, mine, "is of a source that the manifest does not list")
                continue
            have = self._selections[code].documents - self._seen[code]
            if have < len(mine):
                self._note(DOCUMENTS_NAME, mine[have:], "is more than the store's selection has")
                mine = mine[:have]
            if len(mine):
                self._strand(code, mine, (rows, origins), expected, where)
            self._seen[code] += len(mine)
        self._order(where, source)
        self._compare(stream, expected)
        self.documents += count
        self.tokens += int(num_tokens.sum())

    def _strand(
        self,
        code: int,
        mine: Int64s,
        tables: tuple[Columns, Columns | None],
        expected: _Expected,
        where: npt.NDArray[np.float64],
    ) -> None:
        """Compare the documents of a strand with the selection and the ledgers, and note where
        their tokens and midpoints are.

        Args:
            mine: int64 [num_of_strand], their rows in the part. tables: columns of the part
                [num_docs], documents and provenance. where: float64 [num_docs], filled in.
        """
        rows, origins = tables
        selection, first = self._selections[code], self._seen[code]
        taken = self._columns.of(
            self._numbers[code],
            first,
            first + len(mine),
            ("digest", "epoch", "segment", "ledger_row"),
        )
        starts, lengths = self._orders[code].columns(first, first + len(mine))
        where[mine] = positions(starts, lengths, max(selection.quota, 1))
        stored = self._stored(taken["segment"], taken["ledger_row"])
        cut = np.zeros(len(mine), np.bool_)
        if selection.cut is not None and first <= selection.cut.document < first + len(mine):
            cut[selection.cut.document - first] = True
        digest = digest_columns(np.ascontiguousarray(rows["digest"][mine]))
        wrong = (digest != stored.digest).any(axis=1) | (digest != taken["digest"]).any(axis=1)
        wrong |= rows["cut"][mine].astype(np.bool_) != cut
        # what fills a slot is no document of the base
        filled = self.mix.slots.at(rows["position"][mine]) >= 0
        wrong &= ~filled
        wrong |= rows["epoch"][mine] != taken["epoch"]
        self._note(DOCUMENTS_NAME, mine[wrong], "is another in the store's selection")
        whole = stored.num_tokens == lengths
        if cut.any() and selection.cut is not None:
            whole[cut] = stored.num_tokens[cut] == selection.cut.num_tokens
        same = whole & (rows["num_tokens"][mine] == lengths)
        self._note(TOKENS_NAME, mine[~same], "has another number of tokens in the store")
        expected.length[mine] = np.where(same & ~filled, lengths, 0)
        expected.token_file[mine], expected.offset[mine] = stored.token_file, stored.offset
        expected.cut[mine] = cut
        if origins is not None:
            moved = (origins["row"][mine] != stored.row) | (origins["file"][mine] != stored.file)
            self._note(
                PROVENANCE_NAME, mine[moved & ~filled], "comes from another row in the ledger"
            )
        if self.slots:
            tokens = expected.start[mine], rows["num_tokens"][mine].astype(np.int64)
            self.slots.add(selection.source, rows["position"][mine], tokens, stored.digest)

    def _stored(self, segments: npt.NDArray[Any], rows: npt.NDArray[Any]) -> _Found:
        """What the store holds of the documents in rows of ledger segments; both integers
        [num_docs].
        """
        found = _Found.empty(len(segments))
        by_segment = np.argsort(segments, kind="stable")
        for group in np.split(by_segment, np.flatnonzero(np.diff(segments[by_segment])) + 1):
            segment, of_ledger = self._segments[int(segments[group[0]])], rows[group]
            head = prefix(segment.segment)
            found.digest[group] = read_column(segment.ledger, "digest", head)[of_ledger]
            found.row[group] = read_column(segment.ledger, "row", head)[of_ledger]
            paths = self._paths(segment.ledger)
            found.file[group] = paths[read_column(segment.ledger, "file", head)[of_ledger]]
            self._tokens_of(segment, group, of_ledger.astype(np.int64), found)
        return found

    def _tokens_of(
        self, segment: SelectedSegment, group: Int64s, of_ledger: Int64s, found: _Found
    ) -> None:
        """Fill in where the tokens of some documents lie: group, of_ledger int64 [num_docs], their
        places in `found` and rows in the segment's ledger.
        """
        head = prefix(segment.segment)
        keys = read_column(segment.ledger, "order_key", head)
        for tokens in segment.tokens:
            range_rows = tokens.keys.rows(keys)
            inside = (of_ledger >= range_rows.start) & (of_ledger < range_rows.stop)
            if not inside.any():
                continue
            here, there = group[inside], of_ledger[inside] - range_rows.start
            for name in ("num_tokens", "offset"):
                getattr(found, name)[here] = read_column(tokens.folder, name, head)[there]
            found.token_file[here] = len(self._token_files)
            self._token_files.append(tokens.folder / f"{head}tokens")

    def _order(self, where: npt.NDArray[np.float64], source: npt.NDArray[np.int32]) -> None:
        """Documents ascend by midpoint, strands of one midpoint as the manifest lists them. where:
        float64 [num_docs]; source: int32 [num_docs].
        """
        place = np.append(self._last[0], where)
        strand = np.append(self._last[1], source)
        if len(where):
            self._last = (float(where[-1]), int(source[-1]))
        wrong = (place[1:] < place[:-1]) | ((place[1:] == place[:-1]) & (strand[1:] < strand[:-1]))
        self._note(ORDER, np.flatnonzero(wrong), "stands after one with a later midpoint")

    def _compare(self, stream: npt.NDArray[Any], expected: _Expected) -> None:
        """Compare all tokens of a part with the store's. stream: [num_tokens], all of the mix."""
        for first, last in self._blocks(expected):
            start, length = expected.start[first:last], expected.length[first:last]
            low, high = int(start[0]), int(start[-1] + length[-1])
            held = stream[low:high]
            if len(held) < high - low:
                self._note(TOKENS_NAME, np.arange(first, last), "is beyond the end of the .bin")
                return
            due = held.copy()  # what cannot be compared was noted, and must not be noted again
            compared = np.flatnonzero(length)
            copy_runs(
                due,
                self._token_files,
                expected.token_file[first:last][compared],
                expected.offset[first:last][compared],
                (start[compared] - low, start[compared] + length[compared] - low),
            )
            cut = np.flatnonzero(expected.cut[first:last] & (length > 0))
            due[start[cut] + length[cut] - 1 - low] = self.mix.claims.tokenizer.eod_id
            if not np.array_equal(due, held):
                at = np.flatnonzero(due != held) + low
                documents = np.unique(np.searchsorted(start, at, "right") - 1)
                self._note(TOKENS_NAME, documents + first, "has other tokens in the store")

    def _blocks(self, expected: _Expected) -> Iterator[tuple[int, int]]:
        """Consecutive documents of a part, of a chunk's tokens together, or one that is longer."""
        ends, step = expected.start + expected.length, self.mix.claims.layout.chunk_tokens
        first, count = 0, len(ends)
        while first < count:
            limit = expected.start[first] + max(step, 1 << 16)
            last = max(int(np.searchsorted(ends, limit, "right")), first + 1)
            yield first, last
            first = last

    def _note(self, name: str, rows: npt.NDArray[np.integer[Any]], what: str) -> None:
        """Note that documents of the part are wrong. rows: integer [num_wrong], ascending."""
        if len(rows):
            more = f", and {len(rows) - 1:,} more of its slice" if len(rows) > 1 else ""
            self._fault(name, f"document {self.documents + int(rows[0]):,} {what}{more}")

    def _fault(self, name: str, what: str) -> None:
        self.faults[name].append(what)
