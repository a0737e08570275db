"""What became of one row of a source, by the eligibility order of a build: the first reason that
applies.

    quarantined, where, empty, dropped by a quality step -> out of key range -> excluded, duplicate
    of a survivor -> near-duplicate -> contaminated -> filter -> beyond quota -> kept

Evaluation sets and filters decide of documents before the end of the quota. Of one behind it the
store may know what they say, or not, by what other mixes needed: so it is beyond the quota first,
and what is known stands beside.

The reasons are those of the manifest's waterfall (`removed`), and every row has the one under which
it is counted there.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import RecipeError
from mixtures.keys import KEY_SPACE, KeyRange, digest_columns, order_key
from mixtures.recipe.filter_use import in_dose
from mixtures.recipe.near_request import EXCLUDED, NEAR
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.survey import SourceInputs
from pipeline.lookup.fate import (
    BEYOND_QUOTA,
    NO_EXPLANATION,
    Explanation,
    Fate,
    Judgement,
    LedgerRow,
    Origin,
)
from pipeline.lookup.filters import MixFilter
from pipeline.lookup.rows import fate_when_read
from pipeline.lookup.selection import MixStore
from pipeline.places.places import Place
from pipeline.stages.eligible import Eligible
from pipeline.stages.ingest import QUARANTINE
from pipeline.stages.near.clusters import drop_rows, read_drops
from pipeline.store.columns import prefix, read_column
from pipeline.store.rules import Rule
from pipeline.store.scores import ScoreTable, look_up, read_scores
from pipeline.store.store import Group, RangeRecord


class Decision(NamedTuple):
    """Why a document is in the mix or not."""

    reason: str
    explanation: Explanation = NO_EXPLANATION
    removed_by: int | None = None
    """Bit n: whether filter n removes it; None: they were not asked."""
    also: tuple[str, ...] = ()
    """As of a `Fate`."""


class Fates:
    """Answers for one mix and its store."""

    def __init__(self, mix: MixStore) -> None:
        self.mix = mix

    def of_row(self, origin: Origin, data: Place | None = None) -> Fate:
        """What became of a row.

        Args:
            data: as for a build; only a row that never became a document is read there again.
        Raises:
            RecipeError: the mix has no such source, file or row.
        """
        name, file, row = origin.source, origin.file, origin.row
        number = self._number(name)
        inputs = self._inputs(number)
        group = next(
            (group for group, files in inputs.groups if any(item.path == file for item in files)),
            None,
        )
        if group is None:
            raise RecipeError(
                f"source {name}: has no file {file!r}; it has {len(inputs.files):,}, such as"
                f" {inputs.files[0].path}"
            )
        rank = [item.path for item in inputs.files].index(file)
        if document := _in_ledger(group, number, file, rank, row):
            return self.of_document(document)
        for line in (group.ledger / QUARANTINE).read_text(encoding="utf-8").splitlines():
            bad = json.loads(line)
            if (bad["path"], bad["row"]) == (file, row):
                return Fate(origin, "quarantined", Explanation(bad["reason"], bad["detail"]))
        reason, explanation = fate_when_read(group, inputs, file, row, data)
        return Fate(origin, reason, explanation)

    def of_digest(self, digest: bytes) -> list[Fate]:
        """What became of every row of the mix's sources that holds a document."""
        rows = [
            row
            for number, source in enumerate(self.mix.sources)
            if not source.excluded
            for row in self._rows(number, digest)
        ]
        return [self.of_document(row) for row in sorted(rows, key=_order)]

    def of_document(self, document: LedgerRow) -> Fate:
        """What became of a document of a ledger."""
        source = self.mix.sources[document.number]
        decision = self._decision(source, document)
        reason, explanation, removed_by, also = decision
        figures = {"num_tokens": self._column(self.mix.rule, "num_tokens", document)}
        filters: tuple[Judgement, ...] = ()
        if not source.insert:
            if self.mix.grams:
                figures["evaluation_ngrams"] = self._column(self.mix.grams, "grams", document)
            filters = tuple(
                self._judgement(number, item, document, removed_by)
                for number, item in self.mix.own_filters.items()
            )
        origin = self._origin(document)
        return Fate(origin, reason, explanation, document, figures, filters, also)

    def tokens(self, document: LedgerRow) -> list[int] | None:
        """The tokens of a document without its BOS and EOD; None if the store has none of it."""
        offset, count = (
            self._column(self.mix.rule, name, document) for name in ("offset", "num_tokens")
        )
        folder = self._folder(self.mix.rule, document)
        if folder is None or offset is None or count is None:
            return None
        path = folder / f"{prefix(document.segment)}tokens"
        begins = int(self.mix.claims.tokenizer.bos_id is not None)
        tokens = np.memmap(path, self.mix.claims.layout.dtype, "r")
        return [int(token) for token in tokens[offset + begins : offset + count - 1]]

    def _number(self, name: str) -> int:
        names = {
            source.name: number
            for number, source in enumerate(self.mix.sources)
            if not source.excluded
        }
        if name not in names:
            raise RecipeError(f"the mix has no source {name!r}; it has {', '.join(names)}")
        return names[name]

    def _decision(self, source: BuildSource, document: LedgerRow) -> Decision:
        if not source.keys.holds(document.key):
            return Decision("out of key range", Explanation(keys=source.keys.hex()))
        survivor = self._survivor(document)
        if survivor != document:
            origin = self._origin(survivor)
            if self.mix.sources[survivor.number].excluded:
                return Decision("excluded", Explanation(excluded_by=origin))
            return Decision(f"duplicate of {origin.source}", Explanation(survivor=origin))
        if not source.insert and (nearest := self._near_survivor(document)):
            origin = self._origin(nearest)
            excluded = self.mix.sources[nearest.number].excluded
            reason = f"{NEAR}{EXCLUDED if excluded else origin.source}"
            return Decision(reason, Explanation(near_copy=origin))
        return self._selected(source.name, document)

    def _near_survivor(self, document: LedgerRow) -> LedgerRow | None:
        """The near-copy that stays instead of an exact survivor, if one does."""
        if self.mix.near is None:
            return None
        partitions = self.mix.plan.partitions
        partition = document.key // (KEY_SPACE // partitions)
        dropped = read_drops(self.mix.near.drops, partitions, partition)
        key, digest = np.array([document.key], np.uint64), digest_columns(document.digest)
        at = int(drop_rows(dropped, key, digest)[0])
        if at < 0:
            return None
        source, survivor = int(dropped.survivor_source[at]), _bytes(dropped.survivor[at])
        return min(self._rows(source, survivor), key=_order)

    def _survivor(self, document: LedgerRow) -> LedgerRow:
        """The first of the equal documents that compete: by source, then file, then row."""
        sources = list(enumerate(self.mix.sources))
        alone = sources[document.number][1].insert
        rivals = [
            number
            for number, source in sources
            if (number == document.number if alone else not source.insert)
        ]
        within = [number for number in rivals if sources[number][1].keys.holds(document.key)]
        return min(
            (row for number in within for row in self._rows(number, document.digest)), key=_order
        )

    def _selected(self, name: str, document: LedgerRow) -> Decision:
        """Filter, quota or kept, as the selection says."""
        choice = self.mix.choices[name]
        partition = document.key // (KEY_SPACE // len(choice.eligible.tables))
        at_kept = _index(choice.eligible.kept_column("digest", partition), document)
        if at_kept is not None and at_kept < choice.taken[partition]:
            return Decision("kept", removed_by=0)
        removed_by = 0 if at_kept is not None else None
        also: tuple[str, ...] = ()
        if choice.eligible.reasons:
            at_removed = _index(choice.eligible.removed_column("digest", partition), document)
            if at_removed is not None:
                verdicts = int(choice.eligible.removed_column("verdicts", partition)[at_removed])
                removed_by, also = _verdicts(choice.eligible, verdicts)
                if at_removed < choice.removed[partition]:
                    return Decision(also[0], removed_by=removed_by, also=also[1:])
        explanation = Explanation(last_order_key=self._last_key(name))
        return Decision(BEYOND_QUOTA, explanation, removed_by, also)

    def _last_key(self, name: str) -> str | None:
        """Order key of the last document that a quota took; None if it took none."""
        columns = list(self.mix.choices[name].taken_columns())
        return f"{order_key(_bytes(columns[-1]('digest')[-1])):016x}" if columns else None

    def _judgement(
        self, number: int, item: MixFilter, document: LedgerRow, removed_by: int | None
    ) -> Judgement:
        """What is stored of a document for filter `number`. removed_by: of a `Decision`."""
        digest = digest_columns(document.digest)
        return Judgement(
            label=item.rule.label,
            terms=self._column(item.terms, "terms", document),
            threshold=item.rule.threshold,
            placebo=item.rule.placebo,
            removes=None if removed_by is None else bool(removed_by >> number & 1),
            above=item.rule.above,
            score=_score(item.table, document.key, digest) if item.table else None,
            dose=item.fraction if item.rule.dose < KEY_SPACE else None,
            in_dose=bool(in_dose(digest, item.rule.dose)[0]),
        )

    def _folder(self, rule: Rule, document: LedgerRow) -> Path | None:
        ranges = document.group.ranges(rule)
        return next((item.folder for item in ranges if item.keys.holds(document.key)), None)

    def _column(self, rule: Rule, name: str, document: LedgerRow) -> int | None:
        """A document's value in a column beside its ledger; None if its key range has none."""
        folder = self._folder(rule, document)
        if folder is None:
            return None
        first = RangeRecord.read(folder).segments[document.segment].first_row
        return int(read_column(folder, name, prefix(document.segment))[document.at - first])

    def _rows(self, number: int, digest: bytes) -> Iterator[LedgerRow]:
        """Rows of a source that hold a document: bisection in every segment."""
        inputs = self._inputs(number)
        ranks = {file.path: rank for rank, file in enumerate(inputs.files)}
        key, halves = np.uint64(order_key(digest)), digest_columns(digest)[0]
        for group, _ in inputs.groups:
            for segment in range(len(group.record.segments)):
                keys = read_column(group.ledger, "order_key", prefix(segment))
                first, last = (int(np.searchsorted(keys, key, side)) for side in ("left", "right"))
                if first < last:
                    digests, files, rows = (
                        read_column(group.ledger, name, prefix(segment))
                        for name in ("digest", "file", "row")
                    )
                    for at in range(first, last):
                        if (digests[at] == halves).all():
                            rank = ranks[group.record.inputs[int(files[at])]["path"]]
                            yield LedgerRow(number, rank, int(rows[at]), digest, group, segment, at)

    def _inputs(self, number: int) -> SourceInputs:
        return self.mix.inputs[self.mix.sources[number].reading]

    def _origin(self, document: LedgerRow) -> Origin:
        file = self._inputs(document.number).files[document.file_rank]
        return Origin(self.mix.sources[document.number].name, file.path, document.row)


def _verdicts(eligible: Eligible, verdicts: int) -> tuple[int | None, tuple[str, ...]]:
    """Which filters remove a document (as `Decision.removed_by`), and all reasons in their order.
    verdicts: its bits in the column of that name.
    """
    names = tuple(reason for bit, reason in enumerate(eligible.reasons) if verdicts >> bit & 1)
    # Reasons before the filters' are of evaluation sets; filters do not judge what holds items.
    before = len(eligible.reasons) - eligible.filters
    asked = not verdicts & (1 << before) - 1
    return verdicts >> before if asked else None, names


def _score(table: ScoreTable, key: int, digest: npt.NDArray[np.uint64]) -> int | None:
    """The score of a document in millionths, if it was scored. digest: uint64 [1, 2]."""
    scored = read_scores(folder for folder, _ in table.folders(KeyRange(key, key + 1)))
    score = int(look_up(scored, np.array([key], np.uint64), digest)[0])
    return score if score >= 0 else None


def _in_ledger(group: Group, number: int, file: str, rank: int, row: int) -> LedgerRow | None:
    """The document of a row, if it is one: a search through the columns of its group's ledger,
    which is sorted by key.
    """
    index = [known["path"] for known in group.record.inputs].index(file)
    for segment in range(len(group.record.segments)):
        files, rows = (read_column(group.ledger, name, prefix(segment)) for name in ("file", "row"))
        for at in np.flatnonzero((rows == row) & (files == index)).tolist():
            digest = _bytes(read_column(group.ledger, "digest", prefix(segment))[at])
            return LedgerRow(number, rank, row, digest, group, segment, at)
    return None


def _index(digests: npt.NDArray[np.uint64], document: LedgerRow) -> int | None:
    """Index of a document in digests, uint64 [num_docs, 2], ascending by (order key, digest)."""
    at = bisect_left(
        range(len(digests)),
        (document.key, document.digest),
        key=lambda index: (order_key(raw := _bytes(digests[index])), raw),
    )
    return at if at < len(digests) and _bytes(digests[at]) == document.digest else None


def _bytes(halves: npt.NDArray[np.uint64]) -> bytes:
    """The digest of its two halves, uint64 [2]."""
    return bytes(np.ascontiguousarray(halves).astype(">u8").tobytes())


def _order(row: LedgerRow) -> tuple[int, int, int]:
    return row.number, row.file_rank, row.row
