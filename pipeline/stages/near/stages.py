"""The stages of a search, in order; each unit leaves folders of its own in STORE/near/KEY
(`pipeline.build.near` runs them).

Spill      by key partition    documents/pNNNN, bands/pNNNN    who competes, and their band keys by
    band partition
Link       by band partition   edges/pNNNN                     documents that share a band key
Candidates one unit            candidates                      if the rule verifies: who must be
    read again
Shingle    by group of files   shingles/GROUP                  their shingle sets
Verify     by band partition   verified/pNNNN                  edges whose documents are alike
    enough
Reduce     one unit            clusters, drops                 clusters, their survivors, and who
    gives way to whom
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer

from mixtures.keys import KeyRange
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.executors.stage import PartitionUnit, Plan, Stage, U, Unit
from pipeline.inputs.file import InputFile, named_files
from pipeline.inputs.quality.quality import planned_steps
from pipeline.judges.annotators.reading import PlannedNearRule
from pipeline.stages.near.clusters import (
    clusters,
    drops,
    read_clusters,
    write_clusters,
    write_drops,
)
from pipeline.stages.near.competing import NearSource, competing
from pipeline.stages.near.edges import (
    edges,
    read_bands,
    read_edges,
    verified,
    write_bands,
    write_edges,
)
from pipeline.stages.near.report import write_outline, write_sampled
from pipeline.stages.near.shingles import ShingleWriter, read_shingles, write_candidates
from pipeline.stages.near.spill import DocumentsRecord, publish, read_published
from pipeline.store.records import is_done


def parts(folder: Path, kind: str, count: int) -> list[Path]:
    """Folders of a kind, by partition."""
    return [_part(folder, kind, number) for number in range(count)]


def _part(folder: Path, kind: str, number: int) -> Path:
    return folder / kind / f"p{number:04d}"


class WholeUnit(Unit):
    """All that there is."""


class ShingleUnit(Unit):
    """A group of input files with candidates."""

    group: str
    """Its folder below shingles/."""
    reading: str
    ledger: Path
    files: tuple[InputFile, ...]
    segments: tuple[tuple[int, int], ...]
    """Number in the plan, number in the group."""


class NearPlan(Plan[U], Generic[U]):
    """What all stages of a search must know; the folder is that of the search."""

    folder: Path
    rule: PlannedNearRule
    sources: tuple[NearSource, ...]
    key_partitions: int
    band_partitions: int
    partitions: int
    """Of the select stage."""
    memory_bytes: int
    """What the reduction may take."""
    definitions: dict[
        str,
        Annotated[
            SourceDefinition,
            PlainSerializer(lambda value: value.model_dump(mode="json", exclude_defaults=True)),
        ],
    ]
    """By reading."""
    quality: dict[str, list[Any]]
    """By reading, as `canonical_quality` writes the steps."""
    shingles: tuple[Path, ...] = ()
    """Folders of shingle sets, from Verify on."""
    candidates: str = "candidates"
    """The folder that lists whom Shingle reads again."""
    sets: str = "shingles"
    """The folder of what it makes of them."""


class _NearStage(Stage[NearPlan[U], U]):
    """Base of the stages."""

    # 1.2 GB are the band keys of 2M documents while they are spilled, 14 a document; of the largest
    # preset 20
    task_bytes = 2_000_000_000

    def prepare(self, plan: NearPlan[U]) -> None:
        """Read the rule."""
        self.folder, self.rule = plan.folder, plan.rule
        self.documents = parts(self.folder, "documents", plan.key_partitions)
        self.bands = parts(self.folder, "bands", plan.key_partitions)
        self.edges = parts(self.folder, "edges", plan.band_partitions)
        self.verified = parts(self.folder, "verified", plan.band_partitions)
        self.links = self.edges if self.rule.verify is None else self.verified


class Spill(_NearStage[PartitionUnit]):
    """Unit: partition, of the order key."""

    name = "near-spill"
    plan_type = NearPlan[PartitionUnit]

    def upstream(self, plan: NearPlan[PartitionUnit]) -> dict[Path, str]:
        """Ledgers and band keys."""
        segments = [segment for source in plan.sources for segment in source.segments]
        bands = {item.folder: item.digest for segment in segments for item in segment.bands}
        return {**{segment.ledger: segment.digest for segment in segments}, **bands}

    def do(self, plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> None:
        """Gather a partition's competing documents."""
        if self.is_done(plan, unit):
            return
        number = unit.partition
        found = competing(
            plan.sources, KeyRange.partition(number, plan.key_partitions), self.rule.bands
        )
        write_bands(self.bands[number], found.signatures, self.rule, plan.band_partitions)
        publish(self.documents[number], found.columns, DocumentsRecord(documents=len(found.bands)))

    @staticmethod
    def outputs(plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> list[Path]:
        """Documents, and their band keys."""
        return [_part(plan.folder, kind, unit.partition) for kind in ("documents", "bands")]

    @staticmethod
    def describe(unit: PartitionUnit) -> str:
        """The partition."""
        return f"key partition {unit.partition}"


class Link(_NearStage[PartitionUnit]):
    """Unit: partition, of the band key."""

    name = "near-link"
    plan_type = NearPlan[PartitionUnit]

    def upstream(self, plan: NearPlan[PartitionUnit]) -> dict[Path, str]:
        """Band keys by partition."""
        return dict.fromkeys(self.bands, "")

    def do(self, plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> None:
        """Link the documents of a partition's buckets."""
        number = unit.partition
        if not self.is_done(plan, unit):
            write_edges(
                self.edges[number],
                edges(*read_bands(self.bands, self.rule, plan.band_partitions, number)),
            )

    @staticmethod
    def outputs(plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> list[Path]:
        """The partition's edges."""
        return [_part(plan.folder, "edges", unit.partition)]

    @staticmethod
    def describe(unit: PartitionUnit) -> str:
        """The partition."""
        return f"band partition {unit.partition}"


class Candidates(_NearStage[WholeUnit]):
    """One unit."""

    name = "near-candidates"
    plan_type = NearPlan[WholeUnit]

    def upstream(self, plan: NearPlan[WholeUnit]) -> dict[Path, str]:
        """Edges, and whom they join."""
        return dict.fromkeys([*self.edges, *self.documents], "")

    def do(self, plan: NearPlan[WholeUnit], unit: WholeUnit) -> None:
        """List the documents at the ends of edges by segment."""
        if not self.is_done(plan, unit):
            write_candidates(
                self.folder / "candidates", map(read_edges, self.edges), self.documents
            )

    @staticmethod
    def outputs(plan: NearPlan[WholeUnit], unit: WholeUnit) -> list[Path]:
        """The list."""
        return [plan.folder / "candidates"]

    @staticmethod
    def describe(unit: WholeUnit) -> str:
        """All of it."""
        return "the documents at the ends of all edges"


class Shingle(_NearStage[ShingleUnit]):
    """Unit: group (its folder below shingles/), reading, ledger, files, segments [[number in the
    plan, number in the group]].
    """

    name = "near-shingle"
    plan_type = NearPlan[ShingleUnit]

    def upstream(self, plan: NearPlan[ShingleUnit]) -> dict[Path, str]:
        """Who must be read again."""
        return {self.folder / plan.candidates: ""}

    def do(self, plan: NearPlan[ShingleUnit], unit: ShingleUnit) -> None:
        """Read a group's candidates again."""
        if self.is_done(plan, unit):
            return
        (folder,) = self.outputs(plan, unit)
        writer = ShingleWriter(self.folder / plan.candidates, unit.ledger, unit.segments, self.rule)
        writer.write(
            folder,
            unit.files,
            plan.definitions[unit.reading],
            planned_steps(plan.quality[unit.reading]),
        )

    @staticmethod
    def outputs(plan: NearPlan[ShingleUnit], unit: ShingleUnit) -> list[Path]:
        """Shingle sets of the group's candidates."""
        return [plan.folder / plan.sets / unit.group]

    @staticmethod
    def describe(unit: ShingleUnit) -> str:
        """The input files."""
        return named_files(unit.reading, unit.files)


class Verify(_NearStage[PartitionUnit]):
    """Unit: partition, of the band key. Plan: shingles, too: the folders."""

    name = "near-verify"
    plan_type = NearPlan[PartitionUnit]

    def upstream(self, plan: NearPlan[PartitionUnit]) -> dict[Path, str]:
        """Edges and shingle sets."""
        return dict.fromkeys([*self.edges, *plan.shingles], "")

    def do(self, plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> None:
        """Keep the edges of a partition whose documents are alike."""
        if self.is_done(plan, unit):
            return
        number = unit.partition
        found = read_edges(self.edges[number])
        sets = read_shingles(plan.shingles, found)
        write_edges(self.verified[number], verified(found, sets, self.rule))

    @staticmethod
    def outputs(plan: NearPlan[PartitionUnit], unit: PartitionUnit) -> list[Path]:
        """The edges that stay."""
        return [_part(plan.folder, "verified", unit.partition)]

    @staticmethod
    def describe(unit: PartitionUnit) -> str:
        """The partition."""
        return f"band partition {unit.partition}"


class Reduce(_NearStage[WholeUnit]):
    """One unit. memory_bytes: what the reduction may take."""

    name = "near-reduce"
    plan_type = NearPlan[WholeUnit]

    def upstream(self, plan: NearPlan[WholeUnit]) -> dict[Path, str]:
        """Edges, and whom they join."""
        return dict.fromkeys([*self.links, *self.documents], "")

    def do(self, plan: NearPlan[WholeUnit], unit: WholeUnit) -> None:
        """Join the edges, and say who gives way to whom, by partition of select."""
        counts = [DocumentsRecord.read(folder).documents for folder in self.documents]
        if not is_done(self.folder / "clusters"):
            found = clusters(sum(counts), map(read_edges, self.links), plan.memory_bytes)
            write_clusters(self.folder / "clusters", found, sum(counts))
        found = read_clusters(self.folder / "clusters")
        columns = list(zip(*self._of(found.documents, counts), strict=True))
        source, order_key, digest = (np.concatenate(column) for column in columns)
        if not is_done(self.folder / "drops"):
            write_drops(
                self.folder / "drops", drops(found, source, order_key, digest), plan.partitions
            )
        write_outline(self.folder / "outline", found, (source, order_key, digest), self.documents)
        write_sampled(self.folder / "sampled", self.folder / "outline", self.documents)

    @staticmethod
    def outputs(plan: NearPlan[WholeUnit], unit: WholeUnit) -> list[Path]:
        """Clusters, who gives way, and what is told of them."""
        return [plan.folder / kind for kind in ("clusters", "drops", "outline", "sampled")]

    @staticmethod
    def describe(unit: WholeUnit) -> str:
        """All of it."""
        return "all edges"

    def _of(
        self, documents: npt.NDArray[Any], counts: Sequence[int]
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Columns source, order_key and digest of some documents, each [num_docs], a folder at a
        time. documents: unsigned [num_docs], ascending. counts: documents of each folder.
        """
        bounds = np.searchsorted(documents, np.concatenate(([0], np.cumsum(counts))))
        first = 0
        for number, (folder, count) in enumerate(zip(self.documents, counts, strict=True)):
            rows = documents[bounds[number] : bounds[number + 1]].astype(np.int64) - first
            source, order_key, digest = read_published(folder, ("source", "order_key", "digest"))
            yield source[rows], order_key[rows], digest[rows]
            first += count
