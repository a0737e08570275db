"""Select: which documents of each source are eligible, one key partition at a time.

Equal texts have equal keys, so every copy of a document, in whichever source, is met in the same
partition: one sort by (key, digest, source in recipe order, file, row) puts the survivor first and
each further copy behind it. Documents of excluded recipes sort before all sources and take their
copies with them. Of the survivors, those that a search for near-duplicates drops give way
(pipeline.build.near). What a recipe inserts stands outside: it competes with nothing but itself.

Filters judge the survivors (pipeline.judges.verdicts). What they remove is kept beside, since under
`shrink` it takes its part of the quota.

Nothing here looks at a quota: the result serves every size of every mix with the same sources and
filters. What a quota takes is a prefix in key order (`mixtures.stream.selection`);
`pipeline.stages.eligible` says what is written and reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import AnnealmixError, ManifestError
from mixtures.keys import KeyRange
from pipeline.executors.stage import PartitionUnit, Stage
from pipeline.inputs.build_source import SelectedSource
from pipeline.judges.verdicts import Documents, Verdicts, judge
from pipeline.stages.eligible import (
    COPIES,
    KEPT,
    REMOVED,
    PartitionRecord,
    SourceTable,
    partition_folder,
    score_column,
)
from pipeline.stages.gathering import Gathered, Places, Taken
from pipeline.stages.near.clusters import drop_rows, read_drops
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.store.columns import write_column
from pipeline.store.records import FolderWriter
from pipeline.store.scores import Scored, partition_name, partitions_of, read_scores

STRAND_COLUMNS = ("digest", "offset", "token_file", "segment", "ledger_row")
REMOVED_COLUMNS = (*STRAND_COLUMNS, "num_tokens")
PARTITION_DOCUMENTS = 3_000_000  # a partition of this many documents is sorted in about 150 MB
MAX_PARTITIONS = 64


def num_partitions(documents: int) -> int:
    """Key partitions for so many documents: a power of two. It changes no result, only memory and
    parallelism.
    """
    count = 1
    while count < MAX_PARTITIONS and documents > count * PARTITION_DOCUMENTS * 1.5:
        count *= 2
    return count


class Select(Stage[SelectPlan, PartitionUnit]):
    """Sorts and judges key partitions."""

    name = "select"
    plan_type = SelectPlan

    def upstream(self, plan: SelectPlan) -> dict[Path, str]:
        """All that it judges by."""
        return inputs_of(plan)

    def do(self, plan: SelectPlan, unit: PartitionUnit) -> None:
        """Sort and judge one partition."""
        if self.is_done(plan, unit):
            return
        (folder,) = self.outputs(plan, unit)
        with FolderWriter(folder) as writer:
            record = _Partition(plan, unit.partition, writer.path).write()
            writer.publish(record.as_json())

    @staticmethod
    def outputs(plan: SelectPlan, unit: PartitionUnit) -> list[Path]:
        """The partition's columns."""
        return [partition_folder(plan.folder, unit.partition)]

    @staticmethod
    def describe(unit: PartitionUnit) -> str:
        """The partition."""
        return f"key partition {unit.partition}"


class _Partition:
    """One key partition while it is selected."""

    def __init__(self, plan: SelectPlan, number: int, path: Path) -> None:
        self.plan, self.path = plan, path
        self.keys = KeyRange.partition(number, plan.partitions)
        self.scored = {
            index: _scores_within(plan.scores[index], self.keys)
            for index, rule in enumerate(plan.filters)
            if rule.above is not None
        }
        self.drops = read_drops(plan.near[0], plan.partitions, number) if plan.near else None

    def write(self) -> PartitionRecord:
        """Write the columns of every source. Returns the partition's record."""
        sources, tables = self.plan.sources, {}
        for domain in _domains(sources):
            gathered = Gathered(sources, self.keys, domain, self.plan.counts)
            compared = self._compared(gathered, domain)
            for number in sorted(domain):
                if not sources[number].excluded:
                    tables[sources[number].name] = self._write_source(compared, number)
        return PartitionRecord(
            sources=tables,
            filters=len(self.plan.filters),
            decontaminate=self.plan.decontaminate,
        )

    def _compared(self, gathered: Gathered, domain: set[int]) -> _Compared:
        """Which documents stay, and what the others give way to."""
        first = _first_of_each_document(gathered)
        firsts, later = np.flatnonzero(first), np.flatnonzero(~first)
        # of each row, the nearest first row above it is its survivor
        survivor = firsts[np.searchsorted(firsts, later) - 1]
        dropped, instead = self._near(gathered, firsts) if 0 in domain else _NONE
        first[dropped] = False
        return _Compared(gathered, first, later, gathered.source[survivor], dropped, instead)

    def _near(self, gathered: Gathered, survivors: Places) -> tuple[Places, Places]:
        """The documents that give way to a near-copy, by their places, and the sources of those
        that stay instead: both [num_dropped]. survivors: integers [num_survivors], places of the
        exact ones.
        """
        if self.drops is None:
            return _NONE
        digests = gathered.take(survivors).digests()
        rows = drop_rows(self.drops, gathered.order_key[survivors], digests)
        dropped = rows >= 0
        if int(dropped.sum()) != len(self.drops.order_key):
            raise ManifestError(
                f"{self.path}: {len(self.drops.order_key):,} documents give way to near-copies,"
                f" {int(dropped.sum()):,} of them are there; delete the store's folder near/ and"
                " build again"
            )
        return survivors[dropped], self.drops.survivor_source[rows[dropped]].astype(np.intp)

    def _write_source(self, compared: _Compared, number: int) -> SourceTable:
        """Write one source's documents below its ceiling. Returns what they are."""
        source, sources, gathered = self.plan.sources[number], self.plan.sources, compared.gathered
        own = gathered.source == number
        eligible = np.flatnonzero(own & compared.stays)
        below = KeyRange(0, source.ceiling).rows(gathered.order_key).stop
        within = eligible[: np.searchsorted(eligible, below)]
        taken = gathered.take(within)
        if (taken.num_tokens == 0).any():
            raise ManifestError(
                f"{self.path}: {source.name} has documents below its ceiling without tokens; the"
                " store is not what the plan says"
            )
        grams = (
            taken.column(f"count{len(self.plan.counts) - 1}")
            if self.plan.decontaminate
            else np.zeros(len(within), np.uint32)
        )
        present = (grams == 0) | (self.plan.decontaminate != "drop")
        verdicts = self._judge(source, taken, gathered.order_key[within], present)
        mine = own[compared.later]
        duplicates = np.bincount(compared.survivors[mine], minlength=len(sources)).tolist()
        table = SourceTable(
            **self._write_columns(source, taken, grams, verdicts),
            untokenized=len(eligible) - len(within),
            in_range=int(own.sum()),
            duplicates={
                other.name: count
                for other, count in zip(sources, duplicates, strict=True)
                if count and not other.excluded
            },
            excluded=sum(
                count for other, count in zip(sources, duplicates, strict=True) if other.excluded
            ),
            near=self._near_counts(compared.instead[own[compared.dropped]]),
        )
        gone = table.excluded + sum(table.duplicates.values()) + sum(table.near.values())
        if table.in_range != table.unique + gone:
            raise AnnealmixError(f"{self.path}: {source.name} does not balance: {table.as_json()}")
        return table

    def _near_counts(self, survivors: npt.NDArray[np.int64]) -> dict[str, int]:
        """Dropped documents by the source of what stays instead, "" for all excluded ones.
        survivors: source numbers [num_dropped].
        """
        counts: dict[str, int] = {}
        by_source = np.bincount(survivors, minlength=len(self.plan.sources)).tolist()
        for other, count in zip(self.plan.sources, by_source, strict=True):
            if count:
                name = "" if other.excluded else other.name
                counts[name] = counts.get(name, 0) + count
        return counts

    def _judge(
        self,
        source: SelectedSource,
        taken: Taken,
        order_key: npt.NDArray[np.uint64],
        present: npt.NDArray[np.bool_],
    ) -> Verdicts:
        """What filters say. order_key: uint64 [num_taken]; present: bool [num_taken], those that
        are not dropped as contaminated; filters judge no others.
        """
        rules = () if source.insert else self.plan.filters
        partners = [item for item in self.plan.partners if item.source == source.name]
        if not (rules or partners):
            return Verdicts.of_none(len(taken))
        judged = taken.where(present)
        documents = Documents(
            order_key[present],
            judged.digests(),
            judged.num_tokens,
            [
                judged.column(f"count{index}")
                for index, name in enumerate(self.plan.counts)
                if name == "terms"
            ],
        )
        return judge(source.name, documents, rules, self.scored, partners).among(present)

    def _write_columns(
        self,
        source: SelectedSource,
        taken: Taken,
        grams: npt.NDArray[np.uint32],
        verdicts: Verdicts,
    ) -> dict[str, Any]:
        """Write what a source has below its ceiling. Returns the part of its table that counts it.

        taken: in key order; grams: uint32 [num_taken].
        """
        plan, name, judged = self.plan, source.name, not source.insert
        reasons, contaminated = verdicts.removed, np.zeros(len(taken), np.bool_)
        if plan.decontaminate == "drop":  # bit 0 is contamination, bit i + 1 filter i
            contaminated = grams > 0
            reasons = reasons << np.uint32(1) | contaminated
        removed = reasons != 0
        kept = ~removed
        copies, shrink = plan.copies and judged, plan.shrink and judged
        approved = verdicts.approved & kept if copies else np.zeros(len(kept), np.bool_)
        num_tokens = taken.num_tokens.astype(np.uint64)
        # Of each document, how often its tokens count toward the quota. Under shrink, what filters
        # remove keeps its place; otherwise it has none, and an approved document fills two.
        times = ~contaminated if shrink else kept.astype(np.uint64) + approved
        fills = num_tokens * times
        place = np.cumsum(fills) - fills  # tokens of the quota before the document
        more = {
            **({"place": place[kept]} if shrink or copies else {}),
            **({"grams": grams[kept]} if plan.decontaminate == "report" and judged else {}),
            **({"spared": verdicts.spared[kept]} if plan.spared and judged else {}),
        }
        self._write_strand(f"{name}{KEPT}.", taken.where(kept), more)
        if copies:
            # of each copy, the number of its document among those that are kept
            of = np.flatnonzero(approved[kept])
            self._write_strand(f"{name}{COPIES}.", taken.where(approved), {"of": of})
        if judged and (plan.filters or plan.decontaminate):
            gone, after = taken.where(removed), np.cumsum(kept) - kept  # kept ones before each
            columns = {
                **{column: gone.column(column) for column in REMOVED_COLUMNS},
                "verdicts": reasons[removed],
                "after": after[removed],
                "place": place[removed],
            }
            for column, values in columns.items():
                write_column(self.path, column, values, f"{name}{REMOVED}.")
            for index, scores in verdicts.scores.items():
                for part, chosen in ((KEPT, kept), (REMOVED, removed)):
                    prefix = f"{name}{part}.{score_column(index)}"
                    write_column(self.path, "score", scores[chosen], prefix)
        copied = num_tokens[approved]
        return {
            "documents": int(kept.sum()),
            "tokens": int(fills.sum()),
            "longest": int(num_tokens[kept].max(initial=0)),
            "kept_tokens": int(num_tokens[kept].sum()),
            "removed": int(removed.sum()),
            "copies": (
                (len(copied), int(copied.sum()), int(copied.max(initial=0))) if copies else None
            ),
        }

    def _write_strand(
        self, prefix: str, taken: Taken, more: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Write what the stream needs of some documents. more: columns beside those of every
        strand, [num_taken] each.
        """
        for column in STRAND_COLUMNS:
            write_column(self.path, column, taken.column(column), prefix)
        num_tokens = taken.num_tokens
        starts = np.cumsum(num_tokens, dtype=np.uint64) - num_tokens
        for column, values in {**more, "num_tokens": num_tokens, "start": starts}.items():
            write_column(self.path, column, values, prefix)


@dataclass(frozen=True)
class _Compared:
    """Documents of a partition, and which of them stay.

    stays: bool [num_docs]. later: places of copies of an earlier one; survivors: the sources of
    those, both [num_later]. dropped: places of those that give way to a near-copy; instead: the
    sources of what stays instead, both [num_dropped].
    """

    gathered: Gathered
    stays: npt.NDArray[np.bool_]
    later: Places
    survivors: npt.NDArray[np.uint16]
    dropped: Places
    instead: Places


_NONE = np.empty(0, np.intp), np.empty(0, np.intp)


def _domains(sources: Sequence[SelectedSource]) -> list[set[int]]:
    """Sources whose documents compete with each other, by number: all but the inserts, and each
    insert alone.
    """
    inserts = [{number} for number, source in enumerate(sources) if source.insert]
    return [set(range(len(sources))).difference(*inserts), *inserts]


def _scores_within(folders: Sequence[tuple[Path, str]], keys: KeyRange) -> Scored:
    names = {partition_name(number) for number in partitions_of(keys)}
    return read_scores(folder for folder, _ in folders if folder.name in names)


def _first_of_each_document(gathered: Gathered) -> npt.NDArray[np.bool_]:
    """True at the first of each run of equal digests, bool [num_docs]. Equal keys of different
    digests (a collision) are different documents.
    """
    keys = gathered.order_key
    first = np.ones(len(keys), np.bool_)
    next_to = np.flatnonzero(keys[1:] == keys[:-1])
    one, two = (gathered.take(places).digests() for places in (next_to, next_to + 1))
    first[next_to + 1] = (one != two).any(axis=1)
    return first
