"""Ingest: read every source once; hash every document; tokenize those whose order key the plan asks
for.

A unit is a group of input files. Its ledger holds every document that the group holds, whatever the
recipe; its tokens those of the key ranges of the plan, and likewise what filters must know
(pipeline.judges.annotators.reading). A group that is read again for more must give the same
documents, or the build fails.

Every row that was read is a document of the ledger or is counted under one reason: not selected by
`where`, empty, quarantined, or dropped by a quality step of the source.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer

from mixtures.errors import AnnealmixError, InputError
from mixtures.keys import KeyRange
from mixtures.plan.cost import WORKER_BYTES_OF_TEXT
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from pipeline.executors.stage import Plan, Stage, Unit
from pipeline.inputs.file import InputFile, named_files
from pipeline.inputs.quality.quality import QualitySteps, planned_steps
from pipeline.inputs.readers import DocumentReader, Quarantined
from pipeline.judges.annotators.reading import (
    GroupAnnotations,
    PlannedBenchmark,
    PlannedBlocklist,
    PlannedNearRule,
    due,
    open_annotators,
)
from pipeline.stages.segments import MAX_ROWS, SegmentBuilder
from pipeline.store.records import FolderWriter, Frozen, Record, canonical_json, is_done
from pipeline.store.rules import folder_name
from pipeline.store.store import LedgerRecord, PlannedDue, PlannedKeys, RangeRecord, SegmentRange
from pipeline.tokens.engines import NumTokens
from pipeline.tokens.loaded import loaded_tokenizer
from pipeline.tokens.tokenizer import SpecialTokens, Tokenizer

# training text of a segment: about 128M tokens, 256 MB while it is sorted
SEGMENT_BYTES = 512 << 20
# input files, packed or not, that one process reads before another has loaded libraries and
# tokenizer
WORKER_BYTES = 2 << 20
QUARANTINE = "quarantine.jsonl"


class IngestUnit(Unit):
    """A group of input files, and what a reading of them must leave."""

    source: str
    """The reading: the definition under its quality steps."""
    folder: Path
    """Of the group."""
    files: tuple[InputFile, ...]
    ranges: tuple[PlannedKeys, ...]
    """What is to be tokenized; the ranges are disjoint."""
    annotations: tuple[PlannedDue, ...]
    segment_bytes: int


class PlannedTokenizer(Frozen):
    """The tokenizer of an ingest."""

    path: Path | None
    """None: no unit tokenizes."""
    sha256: str | None = None
    """Of the file's bytes, which the planner has compared with the definition: see `prove`."""
    definition: Annotated[
        TokenizerDefinition, PlainSerializer(lambda value: value.model_dump(mode="json"))
    ]
    special_tokens: SpecialTokens
    folders: str
    """Of its TokenRule."""

    def loaded(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            InputError, ManifestError, RecipeError: as `Tokenizer`.
        """
        assert self.path is not None
        return loaded_tokenizer(self.path, self.definition, self.special_tokens, proven=self.sha256)


class IngestPlan(Plan[IngestUnit]):
    """What an ingest must know."""

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
    tokenizer: PlannedTokenizer
    blocklists: tuple[PlannedBlocklist, ...]
    benchmarks: tuple[PlannedBenchmark, ...]
    near: PlannedNearRule | None
    """The rule whose band keys are noted."""


class Ingest(Stage[IngestPlan, IngestUnit]):
    """Reads groups of input files."""

    name = "ingest"
    plan_type = IngestPlan
    task_bytes = WORKER_BYTES_OF_TEXT

    def prepare(self, plan: IngestPlan) -> None:
        """Load the tokenizer and open the annotators."""
        self._tokenizer = plan.tokenizer.loaded() if plan.tokenizer.path else None
        self._annotators = open_annotators(plan.blocklists, plan.benchmarks, plan.near)

    def do(self, plan: IngestPlan, unit: IngestUnit) -> None:
        """Read one group."""
        if self.is_done(plan, unit):
            return
        folder = unit.folder
        todo = {
            keys: path for keys, path in _token_folders(plan, unit).items() if not is_done(path)
        }
        annotations = due(folder, unit.annotations, self._annotators)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            notes = GroupAnnotations(folder, self._annotators, annotations, stack)
            reading = _GroupReading(
                unit,
                definition=plan.definitions[unit.source],
                quality=planned_steps(plan.quality[unit.source]),
                tokens=todo,
                tokenizer=self._tokenizer,
                notes=notes,
                stack=stack,
            )
            reading.read()
            reading.publish()

    @classmethod
    def useful_workers(cls, plan: IngestPlan) -> int:
        """As many as the size of the files keeps busy; all, if that is not known, or quality steps
        take seconds a megabyte.
        """
        sizes = [file.size for unit in plan.units for file in unit.files]
        if any(plan.quality.values()) or not all(sizes):
            return len(plan.units)
        return 1 + sum(sizes) // WORKER_BYTES

    @staticmethod
    def outputs(plan: IngestPlan, unit: IngestUnit) -> list[Path]:
        """Ledger, tokens and what annotators note."""
        noted = [unit.folder / folder_name(item.folders, item.keys) for item in unit.annotations]
        return [unit.folder / "ledger", *_token_folders(plan, unit).values(), *noted]

    @staticmethod
    def describe(unit: IngestUnit) -> str:
        """The input files."""
        return named_files(unit.source, unit.files)


def _token_folders(plan: IngestPlan, unit: IngestUnit) -> dict[KeyRange, Path]:
    """Where the tokens of each key range of a unit belong."""
    return {keys: unit.folder / folder_name(plan.tokenizer.folders, keys) for keys in unit.ranges}


@dataclass(frozen=True)
class EngineInUse:
    """What is said of the library that makes the ids, as by `Tokenizer`."""

    speed: str
    fallback_reason: str


def count_tokens(planned: PlannedTokenizer, texts: list[str]) -> tuple[NumTokens, EngineInUse]:
    """In a worker, which has the engine: how many tokens texts have, int64 [num_texts], and which
    engine says so.
    """
    tokenizer = planned.loaded()
    return tokenizer.count(texts), EngineInUse(tokenizer.speed, tokenizer.fallback_reason)


def read_quarantine(ledger: Path) -> Iterator[Quarantined]:
    """The quarantined rows of a ledger, in the order of reading."""
    with (ledger / QUARANTINE).open("rb") as lines:
        for line in lines:
            yield Quarantined(**json.loads(line))


class _GroupReading:
    """One pass over a group's files.

    Args:
        tokens: folders of the key ranges whose tokens are to be written. notes: what annotators are
            to note. stack: closes the folders that are written.
    """

    def __init__(
        self,
        unit: IngestUnit,
        *,
        definition: SourceDefinition,
        quality: QualitySteps | None,
        tokens: Mapping[KeyRange, Path],
        tokenizer: Tokenizer | None,
        notes: GroupAnnotations,
        stack: ExitStack,
    ) -> None:
        self.unit, self.definition, self.quality = unit, definition, quality
        self.ranges, self.tokenizer, self.notes = list(tokens), tokenizer, notes
        self.ledger = unit.folder / "ledger"
        self.known = LedgerRecord.read(self.ledger) if is_done(self.ledger) else None
        self.new_ledger = None if self.known else stack.enter_context(FolderWriter(self.ledger))
        self.token_folders = [stack.enter_context(FolderWriter(path)) for path in tokens.values()]
        self.builder = SegmentBuilder(self.ranges, tokenizer, notes.segment())
        self.segments: list[int] = []
        self.token_segments: list[list[SegmentRange]] = [[] for _ in tokens]
        self.special_strings: list[int] = []
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.quarantined: list[Quarantined] = []
        self.inputs: list[InputFile] = []

    def read(self) -> None:
        """Read all files into segments."""
        for index, file in enumerate(self.unit.files):
            reader = DocumentReader(file, self.definition, quality=self.quality)
            add = self.builder.add
            for row, text in reader:
                add(index, row, text)
                if self.builder.num_bytes >= self.unit.segment_bytes:
                    self._end_segment()
                    add = self.builder.add
            self.counts.update(reader.counts)
            if reader.counts["rows"] >= MAX_ROWS:
                raise InputError(
                    f"{file.url}: {reader.counts['rows']:,} rows, at most {MAX_ROWS:,} a file can"
                    " be counted; split the file"
                )
            self.quarantined += reader.quarantined
            self.inputs.append(replace(file, size=reader.size, sha256=reader.sha256))
        self._end_segment()

    def _end_segment(self) -> None:
        if len(self.builder) == 0:
            return
        segment, number = self.builder.finish(), len(self.segments)
        self.notes.write(number, self.builder.notes, segment.columns, segment.order)
        self.special_strings += self.builder.special_strings
        self.builder = SegmentBuilder(self.ranges, self.tokenizer, self.notes.segment())
        if self.new_ledger:
            segment.write_ledger(self.new_ledger.path, number)
        else:
            segment.check_ledger(self.ledger, number)
        self.segments.append(len(segment.num_tokens))
        for keys, writer, written in zip(
            self.ranges, self.token_folders, self.token_segments, strict=True
        ):
            written.append(segment.write_tokens(writer.path, number, keys))

    def publish(self) -> None:
        """Check that nothing was lost and publish the ledger, then the tokens."""
        if sum(self.segments) != self.counts["documents"]:
            raise AnnealmixError(
                f"{self.ledger}: {self.counts['documents']:,} documents were read,"
                f" {sum(self.segments):,} reached the ledger"
            )
        self.reasons.update(item.reason for item in self.quarantined)
        if self.new_ledger:
            record = LedgerRecord(
                source=self.definition.name,
                inputs=tuple(asdict(file) for file in self.inputs),
                segments=tuple(self.segments),
                segment_bytes=self.unit.segment_bytes,
                counts=dict(self.counts),
                quarantined=dict(self.reasons),
            )
            if self.quality:
                record = record.model_copy(update={"quality": self.quality.record()})
            lines = b"".join(canonical_json(item._asdict()) + b"\n" for item in self.quarantined)
            path = self.new_ledger.path / QUARANTINE
            path.touch(mode=0o600)
            path.write_bytes(lines)
            self.new_ledger.publish(record.as_json())
        elif self.known and [file["sha256"] for file in self.known.inputs] != [
            file.sha256 for file in self.inputs
        ]:
            raise InputError(
                f"{self.ledger}: the input files are not those that were first read; restore them,"
                " or delete this group of the store"
            )
        ledger = Record.read(self.ledger).digest
        for keys, writer, written in zip(
            self.ranges, self.token_folders, self.token_segments, strict=True
        ):
            tokens = RangeRecord(
                ledger=ledger,
                segments=tuple(written),
                documents_with_eod_text=sum(map(keys.holds, self.special_strings)),
            )
            writer.publish(tokens.as_json())
        self.notes.publish(ledger)
