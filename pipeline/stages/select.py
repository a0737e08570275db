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
from pipeline.executors.stage import Plan, Stage, Unit
from pipeline.judges.verdicts import Documents, FilterRule, Verdicts, judge
from pipeline.stages.eligible import COPIES, KEPT, REMOVED, partition_folder, score_column
from pipeline.stages.gathering import Arrays, gathered
from pipeline.stages.near.clusters import drop_rows, read_drops
from pipeline.store.columns import write_column
from pipeline.store.records import FolderWriter, read_done
from pipeline.store.scores import Scored, partition_name, partitions_of, read_scores

SELECT_FORMAT = 4
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


def select_plan(
    sources: Sequence[dict[str, Any]],
    rules: Sequence[FilterRule],
    counts: list[str],
    scores: list[list[list[str]]],
    documents: int,
    *,
    near: list[str] | None,
    decontaminate: str | None,
    shrink: bool,
    copies: bool,
) -> Plan:
    """The plan of a select stage but for its folder and units; a hash of it names the folder.

    Args:
        sources: as `Select` lists them. scores: by filter. documents: of all ledgers, each once.
        near: folder of the drops of near-duplicates, and the digest of its record.
    """
    return {
        "partitions": num_partitions(documents),
        "sources": list(sources),
        "filters": [rule.as_json() for rule in rules],
        "counts": counts,
        "decontaminate": decontaminate,
        "scores": scores,
        "near": near,
        "shrink": shrink,
        "copies": copies,
        "in_order": any(rule.placebo for rule in rules),
        "format": SELECT_FORMAT,
    }


def inputs_of(plan: Plan) -> dict[Path, str]:
    """Folders of the store that a select stage reads (ledgers, tokens, counts, scores, drops), with
    the digests of their records.
    """
    segments = [segment for source in plan["sources"] for segment in source["segments"]]
    ledgers = [(segment["ledger"], segment["digest"]) for segment in segments]
    beside = [
        (item[0], item[3])
        for segment in segments
        for items in (segment["tokens"], *segment["counts"])
        for item in items
    ]
    scored = [(folder, digest) for items in plan["scores"] for folder, digest in items]
    near = [plan["near"]] if plan["near"] else []
    return {Path(folder): digest for folder, digest in (*ledgers, *beside, *scored, *near)}


class Select(Stage):
    """Plan: partitions, folder, sources in order of priority (excluded ones first), filters, counts
    (columns that annotators wrote, those of the blocklists first), decontaminate (null, drop or
    report), scores, near, shrink, copies, units.

    Source: name, excluded (whether it only takes copies away), insert (whether it competes with
    none), keys [low, high], ceiling (documents from there on are not tokenized), segments [{ledger,
    digest, segment, file_ranks, tokens: [[folder, low, high, digest]], counts: such a list for each
    column}]. scores: [[folder, digest]] by filter. Unit: partition.
    """

    name = "select"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """All that it judges by."""
        return inputs_of(plan)

    def do(self, plan: Plan, unit: Unit) -> None:
        """Sort and judge one partition."""
        if self.is_done(plan, unit):
            return
        (folder,) = self.outputs(plan, unit)
        keys = KeyRange.partition(unit["partition"], plan["partitions"])
        with FolderWriter(folder) as writer:
            writing = _Partition(plan, unit["partition"], keys, writer.path)
            writer.publish(writing.write())

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """The partition's columns."""
        return [partition_folder(Path(plan["folder"]), unit["partition"])]

    @staticmethod
    def describe(unit: Unit) -> str:
        """The partition."""
        return f"key partition {unit['partition']}"


class _Partition:
    """One key partition while it is selected."""

    def __init__(self, plan: Plan, number: int, keys: KeyRange, path: Path) -> None:
        self.sources, self.keys, self.path = plan["sources"], keys, path
        self.shrink, self.copies, self.counts = plan["shrink"], plan["copies"], plan["counts"]
        self.decontaminate = plan["decontaminate"]
        self.rules = [FilterRule.from_json(value) for value in plan["filters"]]
        scored = [index for index, rule in enumerate(self.rules) if rule.above is not None]
        self.scored = {index: _scores_within(plan["scores"][index], keys) for index in scored}
        self.drops = (
            read_drops(Path(plan["near"][0]), plan["partitions"], number) if plan["near"] else None
        )
        self.debts: dict[str, dict[str, list[int]]] = {}
        if number and any(
            rule.placebo for rule in self.rules
        ):  # debts run on from one partition to the next
            self.debts = read_done(partition_folder(Path(plan["folder"]), number - 1))["debts"]

    def write(self) -> dict[str, Any]:
        """Write the columns of every source. Returns the partition's record."""
        tables, debts = {}, {}
        for domain in _domains(self.sources):
            arrays = _sorted(gathered(self.sources, self.keys, domain, self.counts))
            first = _first_of_each_document(arrays)
            survivor = arrays["source"][
                np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
            ]
            near = self._near(arrays, first) if 0 in domain else np.full(len(first), -1)
            for number in sorted(domain):
                if not self.sources[number]["excluded"]:
                    name = self.sources[number]["name"]
                    tables[name], left = self._write_source(arrays, first, survivor, near, number)
                    debts[name] = {str(index): values.tolist() for index, values in left.items()}
        return {
            "sources": tables,
            "debts": debts,
            "filters": len(self.rules),
            "decontaminate": self.decontaminate,
        }

    def _near(self, arrays: Arrays, first: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The source whose near-copy stays instead of each document, -1 where the document stays or
        is no exact survivor.
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
    ) -> tuple[dict[str, Any], dict[int, npt.NDArray[np.int64]]]:
        """Write one source's documents below its ceiling. Returns what they are, and what placebos
        still owe.
        """
        source = self.sources[number]
        mine = arrays["source"] == number
        eligible = mine & first & (near < 0)
        within = eligible & KeyRange(0, int(source["ceiling"], 16)).mask(arrays["order_key"])
        found = {name: values[within] for name, values in arrays.items()}
        if (found["num_tokens"] == 0).any():
            raise AnnealmixError(
                f"{self.path}: {source['name']} has documents below its ceiling without tokens; the"
                " store is not what the plan says"
            )
        grams = (
            found[f"count{len(self.counts) - 1}"]
            if self.decontaminate
            else np.zeros(len(found["order_key"]), np.uint32)
        )
        dropped = (grams > 0) & (self.decontaminate == "drop")
        verdicts = self._judge(source, found, ~dropped)
        duplicates = np.bincount(survivor[mine & ~first], minlength=len(self.sources)).tolist()
        table = {
            **self._write_columns(source, {**found, "grams": grams}, dropped, verdicts),
            "untokenized": int(eligible.sum() - within.sum()),
            "in_range": int(mine.sum()),
            "duplicates": {
                self.sources[other]["name"]: count
                for other, count in enumerate(duplicates)
                if count and not self.sources[other]["excluded"]
            },
            "excluded": sum(
                count for other, count in enumerate(duplicates) if self.sources[other]["excluded"]
            ),
            "near": self._near_counts(near[mine & (near >= 0)]),
        }
        out = table["documents"] + table["removed"] + table["untokenized"] + table["excluded"]
        out += sum(table["duplicates"].values()) + sum(table["near"].values())
        if table["in_range"] != out:
            raise AnnealmixError(f"{self.path}: {source['name']} does not balance: {table}")
        return table, verdicts.debts

    def _near_counts(self, survivors: npt.NDArray[np.int64]) -> dict[str, int]:
        """Dropped documents by the source of what stays instead, "" for all excluded ones."""
        counts: dict[str, int] = {}
        for other, count in enumerate(np.bincount(survivors, minlength=len(self.sources)).tolist()):
            if count:
                name = "" if self.sources[other]["excluded"] else self.sources[other]["name"]
                counts[name] = counts.get(name, 0) + count
        return counts

    def _judge(
        self, source: dict[str, Any], found: Arrays, present: npt.NDArray[np.bool_]
    ) -> Verdicts:
        """What filters say. present: documents that are not dropped as contaminated; filters judge
        no others.
        """
        rules = [] if source["insert"] else self.rules
        terms = [
            found[f"count{index}"][present]
            for index, name in enumerate(self.counts)
            if name == "terms"
        ]
        documents = Documents(
            found["order_key"][present],
            found["digest"][present],
            found["num_tokens"][present],
            terms,
        )
        owed = {int(index): values for index, values in self.debts.get(source["name"], {}).items()}
        return judge(source["name"], documents, rules, self.scored, owed).among(present)

    def _write_columns(
        self,
        source: dict[str, Any],
        found: Arrays,
        contaminated: npt.NDArray[np.bool_],
        verdicts: Verdicts,
    ) -> dict[str, Any]:
        judged, name = not source["insert"], source["name"]
        reasons = (
            verdicts.removed << np.uint32(1) | contaminated
            if self.decontaminate == "drop"
            else verdicts.removed
        )
        removed = reasons != 0
        num_tokens = found["num_tokens"].astype(np.uint64)
        copies, shrink = self.copies and judged, self.shrink and judged
        approved = verdicts.approved & ~removed if copies else np.zeros(len(removed), np.bool_)
        fills = num_tokens * (~contaminated if shrink else ~removed + approved.astype(np.uint64))
        placed = {**found, "place": np.cumsum(fills) - fills}
        kept = ~removed
        more = [
            *(["place"] if shrink or copies else []),
            *(["grams"] if self.decontaminate == "report" and judged else []),
        ]
        self._write_strand(name, KEPT, placed, kept, more)
        if copies:
            self._write_strand(name, COPIES, placed, approved, ())
            write_column(self.path, "of", np.flatnonzero(approved[kept]), f"{name}{COPIES}.")
        if judged and (self.rules or self.decontaminate):
            placed |= {"verdicts": reasons, "after": np.cumsum(kept) - kept}
            for column in (
                "digest",
                "num_tokens",
                "segment",
                "ledger_row",
                "verdicts",
                "after",
                "place",
            ):
                write_column(self.path, column, placed[column][removed], f"{name}{REMOVED}.")
            for index, scores in verdicts.scores.items():
                for part, chosen in ((KEPT, kept), (REMOVED, removed)):
                    write_column(
                        self.path, "score", scores[chosen], f"{name}{part}.{score_column(index)}"
                    )
        copied = num_tokens[approved]
        return {
            "documents": int(kept.sum()),
            "tokens": int(fills.sum()),
            "longest": int(num_tokens[kept].max(initial=0)),
            "kept_tokens": int(num_tokens[kept].sum()),
            "removed": int(removed.sum()),
            "copies": (
                [len(copied), int(copied.sum()), int(copied.max(initial=0))] if copies else None
            ),
        }

    def _write_strand(
        self,
        name: str,
        part: str,
        found: Arrays,
        chosen: npt.NDArray[np.bool_],
        more: Collection[str],
    ) -> None:
        """Write what the stream needs of some documents."""
        for column in (
            "digest",
            "num_tokens",
            "offset",
            "token_file",
            "segment",
            "ledger_row",
            *more,
        ):
            write_column(self.path, column, found[column][chosen], f"{name}{part}.")
        num_tokens = found["num_tokens"][chosen]
        write_column(
            self.path,
            "start",
            np.cumsum(num_tokens, dtype=np.uint64) - num_tokens,
            f"{name}{part}.",
        )


def _domains(sources: list[dict[str, Any]]) -> list[set[int]]:
    """Sources whose documents compete with each other, by number: all but the inserts, and each
    insert alone.
    """
    inserts = [{number} for number, source in enumerate(sources) if source["insert"]]
    return [set(range(len(sources))).difference(*inserts), *inserts]


def _scores_within(folders: list[list[str]], keys: KeyRange) -> Scored:
    names = {partition_name(number) for number in partitions_of(keys)}
    return read_scores(Path(folder) for folder, _ in folders if Path(folder).name in names)


def _sorted(arrays: Arrays) -> Arrays:
    order = sort_order(
        arrays["order_key"], arrays["digest"], arrays["source"], arrays["file_rank"], arrays["row"]
    )
    return {name: values[order] for name, values in arrays.items()}


def _first_of_each_document(arrays: Arrays) -> npt.NDArray[np.bool_]:
    """True at the first of each run of equal digests. Equal keys of different digests (a collision)
    are different documents.
    """
    digest = arrays["digest"]
    first = np.ones(len(digest), np.bool_)
    first[1:] = (digest[1:] != digest[:-1]).any(axis=1)
    return first
