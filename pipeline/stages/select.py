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

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import AnnealmixError, ManifestError
from mixtures.keys import KeyRange, sort_order
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
from pipeline.stages.gathering import Arrays, gathered
from pipeline.stages.near.clusters import drop_rows, read_drops
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.store.columns import write_column
from pipeline.store.records import FolderWriter
from pipeline.store.scores import Scored, partition_name, partitions_of, read_scores

STRAND_COLUMNS = (
    "digest",
    "num_tokens",
    "offset",
    "token_file",
    "segment",
    "ledger_row",
)
REMOVED_COLUMNS = (
    "digest",
    "num_tokens",
    "segment",
    "ledger_row",
    "verdicts",
    "after",
    "place",
)
PARTITION_DOCUMENTS = 3_000_000  # a partition of this many documents is sorted in about 300 MB
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
            arrays = _sorted(gathered(sources, self.keys, domain, self.plan.counts))
            first = _first_of_each_document(arrays)
            # of each row, the source of the nearest first row at or above it: its survivor's
            survivor = arrays["source"][
                np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
            ]
            near = self._near(arrays, first) if 0 in domain else np.full(len(first), -1)
            for number in sorted(domain):
                if not sources[number].excluded:
                    name = sources[number].name
                    tables[name] = self._write_source(arrays, first, survivor, near, number)
        return PartitionRecord(
            sources=tables,
            filters=len(self.plan.filters),
            decontaminate=self.plan.decontaminate,
        )

    def _near(self, arrays: Arrays, first: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The source whose near-copy stays instead of each document, int64 [num_docs]; -1 where the
        document stays or is no exact survivor. first: bool [num_docs].
        """
        near = np.full(len(first), -1, np.int64)
        if self.drops is None:
            return near
        survivors = np.flatnonzero(first)
        rows = drop_rows(self.drops, arrays["order_key"][survivors], arrays["digest"][survivors])
        dropped = rows >= 0
        if int(dropped.sum()) != len(self.drops.order_key):
            raise ManifestError(
                f"{self.path}: {len(self.drops.order_key):,} documents give way to near-copies,"
                f" {int(dropped.sum()):,} of them are there; delete the store's folder near/ and"
                " build again"
            )
        near[survivors[dropped]] = self.drops.survivor_source[rows[dropped]]
        return near

    def _write_source(
        self,
        arrays: Arrays,
        first: npt.NDArray[np.bool_],
        survivor: npt.NDArray[np.uint16],
        near: npt.NDArray[np.int64],
        number: int,
    ) -> SourceTable:
        """Write one source's documents below its ceiling. Returns what they are.

        first: bool [num_docs], of each text the first document; survivor: uint16 [num_docs], the
        source of that one; near: int64 [num_docs], see `_near`.
        """
        source, sources = self.plan.sources[number], self.plan.sources
        own = arrays["source"] == number
        eligible = own & first & (near < 0)
        within = eligible & KeyRange(0, source.ceiling).mask(arrays["order_key"])
        columns = {name: values[within] for name, values in arrays.items()}
        if (columns["num_tokens"] == 0).any():
            raise ManifestError(
                f"{self.path}: {source.name} has documents below its ceiling without tokens; the"
                " store is not what the plan says"
            )
        columns["grams"] = (
            columns[f"count{len(self.plan.counts) - 1}"]
            if self.plan.decontaminate
            else np.zeros(len(columns["order_key"]), np.uint32)
        )
        contaminated = (columns["grams"] > 0) & (self.plan.decontaminate == "drop")
        verdicts = self._judge(source, columns, ~contaminated)
        duplicates = np.bincount(survivor[own & ~first], minlength=len(sources)).tolist()
        table = SourceTable(
            **self._write_columns(source, columns, contaminated, verdicts),
            untokenized=int(eligible.sum() - within.sum()),
            in_range=int(own.sum()),
            duplicates={
                other.name: count
                for other, count in zip(sources, duplicates, strict=True)
                if count and not other.excluded
            },
            excluded=sum(
                count for other, count in zip(sources, duplicates, strict=True) if other.excluded
            ),
            near=self._near_counts(near[own & (near >= 0)]),
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
        self, source: SelectedSource, columns: Arrays, present: npt.NDArray[np.bool_]
    ) -> Verdicts:
        """What filters say. present: bool [num_docs], those that are not dropped as contaminated;
        filters judge no others.
        """
        documents = Documents(
            columns["order_key"][present],
            columns["digest"][present],
            columns["num_tokens"][present],
            [
                columns[f"count{index}"][present]
                for index, name in enumerate(self.plan.counts)
                if name == "terms"
            ],
        )
        rules = () if source.insert else self.plan.filters
        partners = [item for item in self.plan.partners if item.source == source.name]
        return judge(source.name, documents, rules, self.scored, partners).among(present)

    def _write_columns(
        self,
        source: SelectedSource,
        columns: Arrays,
        contaminated: npt.NDArray[np.bool_],
        verdicts: Verdicts,
    ) -> dict[str, Any]:
        """Write what a source has below its ceiling. Returns the part of its table that counts it.

        columns: [num_docs] each, in key order; contaminated: bool [num_docs], those that are
        dropped for it.
        """
        plan, name, judged = self.plan, source.name, not source.insert
        reasons = verdicts.removed
        if plan.decontaminate == "drop":  # bit 0 is contamination, bit i + 1 filter i
            reasons = reasons << np.uint32(1) | contaminated
        removed = reasons != 0
        kept = ~removed
        copies, shrink = plan.copies and judged, plan.shrink and judged
        approved = verdicts.approved & kept if copies else np.zeros(len(kept), np.bool_)
        num_tokens = columns["num_tokens"].astype(np.uint64)
        # Of each document, how often its tokens count toward the quota. Under shrink, what filters
        # remove keeps its place; otherwise it has none, and an approved document fills two.
        times = ~contaminated if shrink else kept.astype(np.uint64) + approved
        fills = num_tokens * times
        placed = {
            **columns,
            "place": np.cumsum(fills) - fills,  # tokens of the quota before the document
            "after": np.cumsum(kept) - kept,  # kept documents before it
            "verdicts": reasons,
            "spared": verdicts.spared,
        }
        more = [
            *(["place"] if shrink or copies else []),
            *(["grams"] if plan.decontaminate == "report" and judged else []),
            *(["spared"] if plan.spared and judged else []),
        ]
        self._write_strand(name, KEPT, placed, kept, more)
        if copies:
            self._write_strand(name, COPIES, placed, approved, ())
            # of each copy, the number of its document among those that are kept
            write_column(self.path, "of", np.flatnonzero(approved[kept]), f"{name}{COPIES}.")
        if judged and (plan.filters or plan.decontaminate):
            for column in REMOVED_COLUMNS:
                write_column(self.path, column, placed[column][removed], f"{name}{REMOVED}.")
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
        self,
        name: str,
        part: str,
        columns: Arrays,
        chosen: npt.NDArray[np.bool_],
        more: Collection[str],
    ) -> None:
        """Write what the stream needs of some documents. columns: [num_docs] each; chosen: bool
        [num_docs]; more: columns beside those of every strand.
        """
        for column in (*STRAND_COLUMNS, *more):
            write_column(self.path, column, columns[column][chosen], f"{name}{part}.")
        num_tokens = columns["num_tokens"][chosen]
        starts = np.cumsum(num_tokens, dtype=np.uint64) - num_tokens
        write_column(self.path, "start", starts, f"{name}{part}.")


def _domains(sources: Sequence[SelectedSource]) -> list[set[int]]:
    """Sources whose documents compete with each other, by number: all but the inserts, and each
    insert alone.
    """
    inserts = [{number} for number, source in enumerate(sources) if source.insert]
    return [set(range(len(sources))).difference(*inserts), *inserts]


def _scores_within(folders: Sequence[tuple[Path, str]], keys: KeyRange) -> Scored:
    names = {partition_name(number) for number in partitions_of(keys)}
    return read_scores(folder for folder, _ in folders if folder.name in names)


def _sorted(arrays: Arrays) -> Arrays:
    order = sort_order(
        arrays["order_key"], arrays["digest"], arrays["source"], arrays["file_rank"], arrays["row"]
    )
    return {name: values[order] for name, values in arrays.items()}


def _first_of_each_document(arrays: Arrays) -> npt.NDArray[np.bool_]:
    """True at the first of each run of equal digests, bool [num_docs]. Equal keys of different
    digests (a collision) are different documents.
    """
    digest = arrays["digest"]
    first = np.ones(len(digest), np.bool_)
    first[1:] = (digest[1:] != digest[:-1]).any(axis=1)
    return first
