"""What judges must know of a group's documents, taken in the same reading that ingests them:
columns beside the ledger, by key range.

    terms   of each document of a key range, how many distinct terms of a blocklist it holds (column
            `terms`, in ledger order)
    texts   the texts of those that hold enough (`NNNN.texts.parquet`: order_key, digest, text;
            readable by the owner alone), for a classifier that scores them in a stage of its own
            (pipeline.stages.score); deleted when they are scored
    bands   the band keys of each document (columns `bands` and `exempt`), for near-duplicates
    grams   how many n-grams of evaluation sets each document holds (column `grams`), and of which
            items (columns `hit_*`)

An annotator that comes later reads the texts again and tokenizes nothing. Decisions are not kept: a
threshold may change without a reading.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer

from mixtures.keys import KeyRange
from mixtures.rules.benchmark import Benchmark, EvaluationSet, LoadedBenchmark
from mixtures.rules.filter_definition import BlocklistPin
from mixtures.rules.filter_files import load_terms
from mixtures.rules.near import NearRule
from pipeline.judges.annotators.annotator import BandAnnotator, GramAnnotator, Notes, TermAnnotator
from pipeline.judges.annotators.folding import BATCH_CHARS, Batch
from pipeline.store.records import FolderWriter, Frozen, is_done
from pipeline.store.rules import (
    BandRule,
    GramRule,
    Rule,
    TermRule,
    TextRule,
    folder_name,
)
from pipeline.store.store import Due, RangeRecord, SegmentRange

if TYPE_CHECKING:
    from pipeline.judges.annotators.contamination import ContaminationIndex


class Annotator(Protocol):
    """One way of looking at texts. rules: what it can write a folder of."""

    rules: tuple[Rule, ...]

    def look(self, notes: Notes, batch: Batch) -> None:
        """Note what the texts of the next documents hold."""

    def write(
        self, folder: Path, segment: int, rule: Rule, notes: Notes, rows: npt.NDArray[np.intp]
    ) -> dict[str, int]:
        """Write a segment's part of one rule. rows: intp [num_docs], reading rows of the key
        range's documents, in ledger order. Returns its record.
        """


class PlannedBenchmark(Frozen):
    """An evaluation set of an ingest plan, with the hashes of its files."""

    definition: Annotated[
        Benchmark, PlainSerializer(lambda value: value.model_dump(mode="json", exclude_none=True))
    ]
    folder: Path
    """Of its files."""
    where: str
    """Names the definition in messages."""


class PlannedBlocklist(Frozen):
    """A blocklist of an ingest plan."""

    pin: Annotated[BlocklistPin, PlainSerializer(lambda value: value.model_dump(mode="json"))]
    folder: Path
    """Of the bundle that holds the list."""
    thresholds: tuple[int, ...]
    """Distinct terms from which on texts are kept for a classifier."""


PlannedNearRule = Annotated[
    NearRule, PlainSerializer(lambda value: value.model_dump(mode="json", exclude_none=True))
]


def open_annotators(
    blocklists: Sequence[PlannedBlocklist],
    benchmarks: Sequence[PlannedBenchmark],
    near: NearRule | None,
) -> list[Annotator]:
    """Open what an ingest plan lists.

    Raises: as `load_terms` and `read_benchmark`, if a file is no longer the pinned one.
    """
    opened: list[Annotator] = []
    for planned in blocklists:
        from pipeline.judges.annotators.blocklist import Blocklist

        pin = planned.pin
        terms = TermRule(pin.sha256, pin.mode)
        texts = tuple(TextRule(terms, threshold) for threshold in planned.thresholds)
        opened.append(
            TermAnnotator(Blocklist(load_terms(pin, planned.folder), pin.mode), terms, texts)
        )
    if benchmarks:
        rule = GramRule(tuple(item.definition.identity for item in benchmarks))
        index = opened_index(
            LoadedBenchmark(item.definition, item.folder, item.where) for item in benchmarks
        )
        opened.append(GramAnnotator(index, rule))
    if near:
        opened.append(BandAnnotator(BandRule(near)))
    return opened


def opened_index(benchmarks: Iterable[LoadedBenchmark]) -> ContaminationIndex:
    """The index of evaluation sets, made once a process: who plans a build needs it, too.

    Raises: as `read_benchmark`, if a file is not the pinned one.
    """
    from pipeline.judges.annotators.evaluation_sets import read_benchmark

    return _index_of(tuple(map(read_benchmark, benchmarks)))


@lru_cache(maxsize=1)
def _index_of(sets: tuple[EvaluationSet, ...]) -> ContaminationIndex:
    from pipeline.judges.annotators.contamination import ContaminationIndex

    return ContaminationIndex(sets)


def due(
    folder: Path, wanted: Sequence[Due], annotators: Sequence[Annotator]
) -> list[tuple[Rule, KeyRange]]:
    """What of `wanted` is not published in a group's folder yet."""
    rules = {rule.folders: rule for annotator in annotators for rule in annotator.rules}
    return [
        (rules[item.folders], item.keys)
        for item in wanted
        if not is_done(folder / folder_name(item.folders, item.keys))
    ]


class _Looking:
    """What annotators look at alike: a segment's documents in `ranges`, in the order of reading."""

    def __init__(self, ranges: tuple[KeyRange, ...]) -> None:
        self.ranges = ranges
        self.rows = array("I")
        self.annotators: list[tuple[Annotator, Notes]] = []
        self._texts: list[str] = []
        self._encoded: list[bytes] = []
        self._bytes = 0

    def add(self, row: int, key: int, text: str, encoded: bytes) -> None:
        if any(keys.holds(key) for keys in self.ranges):
            self.rows.append(row)
            self._texts.append(text)
            self._encoded.append(encoded)
            self._bytes += len(encoded)
            if self._bytes >= BATCH_CHARS:
                self.look()

    def look(self) -> None:
        if self._texts:
            batch = Batch(self._texts, self._encoded)
            for annotator, notes in self.annotators:
                annotator.look(notes, batch)
        self._texts, self._encoded, self._bytes = [], [], 0


class SegmentAnnotations:
    """What is noted of one segment's documents while they are read."""

    def __init__(
        self, annotators: Sequence[Annotator], todo: Sequence[tuple[Rule, KeyRange]]
    ) -> None:
        self.noted: dict[str, tuple[Annotator, Notes]] = {}
        looking: dict[tuple[KeyRange, ...], _Looking] = {}
        for annotator in annotators:
            ranges = tuple(dict.fromkeys(keys for rule, keys in todo if rule in annotator.rules))
            if ranges:
                seen = looking.setdefault(ranges, _Looking(ranges))
                seen.annotators.append((annotator, Notes(seen.rows, [], {}, [])))
                self.noted |= dict.fromkeys(
                    (rule.folders for rule in annotator.rules), seen.annotators[-1]
                )
        self._looking = list(looking.values())

    def add(self, row: int, key: int, text: str, encoded: bytes) -> None:
        """Note a document. row: its place in the order of reading; encoded: its text in UTF-8."""
        for item in self._looking:
            item.add(row, key, text, encoded)

    def finish(self) -> None:
        """Note the last documents."""
        for item in self._looking:
            item.look()


class GroupAnnotations:
    """The folders beside a ledger that one reading of a group makes for judges."""

    def __init__(
        self,
        folder: Path,
        annotators: Sequence[Annotator],
        todo: list[tuple[Rule, KeyRange]],
        stack: ExitStack,
    ) -> None:
        self._annotators, self._todo = annotators, todo
        self._writers = [
            stack.enter_context(FolderWriter(folder / folder_name(rule.folders, keys)))
            for rule, keys in todo
        ]
        self._segments: list[list[SegmentRange]] = [[] for _ in todo]

    def segment(self) -> SegmentAnnotations:
        """Notes for the next segment."""
        return SegmentAnnotations(self._annotators, self._todo)

    def write(
        self,
        number: int,
        annotations: SegmentAnnotations,
        columns: dict[str, npt.NDArray[Any]],
        order: npt.NDArray[np.intp],
    ) -> None:
        """Write a finished segment. columns: the ledger's; order: [num_docs], reading rows in
        ledger order.
        """
        annotations.finish()
        ledger = columns["order_key"]
        for (rule, keys), writer, written in zip(
            self._todo, self._writers, self._segments, strict=True
        ):
            annotator, notes = annotations.noted[rule.folders]
            rows = keys.rows(ledger)
            notes.digest, notes.order_key = columns["digest"][rows], ledger[rows]
            counts = annotator.write(writer.path, number, rule, notes, order[rows])
            written.append(
                SegmentRange(first_row=rows.start, documents=rows.stop - rows.start, **counts)
            )

    def publish(self, ledger_digest: str) -> None:
        """Publish all folders. ledger_digest: of the done-record of the ledger that they lie
        beside.
        """
        for writer, written in zip(self._writers, self._segments, strict=True):
            writer.publish(RangeRecord(ledger=ledger_digest, segments=tuple(written)).as_json())
