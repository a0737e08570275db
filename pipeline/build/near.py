"""A search for near-duplicates in a build: its plan, its stages in order, and what select and the
manifest need of it.

Results lie in STORE/near/KEY. KEY hashes what decides them: the rule, and of each source its key
range, its ledgers and its band keys. So ceilings, quotas, filters and sizes share a search, and
every folder is made once; each build verifies what an earlier one left there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mixtures.errors import RecipeError
from mixtures.recipe.near_request import EXCLUDED, NearRequest
from mixtures.recipe.quality.steps import canonical_quality
from mixtures.rules.near import PRESETS
from mixtures.yaml.fields import plain_decimal
from pipeline.executors import Executor, execute
from pipeline.executors.memory import machine_memory
from pipeline.executors.stage import PartitionUnit, StageClass, Unit
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.survey import SourceInputs
from pipeline.report import plural, say
from pipeline.stages.near.clusters import ClustersRecord, check_memory
from pipeline.stages.near.competing import NearSegment, NearSource, ledger_documents
from pipeline.stages.near.edges import num_partitions
from pipeline.stages.near.report import OutlineRecord, ReportRecord, write_report
from pipeline.stages.near.shingles import CandidatesRecord
from pipeline.stages.near.stages import (
    Candidates,
    Link,
    NearPlan,
    Reduce,
    Shingle,
    ShingleUnit,
    Spill,
    Verify,
    WholeUnit,
)
from pipeline.store.records import Record, is_done
from pipeline.store.rules import BandRule, short_key
from pipeline.store.store import RangeRecord, Store
from pipeline.store.trust import Trust

NEAR_FORMAT = 2
# competing documents of a unit, whose band keys are in memory some times over while they are
# spilled
PARTITION_DOCUMENTS = 2_000_000
SORT_BYTES = 1 << 30  # memory in which the band keys of a partition are sorted
MAX_PARTITIONS = 4096
SMALL_EDITS, SEEN = 0.01, 0.9  # a rule sees copies with so small edits if it finds so many of them
WORDS = PRESETS["words"]
SMALL_CLUSTER = 100  # documents of a source: no cluster of so few is refused
TOLD = 3  # of the largest clusters


@dataclass(frozen=True)
class Found:
    """A finished search."""

    drops: Path
    """Folder of the drops."""
    digest: str
    """Of its done-record."""
    clusters: ClustersRecord
    outline: OutlineRecord
    report: ReportRecord | None
    """None where the texts were not read for it."""
    names: tuple[str, ...]
    """Of the sources, by their place in the plan; those of excluded recipes are EXCLUDED."""


def check_clusters(found: Found, near: NearRequest) -> None:
    """Refuse clusters that hold so much of a source that the rule cannot fit it.

    Raises:
        RecipeError: a cluster holds more than the share of a source that the recipe allows.
    """
    for place, most in found.outline.most.items():
        competing, name = found.outline.competing[place], found.names[int(place)]
        if most > SMALL_CLUSTER and most > near.max_cluster * competing:
            raise RecipeError(
                f"near: one cluster holds {most:,} of the {competing:,} documents of {name}, more"
                f" than max_cluster allows (a share of {plain_decimal(near.max_cluster)}), and one"
                f" of them would stay;{_similarities(found)} choose another rule or verify: 0.8, or"
                " raise max_cluster if these are copies"
            )


def tell_clusters(found: Found) -> None:
    """Say how many clusters there are, and what the largest are."""
    record = found.clusters
    say(
        f"near-duplicates: {record.clustered:,} of {plural(record.documents, 'document')} in"
        f" {plural(record.clusters, 'cluster')}"
    )
    for number, cluster in enumerate(found.outline.largest[:TOLD]):
        sources = ", ".join(
            f"{found.names[int(place)]} {count:,}" for place, count in cluster.sources.items()
        )
        say(f"  {cluster.documents:,} documents ({sources}){_similar(found, number)}")


def _similar(found: Found, number: int) -> str:
    pairs = [pair for pair in found.report.pairs if pair[0] == number] if found.report else []
    if not pairs:
        return ""
    least, most = (
        choose(Fraction(shared, max(together, 1)) for _, shared, together in pairs)
        for choose in (min, max)
    )
    span = f"{float(least):.2f}" + ("" if least == most else f" to {float(most):.2f}")
    return f", of Jaccard similarity {span} in {plural(len(pairs), 'pair')}"


def _similarities(found: Found) -> str:
    told = "; ".join(
        f"{cluster.documents:,} documents{_similar(found, number)}"
        for number, cluster in enumerate(found.outline.largest[:TOLD])
    )
    return f" the largest: {told};"


def band_rule(near: NearRequest) -> BandRule:
    """The rule of the band keys that a recipe needs, whatever its threshold."""
    return BandRule(near.rule.model_copy(update={"verify": None}))


def competes(near: NearRequest | None, source: BuildSource) -> bool:
    """Whether near-duplicates are searched among a source's documents."""
    if near is None or source.insert:
        return False
    return near.excluded if source.excluded else near.competes(source.name)


def plan_sources(
    near: NearRequest, sources: Sequence[BuildSource], inputs: Mapping[str, SourceInputs]
) -> tuple[NearSource, ...]:
    """Sources as the stages read them.

    Args:
        sources: in order of priority; inserts, which are the last of them and compete with nothing,
            are left out.
    """
    bands, planned = band_rule(near), []
    for source in sources:
        if source.insert:
            continue
        segments: list[NearSegment] = []
        for group, _ in inputs[source.reading].groups:
            ranges = (
                tuple(item for item in group.ranges(bands) if item.keys.meets(source.keys))
                if competes(near, source)
                else ()
            )
            segments += [
                NearSegment(
                    ledger=group.ledger, digest=group.record.digest, segment=number, bands=ranges
                )
                for number in range(len(group.record.segments))
            ]
        planned.append(
            NearSource(competes=competes(near, source), keys=source.keys, segments=tuple(segments))
        )
    return tuple(planned)


def _decisive(source: NearSource) -> dict[str, object]:
    """What of a planned source decides a search (`ColumnRange.decisive`)."""
    return {
        **source.as_json("segments"),
        "segments": [
            {
                "ledger": segment.digest,
                "segment": segment.segment,
                "bands": [item.decisive() for item in segment.bands],
            }
            for segment in source.segments
        ],
    }


def key_partitions(documents: int) -> int:
    """Units in which so many competing documents are spilled, a power of two. It changes no
    result.
    """
    count = 1
    while count < MAX_PARTITIONS and documents > count * PARTITION_DOCUMENTS:
        count *= 2
    return count


class NearSearch:
    """One search.

    Args:
        sources: all of the build, in order of priority. partitions: of the select stage.
    """

    def __init__(
        self,
        store: Store,
        near: NearRequest,
        sources: Sequence[BuildSource],
        inputs: Mapping[str, SourceInputs],
        *,
        partitions: int,
        executor: Executor,
        trust: Trust,
    ) -> None:
        """Plan it.

        Raises:
            RecipeError: it needs more memory than there is. ManifestError: a record of the store is
                damaged.
        """
        self._rule, self._inputs, self._executor, self._trust = (
            near.effective,
            inputs,
            executor,
            trust,
        )
        planned = plan_sources(near, sources, inputs)
        self._names = tuple(
            EXCLUDED if source.excluded else source.name for source in sources if not source.insert
        )
        decides = {
            "rule": self._rule.identity(),
            "sources": list(map(_decisive, planned)),
            "partitions": partitions,
            "format": NEAR_FORMAT,
        }
        self._key = short_key(decides)
        self.folder, self._store = store.folder / "near" / self._key, store
        documents, memory = ledger_documents(planned), machine_memory()
        check_memory(documents, memory)
        self._plan = NearPlan[Any](
            folder=self.folder,
            rule=self._rule,
            sources=planned,
            key_partitions=key_partitions(documents),
            band_partitions=num_partitions(documents, self._rule, SORT_BYTES),
            partitions=partitions,
            memory_bytes=memory,
            definitions={name: reading.definition for name, reading in inputs.items()},
            quality={name: canonical_quality(item.quality) for name, item in inputs.items()},
        )

    def run(self, *, read: bool = True) -> Found:
        """Do what is not done yet. read: whether texts of the largest clusters are read again, to
        tell how alike they are.

        Raises:
            ManifestError: a folder is missing, damaged or truncated. InputError: texts that must be
                read again have changed.
        """
        segments = [segment for source in self._plan.sources for segment in source.segments]
        self._trust.verify(
            folder
            for segment in segments
            for folder in (segment.ledger, *(item.folder for item in segment.bands))
        )
        self._warn()
        by_band = _partitions(self._plan.band_partitions)
        self._do(Spill, _partitions(self._plan.key_partitions))
        self._do(Link, by_band)
        if self._rule.verify is not None:
            self._do(Candidates, [WholeUnit()])
            folders = self._shingle("candidates", "shingles")
            self._plan = self._plan.model_copy(update={"shingles": tuple(folders)})
            self._do(Verify, by_band)
        self._do(Reduce, [WholeUnit()])
        if read and self._store.writable and not is_done(self.folder / "report"):
            folders = self._shingle("sampled", "sampled-shingles")
            write_report(self.folder / "report", self.folder / "outline", folders)
        return self.found()

    def _shingle(self, candidates: str, sets: str) -> list[Path]:
        """Read candidates again. Returns the folders of their shingle sets."""
        self._plan = self._plan.model_copy(update={"candidates": candidates, "sets": sets})
        units = self._shingle_units()
        self._do(Shingle, units)
        return [folder for unit in units for folder in Shingle.outputs(self._plan, unit)]

    def _warn(self) -> None:
        """Say which share of the text the rule hardly sees: shingles of many characters in scripts
        without spaces between words, where as many characters are several times as many words.
        """
        chance = self._rule.found(SMALL_EDITS, self._rule.unspaced_span)
        if chance >= SEEN:
            return
        for name, source in zip(self._names, self._plan.sources, strict=True):
            folders = {item.folder for segment in source.segments for item in segment.bands}
            parts = [part for folder in folders for part in RangeRecord.read(folder).segments]
            characters, unspaced = (
                sum(getattr(part, field) for part in parts) for field in ("characters", "unspaced")
            )
            if unspaced * 100 >= characters > 0:
                say(
                    f"near-duplicates: {100 * unspaced // characters}% of the characters of {name}"
                    " are of scripts without spaces between words, where a shingle is"
                    f" {self._rule.unspaced_span} characters: of texts with 1% of the characters"
                    f" changed the rule finds {100 * chance:.0f}%; the rule `words` finds"
                    f" {100 * WORDS.found(SMALL_EDITS, WORDS.unspaced_span):.0f}%"
                )

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return Reduce.is_done(self._plan, WholeUnit())

    def found(self) -> Found:
        """What a search that is done has found."""
        return Found(
            self.folder / "drops",
            Record.read(self.folder / "drops").digest,
            ClustersRecord.read(self.folder / "clusters"),
            OutlineRecord.read(self.folder / "outline"),
            ReportRecord.read(report) if is_done(report := self.folder / "report") else None,
            self._names,
        )

    def _do(self, stage: StageClass, units: Sequence[Unit]) -> None:
        folders = [folder for unit in units for folder in stage.outputs(self._plan, unit)]
        self._trust.verify(filter(is_done, folders))
        todo = [unit for unit in units if not stage.is_done(self._plan, unit)]
        if todo:
            self._store.require_writable("a search for near-duplicates as this mix has it")
        if stage is Shingle and todo:
            why = "for verification" if self._plan.sets == "shingles" else "to look at clusters"
            say(
                f"near-duplicates: {plural(len(todo), 'group')} of input files to read again, {why}"
            )
        execute(
            self._executor,
            stage,
            self._plan.having(todo),
            self._store.work_folder
            / (
                f"{stage.name}-{self._key}"
                + ("-sampled" if stage is Shingle and self._plan.sets != "shingles" else "")
            ),
        )
        self._trust.add(folders)

    def _shingle_units(self) -> list[ShingleUnit]:
        """Units of the groups that hold candidates."""
        wanted = set(CandidatesRecord.read(self.folder / self._plan.candidates).segments)
        segments: dict[Path, list[tuple[int, int]]] = {}
        for number, segment in enumerate(
            segment for source in self._plan.sources for segment in source.segments
        ):
            if number in wanted:
                segments.setdefault(segment.ledger, []).append((number, segment.segment))
        return [
            ShingleUnit(
                group=f"{group.folder.parent.name}-{group.folder.name}",
                reading=reading,
                ledger=group.ledger,
                files=tuple(files),
                segments=tuple(segments[group.ledger]),
            )
            for reading, source in self._inputs.items()
            for group, files in source.groups
            if group.ledger in segments
        ]


def _partitions(count: int) -> list[PartitionUnit]:
    return [PartitionUnit(partition=number) for number in range(count)]
