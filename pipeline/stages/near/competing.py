"""The documents among which near-duplicates are searched: exact survivors that are long enough, of
the sources that take part.

One key partition at a time, as select does: equal texts have equal keys, so all copies of a
document meet there, those of excluded recipes and of sources that take no part included. Documents
are counted partition by partition, by (order_key, digest) in each, so that neither groups of files
nor tasks have a say in their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.keys import KeyRange, sort_order
from pipeline.judges.annotators.kernel_arrays import Signatures
from pipeline.stages.gathering import common_rows
from pipeline.store.columns import prefix, read_column
from pipeline.store.records import Frozen
from pipeline.store.store import PlannedKeys, PlannedRange

U64 = npt.NDArray[np.uint64]
COLUMNS = ("order_key", "digest", "source", "segment", "ledger_row")


@dataclass(frozen=True)
class Competing:
    """Competing documents of a key partition, by (order_key, digest). columns: those of COLUMNS,
    [num_docs] each (digest [num_docs, 2]).
    """

    columns: dict[str, npt.NDArray[Any]]
    bands: U64

    @property
    def signatures(self) -> Signatures:
        """Their band keys; none of them is exempt."""
        return Signatures(
            self.bands,
            np.zeros(len(self.bands), np.bool_),
            np.zeros((len(self.bands), 2), np.uint64),
        )


class NearSegment(Frozen):
    """A ledger segment as the stages of a search read it."""

    ledger: Path
    digest: str
    """Of the ledger's done-record."""
    segment: int
    """Number of the segment in the ledger."""
    bands: tuple[PlannedRange, ...]


class NearSource(Frozen):
    """A source as the stages of a search read it."""

    competes: bool
    keys: PlannedKeys
    segments: tuple[NearSegment, ...]


def ledger_documents(sources: Sequence[NearSource]) -> int:
    """Documents in the key ranges of the sources that take part, copies and short ones included."""
    count = 0
    for source in sources:
        for segment in source.segments if source.competes else ():
            rows = source.keys.rows(
                read_column(segment.ledger, "order_key", prefix(segment.segment))
            )
            count += rows.stop - rows.start
    return count


def competing(sources: Sequence[NearSource], partition: KeyRange, num_bands: int) -> Competing:
    """Gather those of a key partition.

    Args:
        sources: of a plan, in order of priority (`pipeline.build.near.plan_sources`).

    Raises:
        ManifestError: the band keys of a part of the key range are missing.
    """
    found = _survivors(sources, partition)
    competes = np.array([source.competes for source in sources], np.bool_)
    found = {name: values[competes[found["source"]]] for name, values in found.items()}
    bands, exempt = (
        np.empty((len(found["order_key"]), num_bands), np.uint64),
        np.ones(len(found["order_key"]), np.bool_),
    )
    segments = [(source, segment) for source in sources for segment in source.segments]
    by_segment = np.argsort(found["segment"], kind="stable")
    bounds = np.searchsorted(found["segment"][by_segment], np.arange(len(segments) + 1))
    for number, (source, segment) in enumerate(segments):
        rows = by_segment[bounds[number] : bounds[number + 1]]
        if len(rows):
            keys = source.keys.common(partition)
            bands[rows], exempt[rows] = _band_rows(
                segment, keys, found["ledger_row"][rows], num_bands
            )
    return Competing({name: values[~exempt] for name, values in found.items()}, bands[~exempt])


def _survivors(sources: Sequence[NearSource], partition: KeyRange) -> dict[str, npt.NDArray[Any]]:
    """The first copy of each text of a partition, by source, segment and row: the columns COLUMNS,
    each [num_docs].
    """
    pieces: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in COLUMNS}
    number = 0
    for place, source in enumerate(sources):
        keys = source.keys.common(partition)
        for segment in source.segments:
            if keys.width > 0:
                folder, head = segment.ledger, prefix(segment.segment)
                ledger_keys = read_column(folder, "order_key", head)
                rows = keys.rows(ledger_keys)
                ledger_rows = np.arange(rows.start, rows.stop, dtype=np.uint32)
                pieces["order_key"].append(ledger_keys[rows])
                pieces["digest"].append(read_column(folder, "digest", head)[rows])
                pieces["source"].append(np.full(len(ledger_rows), place, np.uint16))
                pieces["segment"].append(np.full(len(ledger_rows), number, np.uint32))
                pieces["ledger_row"].append(ledger_rows)
            number += 1
    empty = {
        "order_key": np.uint64,
        "digest": np.uint64,
        "source": np.uint16,
        "segment": np.uint32,
        "ledger_row": np.uint32,
    }
    found: dict[str, npt.NDArray[Any]] = {}
    for name, dtype in empty.items():
        none = np.empty((0, 2) if name == "digest" else 0, dtype)
        found[name] = np.concatenate(
            [none, *(piece.astype(dtype, copy=False) for piece in pieces[name])]
        )
    order = sort_order(
        found["order_key"], found["digest"], found["source"], found["segment"], found["ledger_row"]
    )
    digest = found["digest"][order]
    first_copy = np.ones(len(order), np.bool_)
    first_copy[1:] = (digest[1:] != digest[:-1]).any(axis=1)
    return {name: values[order[first_copy]] for name, values in found.items()}


def _band_rows(
    segment: NearSegment, keys: KeyRange, rows: npt.NDArray[Any], num_bands: int
) -> tuple[U64, npt.NDArray[np.bool_]]:
    """Band keys of some ledger rows of a segment (uint64 [num_rows, num_bands]), and whether they
    are exempt (bool [num_rows]). rows: integer [num_rows], ledger rows within `keys`.
    """
    head = prefix(segment.segment)
    ledger_keys = read_column(segment.ledger, "order_key", head)
    if keys.minus(item.keys for item in segment.bands):
        raise ManifestError(
            f"{segment.ledger}: documents that are searched for near-duplicates lack band keys;"
            " delete its group"
        )
    first = keys.rows(ledger_keys).start
    bands, exempt = np.empty((len(rows), num_bands), np.uint64), np.ones(len(rows), np.bool_)
    for stored in segment.bands:
        here, there = common_rows(ledger_keys, keys, stored.keys)
        mine = np.flatnonzero((rows >= first + here.start) & (rows < first + here.stop))
        places = rows[mine].astype(np.int64) - (first + here.start) + there.start
        bands[mine] = read_column(stored.folder, "bands", head).reshape(-1, num_bands)[places]
        exempt[mine] = read_column(stored.folder, "exempt", head)[places] != 0
    return bands, exempt
