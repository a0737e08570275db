"""What became of one row of a source, by the eligibility order of a build: the first reason that
applies.

    quarantined, where, empty, dropped by a quality step -> out of key range -> excluded, duplicate
    of a survivor -> near-duplicate -> contaminated -> filter -> beyond quota -> kept

The reasons are those of the manifest's waterfall (`removed`), and every row has the one under which
it is counted there.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.errors import RecipeError
from mixtures.keys import KEY_SPACE, KeyRange, digest_columns, order_key
from mixtures.recipe.filters import dose_keys
from mixtures.recipe.near import EXCLUDED, NEAR
from pipeline.inputs.build_source import BuildSource
from pipeline.lookup.rows import fate_when_read
from pipeline.lookup.selection import MixFilter, MixStore
from pipeline.places.places import Place
from pipeline.stages.eligible import read_kept
from pipeline.stages.ingest import QUARANTINE
from pipeline.stages.near.clusters import drop_rows, read_drops
from pipeline.store.columns import prefix, read_column
from pipeline.store.records import read_done
from pipeline.store.rules import Rule
from pipeline.store.scores import look_up, read_scores
from pipeline.store.store import Group


@dataclass(frozen=True)
class LedgerRow:
    """A document of a ledger. number: of its source among the plan's; file_rank: of its file among
    the source's; at: row of the ledger's segment.
    """

    number: int
    file_rank: int
    row: int
    digest: bytes
    group: Group = field(compare=False)
    segment: int = field(compare=False)
    at: int = field(compare=False)

    @property
    def key(self) -> int:
        """Its order key."""
        return order_key(self.digest)


@dataclass(frozen=True)
class Fate:
    """What became of a row. document: None if the row is none. more: what explains the reason,
    JSON-able.
    """

    source: str
    file: str
    row: int
    reason: str
    document: LedgerRow | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        said = {
            "source": self.source,
            "file": self.file,
            "row": self.row,
            "reason": self.reason,
            **self.more,
        }
        return (
            {**said, "digest": self.document.digest.hex(), "order_key": f"{self.document.key:016x}"}
            if self.document
            else said
        )


class Fates:
    """Answers for one mix and its store."""

    def __init__(self, mix: MixStore) -> None:
        self.mix = mix

    def of_row(self, name: str, file: str, row: int, data: Place | None = None) -> Fate:
        """What became of a row.

        Args:
            data: as for a build; only a row that never became a document is read there again.
        Raises:
            RecipeError: the mix has no such source, file or row.
        """
        number = self._number(name)
        found = self.mix.inputs[self.mix.sources[number].reading]
        group = next(
            (group for group, files in found.groups if any(item.path == file for item in files)),
            None,
        )
        if group is None:
            raise RecipeError(
                f"source {name}: has no file {file!r}; it has {len(found.files):,}, such as"
                f" {found.files[0].path}"
            )
        rank = [item.path for item in found.files].index(file)
        if document := _in_ledger(group, number, file, rank, row):
            return self.of_document(document)
        for line in (group.ledger / QUARANTINE).read_text(encoding="utf-8").splitlines():
            bad = json.loads(line)
            if (bad["path"], bad["row"]) == (file, row):
                return Fate(
                    name,
                    file,
                    row,
                    "quarantined",
                    more={"why": bad["reason"], "detail": bad["detail"]},
                )
        reason, more = fate_when_read(group, found, file, row, data)
        return Fate(name, file, row, reason, more=more)

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
        reason, more = self._reason(source, document)
        filters = (
            []
            if source.insert
            else [
                self._judgement(number, item, document)
                for number, item in enumerate(self.mix.filters)
            ]
        )
        if more.get("removed_by") is not None:
            filters = [
                {**said, "removes": bool(more["removed_by"] >> at & 1)}
                for at, said in enumerate(filters)
            ]
        num_tokens = self._column(self.mix.rule, "num_tokens", document)
        more = {name: value for name, value in more.items() if name != "removed_by"}
        more |= {"num_tokens": num_tokens, **({"filters": filters} if filters else {})}
        if self.mix.grams and not source.insert:
            more["evaluation_ngrams"] = self._column(self.mix.grams, "grams", document)
        return Fate(source.name, self._path(document), document.row, reason, document, more)

    def tokens(self, document: LedgerRow) -> list[int] | None:
        """The tokens of a document without its EOD; None if the store has none of it."""
        offset, count = (
            self._column(self.mix.rule, name, document) for name in ("offset", "num_tokens")
        )
        folder = self._folder(self.mix.rule, document)
        if folder is None or offset is None or count is None:
            return None
        path = folder / f"{prefix(document.segment)}tokens"
        return [
            int(token)
            for token in np.memmap(path, self._token_dtype, "r")[offset : offset + count - 1]
        ]

    @property
    def _token_dtype(self) -> str:
        return "<u2" if self.mix.rule.token_bytes == 2 else "<i4"

    def _number(self, name: str) -> int:
        names = {
            source.name: number
            for number, source in enumerate(self.mix.sources)
            if not source.excluded
        }
        if name not in names:
            raise RecipeError(f"the mix has no source {name!r}; it has {', '.join(names)}")
        return names[name]

    def _reason(self, source: BuildSource, document: LedgerRow) -> tuple[str, dict[str, Any]]:
        low, high = source.keys
        if not low <= document.key < high:
            return "out of key range", {"keys": [f"{low:x}", f"{high:x}"]}
        survivor = self._survivor(document)
        if survivor != document:
            excluded, said = self._stays(survivor)
            return (
                ("excluded", {"excluded_by": said})
                if excluded
                else (f"duplicate of {said['source']}", {"survivor": said})
            )
        if not source.insert and (nearest := self._near_survivor(document)):
            excluded, said = self._stays(nearest)
            return f"{NEAR}{EXCLUDED if excluded else said['source']}", {"near_copy": said}
        return self._selected(source.name, document)

    def _stays(self, document: LedgerRow) -> tuple[bool, dict[str, Any]]:
        """Whether a document that stays instead is an excluded recipe's, and where it is."""
        source = self.mix.sources[document.number]
        return source.excluded, {
            "source": source.name,
            "file": self._path(document),
            "row": document.row,
        }

    def _near_survivor(self, document: LedgerRow) -> LedgerRow | None:
        """The near-copy that stays instead of an exact survivor, if one does."""
        if self.mix.near is None:
            return None
        partitions = self.mix.plan.partitions
        dropped = read_drops(
            self.mix.near.drops, partitions, document.key // (KEY_SPACE // partitions)
        )
        at = int(
            drop_rows(
                dropped, np.array([document.key], np.uint64), digest_columns(document.digest)
            )[0]
        )
        if at < 0:
            return None
        return min(
            self._rows(int(dropped.survivor_source[at]), _bytes(dropped.survivor[at])), key=_order
        )

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

    def _selected(self, name: str, document: LedgerRow) -> tuple[str, dict[str, Any]]:
        """Filter, quota or kept, as the selection says."""
        choice = self.mix.choices[name]
        partition = document.key // (KEY_SPACE // len(choice.eligible.tables))
        taken = {run.partition: run.documents for run in choice.first_epoch}.get(partition, 0)
        at = _index(read_kept(choice.eligible, "digest", partition), document)
        if at is not None and at < taken:
            return "kept", {"removed_by": 0}
        verdicts, reasons_before = None, len(choice.eligible.reasons) - choice.eligible.filters
        if choice.eligible.reasons:
            at_removed = _index(choice.eligible.removed_column("digest", partition), document)
            if at_removed is not None:
                verdicts = int(choice.eligible.removed_column("verdicts", partition)[at_removed])
                if at_removed < self.mix.removed(name)[partition]:
                    first = (verdicts & -verdicts).bit_length() - 1
                    said = (
                        verdicts >> reasons_before if first >= reasons_before else None
                    )  # filters do not judge what is contaminated
                    return choice.eligible.reasons[first], {"removed_by": said}
        judged = (
            verdicts >> reasons_before if verdicts is not None else 0 if at is not None else None
        )
        return "beyond quota", {"last_order_key": self._last_key(name), "removed_by": judged}

    def _last_key(self, name: str) -> str | None:
        """Order key of the last document that a quota took; None if it took none."""
        choice = self.mix.choices[name]
        if not choice.first_epoch:
            return None
        run = choice.first_epoch[-1]
        last = read_kept(choice.eligible, "digest", run.partition)[run.documents - 1]
        return f"{order_key(_bytes(last)):016x}"

    def _judgement(self, number: int, item: MixFilter, document: LedgerRow) -> dict[str, Any]:
        """What is stored of a document for one filter; None: not known, since nothing needed it."""
        rule, score = item.rule, None
        if item.table:
            scored = read_scores(
                folder for folder, _ in item.table.folders(KeyRange(document.key, document.key + 1))
            )
            found = look_up(
                scored, np.array([document.key], np.uint64), digest_columns(document.digest)
            )[0]
            score = int(found) if found >= 0 else None
        said: dict[str, Any] = {
            "label": rule.label,
            "terms": self._column(item.terms, "terms", document),
            "threshold": rule.threshold,
        }
        said |= {"placebo": rule.placebo, "removes": None}
        if item.table:
            said |= {"score_millionths": score, "removed_above_millionths": rule.above}
        if rule.dose < KEY_SPACE:
            said |= {
                "dose": item.fraction,
                "in_dose": bool(int(dose_keys(digest_columns(document.digest))[0]) < rule.dose),
            }
        return said

    def _folder(self, rule: Rule, document: LedgerRow) -> Path | None:
        ranges = document.group.ranges(rule)
        return next((item.folder for item in ranges if item.keys.holds(document.key)), None)

    def _column(self, rule: Rule, name: str, document: LedgerRow) -> int | None:
        """A document's value in a column beside its ledger; None if its key range has none."""
        folder = self._folder(rule, document)
        if folder is None:
            return None
        first = read_done(folder)["segments"][document.segment]["first_row"]
        return int(read_column(folder, name, prefix(document.segment))[document.at - first])

    def _rows(self, number: int, digest: bytes) -> Iterator[LedgerRow]:
        """Rows of a source that hold a document: bisection in every segment."""
        found = self.mix.inputs[self.mix.sources[number].reading]
        ranks = {file.path: rank for rank, file in enumerate(found.files)}
        key, halves = np.uint64(order_key(digest)), digest_columns(digest)[0]
        for group, _ in found.groups:
            for segment in range(len(group.segment_rows)):
                keys = read_column(group.ledger, "order_key", prefix(segment))
                first, last = (
                    int(np.searchsorted(keys, key, "left")),
                    int(np.searchsorted(keys, key, "right")),
                )
                if first < last:
                    digests, files, rows = (
                        read_column(group.ledger, name, prefix(segment))
                        for name in ("digest", "file", "row")
                    )
                    for at in range(first, last):
                        if (digests[at] == halves).all():
                            rank = ranks[group.inputs[int(files[at])]["path"]]
                            yield LedgerRow(number, rank, int(rows[at]), digest, group, segment, at)

    def _path(self, document: LedgerRow) -> str:
        return (
            self.mix.inputs[self.mix.sources[document.number].reading]
            .files[document.file_rank]
            .path
        )


def _in_ledger(group: Group, number: int, file: str, rank: int, row: int) -> LedgerRow | None:
    """The document of a row, if it is one: a search through the columns of its group's ledger,
    which is sorted by key.
    """
    index = [known["path"] for known in group.inputs].index(file)
    for segment in range(len(group.segment_rows)):
        files, rows = (read_column(group.ledger, name, prefix(segment)) for name in ("file", "row"))
        for at in np.flatnonzero((rows == row) & (files == index)).tolist():
            digest = _bytes(read_column(group.ledger, "digest", prefix(segment))[at])
            return LedgerRow(number, rank, row, digest, group, segment, at)
    return None


def _index(digests: Any, document: LedgerRow) -> int | None:
    """Index of a document in a column of digests that is sorted by (order key, digest)."""
    place = (document.key, document.digest)
    at = bisect_left(
        range(len(digests)),
        place,
        key=lambda index: (order_key(raw := _bytes(digests[index])), raw),
    )
    return at if at < len(digests) and _bytes(digests[at]) == document.digest else None


def _bytes(halves: Any) -> bytes:
    return bytes(np.ascontiguousarray(halves).astype(">u8").tobytes())


def _order(row: LedgerRow) -> tuple[int, int, int]:
    return row.number, row.file_rank, row.row
