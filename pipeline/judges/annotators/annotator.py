"""The annotators: what is looked for in each text, and the columns that hold what was found
(`pipeline.judges.annotators.reading` says which).
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.judges.annotators.bands import signatures
from pipeline.judges.annotators.folding import Batch
from pipeline.store.columns import prefix, write_column
from pipeline.store.rules import BandRule, GramRule, Rule, TermRule, TextRule

if TYPE_CHECKING:
    from pipeline.judges.annotators.blocklist import Blocklist
    from pipeline.judges.annotators.contamination import ContaminationIndex

ROW_GROUP = 1024  # texts of a row group, so that a key range is found without reading all
TEXTS = pa.schema(
    [("order_key", pa.uint64()), ("digest", pa.binary(16)), ("text", pa.large_string())]
)


@dataclass
class Notes:
    """What an annotator noted of one segment, in the order of reading. A reading row is a
    document's place in that order.
    """

    rows: array[int]
    """uint32, reading rows of the documents that are looked at."""
    counts: list[npt.NDArray[Any]]
    """One array a call of `look`, a number (or a row of numbers) for each of its documents."""
    texts: dict[int, tuple[int, str]]
    """Count and text of those that are kept, by reading row."""
    hits: list[npt.NDArray[np.int64]]
    """int64 [3, num_hits] a call: reading row, item, n-grams of the item in the document."""
    order_key: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    """uint64 [num_docs], of the key range that is written next, in ledger order."""
    digest: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    """uint64 [num_docs, 2], of the same documents."""
    seen: int = 0
    """Documents that `next_rows` has given out."""

    def next_rows(self, count: int) -> npt.NDArray[np.uint32]:
        """Reading rows of the next `count` documents: uint32 [count]."""
        self.seen += count
        return np.array(self.rows[self.seen - count : self.seen], np.uint32)

    def in_order(self, rows: npt.NDArray[np.intp], none: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Counts [num_rows, ...] of the documents with these reading rows, which were all looked
        at. none: the counts of no document.
        """
        places = np.zeros(int(max(self.rows, default=-1)) + 1, np.intp)
        places[np.frombuffer(self.rows, np.uint32)] = np.arange(len(self.rows))
        return np.concatenate([none, *self.counts])[places[rows]]


class TermAnnotator:
    """Counts the distinct terms of a blocklist, and keeps the texts that hold enough of them for a
    classifier.
    """

    def __init__(self, blocklist: Blocklist, terms: TermRule, texts: tuple[TextRule, ...]) -> None:
        self._blocklist, self._terms, self._texts = blocklist, terms, texts
        self.rules: tuple[Rule, ...] = (terms, *texts)

    def look(self, notes: Notes, batch: Batch) -> None:
        """Count, and keep what the lowest threshold escalates."""
        counts, rows = self._blocklist.count_batch(batch), notes.next_rows(len(batch))
        if self._texts:
            lowest = min(rule.threshold for rule in self._texts)
            for index in np.flatnonzero(counts >= lowest).tolist():
                notes.texts[int(rows[index])] = (int(counts[index]), batch.texts[index])
        notes.counts.append(counts)

    def write(
        self, folder: Path, segment: int, rule: Rule, notes: Notes, rows: npt.NDArray[np.intp]
    ) -> dict[str, int]:
        """Write the column, or the texts. rows: intp [num_docs], as `Annotator.write`."""
        if isinstance(rule, TextRule):
            return self._write_texts(folder / f"{prefix(segment)}texts.parquet", rule, notes, rows)
        write_column(folder, "terms", notes.in_order(rows, np.empty(0, np.uint16)), prefix(segment))
        return {}

    def _write_texts(
        self, path: Path, rule: TextRule, notes: Notes, rows: npt.NDArray[np.intp]
    ) -> dict[str, int]:
        """Write the texts that reach the rule's threshold. rows: intp [num_docs], as
        `Annotator.write`.
        """
        kept = [
            (at, notes.texts[row][1])
            for at, row in enumerate(rows.tolist())
            if notes.texts.get(row, (0,))[0] >= rule.threshold
        ]
        places, texts = [at for at, _ in kept], [text for _, text in kept]
        digests = np.ascontiguousarray(notes.digest[places]).astype(">u8").tobytes()
        arrays = [
            pa.array(notes.order_key[places], pa.uint64()),
            pa.array([digests[at : at + 16] for at in range(0, len(digests), 16)], pa.binary(16)),
            pa.array(texts, pa.large_string()),
        ]
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        pq.write_table(
            pa.Table.from_arrays(arrays, schema=TEXTS),
            path,
            row_group_size=ROW_GROUP,
            compression="zstd",
        )
        return {"texts": len(texts), "bytes": sum(len(text.encode()) for text in texts)}


class GramAnnotator:
    """Counts the n-grams of evaluation sets, and notes whose items they are."""

    def __init__(self, index: ContaminationIndex, rule: GramRule) -> None:
        self._index = index
        self.rules: tuple[Rule, ...] = (rule,)

    def look(self, notes: Notes, batch: Batch) -> None:
        """Count, and note the items."""
        matches, rows = self._index.annotate_batch(batch), notes.next_rows(len(batch))
        notes.counts.append(matches.counts)
        notes.hits.append(
            np.stack([rows[matches.documents].astype(np.int64), matches.items, matches.held])
        )

    def write(
        self, folder: Path, segment: int, rule: Rule, notes: Notes, rows: npt.NDArray[np.intp]
    ) -> dict[str, int]:
        """Write the columns; hits in ledger order, then by item. rows: intp [num_docs], as
        `Annotator.write`.
        """
        write_column(folder, "grams", notes.in_order(rows, np.empty(0, np.uint32)), prefix(segment))
        hits = np.concatenate([np.empty((3, 0), np.int64), *notes.hits], axis=1)
        places = {row: at for at, row in enumerate(rows.tolist())} if hits.size else {}
        at = np.array([places.get(row, -1) for row in hits[0].tolist()], np.int64)
        within = np.flatnonzero(at >= 0)  # of this key range; the reading may have others
        within = within[np.lexsort((hits[1][within], at[within]))]
        for name, values in (("hit_row", at), ("hit_item", hits[1]), ("hit_found", hits[2])):
            write_column(folder, name, values[within], prefix(segment))
        return {"hits": len(within)}


class BandAnnotator:
    """Computes the band keys of a near-duplicate rule."""

    def __init__(self, rule: BandRule) -> None:
        self._near = rule.near
        self.rules: tuple[Rule, ...] = (rule,)

    def look(self, notes: Notes, batch: Batch) -> None:
        """Note band keys and, in three last columns, whether a text is exempt, its characters, and
        those of scripts without spaces.
        """
        made = signatures(batch, self._near)
        notes.counts.append(
            np.concatenate(
                [made.bands, made.exempt[:, None].astype(np.uint64), made.points], axis=1
            )
        )

    def write(
        self, folder: Path, segment: int, rule: Rule, notes: Notes, rows: npt.NDArray[np.intp]
    ) -> dict[str, int]:
        """Write the columns. rows: intp [num_docs], as `Annotator.write`."""
        columns = notes.in_order(rows, np.empty((0, self._near.bands + 3), np.uint64))
        write_column(folder, "bands", columns[:, :-3], prefix(segment))
        write_column(folder, "exempt", columns[:, -3], prefix(segment))
        characters, unspaced = columns[:, -2:].sum(axis=0).tolist()
        return {"characters": int(characters), "unspaced": int(unspaced)}
