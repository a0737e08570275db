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
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange
from mixtures.recipe.source import SourceDefinition
from mixtures.rules.near import NearRule
from pipeline.executors.stage import Plan, Stage, Unit
from pipeline.inputs.file import InputFile, named_files
from pipeline.inputs.quality.quality import planned_steps
from pipeline.stages.near.clusters import (
    Clusters,
    Drops,
    clusters,
    drops,
    read_clusters,
    write_clusters,
    write_drops,
)
from pipeline.stages.near.competing import competing
from pipeline.stages.near.edges import (
    edges,
    read_bands,
    read_edges,
    verified,
    write_bands,
    write_edges,
)
from pipeline.stages.near.shingles import ShingleWriter, read_shingles, write_candidates
from pipeline.stages.near.spill import publish, read_published
from pipeline.store.records import is_done, read_done


def parts(folder: Path, kind: str, count: int) -> list[Path]:
    """Folders of a kind, by partition."""
    return [_part(folder, kind, number) for number in range(count)]


def _part(folder: str | Path, kind: str, number: int) -> Path:
    return Path(folder) / kind / f"p{number:04d}"


class _NearStage(Stage):
    """Plan: folder, rule, sources, key_partitions, band_partitions, partitions (of select),
    memory_bytes, definitions, quality, units.
    """

    # 1.2 GB are the band keys of 2M documents while they are spilled, 14 a document; of the largest
    # preset 20
    task_bytes = 2_000_000_000

    def prepare(self, plan: Plan) -> None:
        """Read the rule once a rank."""
        self.folder, self.rule = Path(plan["folder"]), NearRule.model_validate(plan["rule"])
        self.documents = parts(self.folder, "documents", plan["key_partitions"])
        self.bands = parts(self.folder, "bands", plan["key_partitions"])
        self.edges = parts(self.folder, "edges", plan["band_partitions"])
        self.verified = parts(self.folder, "verified", plan["band_partitions"])
        self.links = self.edges if self.rule.verify is None else self.verified


class Spill(_NearStage):
    """Unit: partition, of the order key."""

    name = "near-spill"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Ledgers and band keys."""
        segments = [segment for source in plan["sources"] for segment in source["segments"]]
        bands = {
            Path(folder): digest
            for segment in segments
            for folder, _, _, digest in segment["bands"]
        }
        return {**{Path(segment["ledger"]): segment["digest"] for segment in segments}, **bands}

    def do(self, plan: Plan, unit: Unit) -> None:
        """Gather a partition's competing documents."""
        if self.is_done(plan, unit):
            return
        number = unit["partition"]
        found = competing(
            plan["sources"], KeyRange.partition(number, plan["key_partitions"]), self.rule.bands
        )
        write_bands(self.bands[number], found.signatures, self.rule, plan["band_partitions"])
        publish(self.documents[number], found.columns, {"documents": len(found.bands)})

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """Documents, and their band keys."""
        return [_part(plan["folder"], kind, unit["partition"]) for kind in ("documents", "bands")]

    @staticmethod
    def describe(unit: Unit) -> str:
        """The partition."""
        return f"key partition {unit['partition']}"


class Link(_NearStage):
    """Unit: partition, of the band key."""

    name = "near-link"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Band keys by partition."""
        return dict.fromkeys(self.bands, "")

    def do(self, plan: Plan, unit: Unit) -> None:
        """Link the documents of a partition's buckets."""
        number = unit["partition"]
        if not self.is_done(plan, unit):
            write_edges(
                self.edges[number],
                edges(*read_bands(self.bands, self.rule, plan["band_partitions"], number)),
            )

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """The partition's edges."""
        return [_part(plan["folder"], "edges", unit["partition"])]

    @staticmethod
    def describe(unit: Unit) -> str:
        """The partition."""
        return f"band partition {unit['partition']}"


class Candidates(_NearStage):
    """One unit."""

    name = "near-candidates"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Edges, and whom they join."""
        return dict.fromkeys([*self.edges, *self.documents], "")

    def do(self, plan: Plan, unit: Unit) -> None:
        """List the documents at the ends of edges by segment."""
        if not self.is_done(plan, unit):
            write_candidates(
                self.folder / "candidates", map(read_edges, self.edges), self.documents
            )

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """The list."""
        return [Path(plan["folder"]) / "candidates"]

    @staticmethod
    def describe(unit: Unit) -> str:
        """All of it."""
        return "the documents at the ends of all edges"


class Shingle(_NearStage):
    """Unit: group (its folder below shingles/), reading, ledger, files, segments [[number in the
    plan, number in the group]].
    """

    name = "near-shingle"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Who must be read again."""
        return {self.folder / "candidates": ""}

    def do(self, plan: Plan, unit: Unit) -> None:
        """Read a group's candidates again."""
        if self.is_done(plan, unit):
            return
        (folder,) = self.outputs(plan, unit)
        definition = SourceDefinition.model_validate(plan["definitions"][unit["reading"]])
        files = [InputFile.from_json(file) for file in unit["files"]]
        writer = ShingleWriter(
            self.folder / "candidates", Path(unit["ledger"]), unit["segments"], self.rule
        )
        writer.write(folder, files, definition, planned_steps(plan["quality"][unit["reading"]]))

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """Shingle sets of the group's candidates."""
        return [Path(plan["folder"]) / "shingles" / unit["group"]]

    @staticmethod
    def describe(unit: Unit) -> str:
        """The input files."""
        return named_files(unit["reading"], unit["files"])


class Verify(_NearStage):
    """Unit: partition, of the band key. Plan: shingles, too: the folders."""

    name = "near-verify"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Edges and shingle sets."""
        return dict.fromkeys([*self.edges, *map(Path, plan["shingles"])], "")

    def do(self, plan: Plan, unit: Unit) -> None:
        """Keep the edges of a partition whose documents are alike."""
        if self.is_done(plan, unit):
            return
        number = unit["partition"]
        found = read_edges(self.edges[number])
        sets = read_shingles([Path(folder) for folder in plan["shingles"]], found)
        write_edges(self.verified[number], verified(found, sets, self.rule))

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """The edges that stay."""
        return [_part(plan["folder"], "verified", unit["partition"])]

    @staticmethod
    def describe(unit: Unit) -> str:
        """The partition."""
        return f"band partition {unit['partition']}"


class Reduce(_NearStage):
    """One unit. memory_bytes: what the reduction may take."""

    name = "near-reduce"

    def upstream(self, plan: Plan) -> dict[Path, str]:
        """Edges, and whom they join."""
        return dict.fromkeys([*self.links, *self.documents], "")

    def do(self, plan: Plan, unit: Unit) -> None:
        """Join the edges, and say who gives way to whom, by partition of select."""
        counts = [int(read_done(folder)["documents"]) for folder in self.documents]
        if not is_done(self.folder / "clusters"):
            found = clusters(sum(counts), map(read_edges, self.links), plan["memory_bytes"])
            write_clusters(self.folder / "clusters", found, sum(counts))
        if not is_done(self.folder / "drops"):
            write_drops(
                self.folder / "drops",
                self._drops(read_clusters(self.folder / "clusters"), counts),
                plan["partitions"],
            )

    @staticmethod
    def outputs(plan: Plan, unit: Unit) -> list[Path]:
        """Clusters, and who gives way."""
        return [Path(plan["folder"]) / kind for kind in ("clusters", "drops")]

    @staticmethod
    def describe(unit: Unit) -> str:
        """All of it."""
        return "all edges"

    def _drops(self, found: Clusters, counts: Sequence[int]) -> Drops:
        columns = list(zip(*self._of(found.documents, counts), strict=True))
        source, order_key, digest = (np.concatenate(column) for column in columns)
        return drops(found, source, order_key, digest)

    def _of(
        self, documents: npt.NDArray[Any], counts: Sequence[int]
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Columns source, order_key and digest of some documents, ascending."""
        bounds = np.searchsorted(documents, np.concatenate(([0], np.cumsum(counts))))
        first = 0
        for number, (folder, count) in enumerate(zip(self.documents, counts, strict=True)):
            rows = documents[bounds[number] : bounds[number + 1]].astype(np.int64) - first
            _, (source, order_key, digest) = read_published(
                folder, ("source", "order_key", "digest")
            )
            yield source[rows], order_key[rows], digest[rows]
            first += count
