"""What filters must know of a group's documents, taken in the same reading that ingests them: columns beside the ledger, by key range.

    terms   of each document of a key range, how many distinct terms of a blocklist it holds (column `terms`, in ledger order)
    texts   the texts of those that hold enough (`NNNN.texts.parquet`: order_key, digest, text; readable by the owner alone), for a
            classifier that scores them in a stage of its own (pipeline.score); deleted when they are scored
    bands   the band keys of each document of a key range (columns `bands` and `exempt`, in ledger order), for near-duplicates

An annotator that comes later reads the texts again and tokenizes nothing. Decisions are not kept: a threshold may change without a reading.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.filters import BlocklistPin, load_terms
from mixtures.keys import KEY_SPACE, KeyRange
from pipeline.blocklist import Blocklist
from pipeline.columns import write_column
from pipeline.near.notes import BandNotes
from pipeline.near.signatures import Signatures
from pipeline.records import FolderWriter, is_done
from pipeline.segments import prefix
from pipeline.stage import Plan, Unit
from pipeline.store import BandRule, Rule, TermRule, TextRule, range_folder

COUNT_BYTES = 1 << 20  # text whose terms are counted in one call
ROW_GROUP = 1024  # texts of a row group, so that a key range is found without reading all
TEXTS = pa.schema([("order_key", pa.uint64()), ("digest", pa.binary(16)), ("text", pa.large_string())])


@dataclass(frozen=True)
class OpenBlocklist:
    """A blocklist of a plan, with the rules that use it: of its counts, and of the texts that are escalated by them."""

    blocklist: Blocklist
    terms: TermRule
    texts: tuple[TextRule, ...]


def open_blocklists(plan: Plan) -> list[OpenBlocklist]:
    """Open the blocklists of an ingest plan: [{pin, folder, thresholds}].

    Raises: as `load_terms`, if a list is no longer the pinned one.
    """
    opened = []
    for given in plan["blocklists"]:
        pin = BlocklistPin.model_validate(given["pin"])
        rule = TermRule(pin.sha256, pin.mode)
        texts = tuple(TextRule(rule, threshold) for threshold in given["thresholds"])
        opened.append(OpenBlocklist(Blocklist(load_terms(pin, Path(given["folder"])), pin.mode), rule, texts))
    return opened


def due(unit: Unit, blocklists: Sequence[OpenBlocklist], bands: BandRule | None) -> list[tuple[Rule, KeyRange]]:
    """What a unit must still publish of terms, texts and band keys."""
    rules: dict[str, Rule] = {bands.folders: bands} if bands else {}
    for item in blocklists:
        rules |= {item.terms.folders: item.terms, **{text.folders: text for text in item.texts}}
    wanted = [(rules[folders], (int(low, 16), int(high, 16))) for folders, low, high in unit["annotations"]]
    return [(rule, keys) for rule, keys in wanted if not is_done(Path(unit["folder"]) / range_folder(rule, keys))]


@dataclass
class _Counting:
    """One blocklist's part of a segment: counts of the documents in `ranges`, and texts by rule."""

    opened: OpenBlocklist
    ranges: list[KeyRange]
    text_ranges: dict[TextRule, list[KeyRange]]
    rows: array[int] = field(default_factory=lambda: array("I"))
    counts: list[npt.NDArray[np.uint16]] = field(default_factory=list)
    kept: dict[TextRule, dict[int, str]] = field(default_factory=dict)
    pending: list[tuple[int, str]] = field(default_factory=list)  # (order key, text)
    pending_bytes: int = 0

    def add(self, row: int, key: int, text: str) -> None:
        if any(low <= key < high for low, high in self.ranges):
            self.rows.append(row)
            self.pending.append((key, text))
            self.pending_bytes += len(text)
            if self.pending_bytes >= COUNT_BYTES:
                self.count()

    def count(self) -> None:
        if not self.pending:
            return
        counts = self.opened.blocklist.count([text for _, text in self.pending])
        first = len(self.rows) - len(self.pending)
        for rule, ranges in self.text_ranges.items():
            kept = self.kept.setdefault(rule, {})
            for index in np.flatnonzero(counts >= rule.threshold).tolist():
                key, text = self.pending[index]
                if any(low <= key < high for low, high in ranges):
                    kept[self.rows[first + index]] = text
        self.counts.append(counts)
        self.pending, self.pending_bytes = [], 0


class SegmentAnnotations:
    """What is noted of one segment's documents while they are read."""

    def __init__(self, blocklists: Sequence[OpenBlocklist], todo: Sequence[tuple[Rule, KeyRange]]) -> None:
        self._counting = []
        for item in blocklists:
            texts = {rule: [keys for other, keys in todo if other == rule] for rule in item.texts}
            ranges = [keys for other, keys in todo if other == item.terms or other in item.texts]
            if ranges:
                self._counting.append(_Counting(item, ranges, {rule: keys for rule, keys in texts.items() if keys}))
        banded = [(rule, keys) for rule, keys in todo if isinstance(rule, BandRule)]  # of one rule: a plan has no more
        self._bands = [BandNotes(banded[0][0].near, [keys for _, keys in banded])] if banded else []

    def add(self, row: int, key: int, text: str) -> None:
        """Note a document. row: its place in the order of reading."""
        for counting in self._counting:
            counting.add(row, key, text)
        for notes in self._bands:
            notes.add(row, key, text)

    def bands(self, order: npt.NDArray[np.intp]) -> Signatures:
        """Band keys of all documents in ledger order. order: as in `terms`."""
        return self._bands[0].columns(order)

    def terms(self, rule: TermRule, order: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
        """Counts of all documents in ledger order, 0 where none was asked for. order: [num_docs], reading rows in ledger order."""
        counting = next(item for item in self._counting if item.opened.terms == rule)
        counting.count()
        counts = np.zeros(len(order), np.uint16)
        if counting.counts:
            counts[np.frombuffer(counting.rows, np.uint32)] = np.concatenate(counting.counts)
        return counts[order]

    def texts(self, rule: TextRule) -> dict[int, str]:
        """Escalated texts by reading row."""
        counting = next(item for item in self._counting if item.opened.terms == rule.terms)
        counting.count()
        return counting.kept.get(rule, {})


class GroupAnnotations:
    """The folders of terms, texts and band keys that one reading of a group makes."""

    def __init__(self, folder: Path, blocklists: Sequence[OpenBlocklist], todo: list[tuple[Rule, KeyRange]], stack: ExitStack) -> None:
        self._blocklists, self._todo = blocklists, todo
        self._writers = [stack.enter_context(FolderWriter(folder / range_folder(rule, keys))) for rule, keys in todo]
        self._segments: list[list[dict[str, int]]] = [[] for _ in todo]

    def segment(self) -> SegmentAnnotations:
        """Notes for the next segment."""
        return SegmentAnnotations(self._blocklists, self._todo)

    def write(self, number: int, notes: SegmentAnnotations, columns: dict[str, npt.NDArray[Any]], order: npt.NDArray[np.intp]) -> None:
        """Write a finished segment's terms, texts and band keys. columns: the ledger's; order: [num_docs], reading rows in ledger order."""
        for (rule, keys), writer, written in zip(self._todo, self._writers, self._segments, strict=True):
            ledger = columns["order_key"]
            first, last = (len(ledger) if key >= KEY_SPACE else int(np.searchsorted(ledger, np.uint64(key))) for key in keys)
            if isinstance(rule, TermRule):
                write_column(writer.path, "terms", notes.terms(rule, order)[first:last], prefix(number))
                written.append({"first_row": first, "documents": last - first})
            elif isinstance(rule, BandRule):
                made = notes.bands(order)
                write_column(writer.path, "bands", made.bands[first:last], prefix(number))
                write_column(writer.path, "exempt", made.exempt[first:last], prefix(number))
                written.append({"first_row": first, "documents": last - first})
            elif isinstance(rule, TextRule):
                texts = notes.texts(rule)
                rows = [at for at in range(first, last) if int(order[at]) in texts] if texts else []
                path = writer.path / f"{prefix(number)}texts.parquet"
                _write_texts(path, columns, rows, [texts[int(order[at])] for at in rows])
                written.append({"documents": len(rows), "bytes": sum(len(texts[int(order[at])].encode()) for at in rows)})

    def publish(self, ledger_digest: str) -> None:
        """Publish all folders. ledger_digest: of the done-record of the ledger that they lie beside."""
        for writer, written in zip(self._writers, self._segments, strict=True):
            writer.publish({"ledger": ledger_digest, "segments": written})


def _write_texts(path: Path, columns: dict[str, npt.NDArray[Any]], rows: list[int], texts: list[str]) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    digests = np.ascontiguousarray(columns["digest"][rows]).astype(">u8").tobytes()
    arrays = [
        pa.array(columns["order_key"][rows], pa.uint64()),
        pa.array([digests[at : at + 16] for at in range(0, len(digests), 16)], pa.binary(16)),
        pa.array(texts, pa.large_string()),
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=TEXTS), path, row_group_size=ROW_GROUP, compression="zstd")
