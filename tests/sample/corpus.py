"""What the sample holds before it is packed: files of records, and what was planted in them.

A record is one row as a JSON object, or raw bytes where the row is damaged on purpose. Rows are
counted from 0: lines of a JSON-lines file, rows of a parquet file, members of a zip archive in name
order. Row numbers are known only when everything has been planted, so a plant points at records,
and `Corpus.planted` turns that into files and rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.sample.prose import Draw


@dataclass(eq=False)
class Record:
    """One row: `value` is the JSON object, or the line's bytes if it is damaged."""

    value: dict[str, Any] | bytes


@dataclass(eq=False)
class SampleFile:
    """One file of a source: its path below the source's folder, and its rows."""

    source: str
    path: str
    records: list[Record]
    byte_order_mark: bool = False
    final_newline: bool = True

    def insert(self, record: Record, draw: Draw) -> Record:
        """Put a record at a drawn row, never the first (a damaged first row is a case of its
        own).
        """
        self.records.insert(draw.between(1, len(self.records)), record)
        return record


@dataclass(frozen=True)
class Plant:
    """Something put into the sample for tests: `of` is the original of a copy, `names` the listed
    items that a text names.
    """

    kind: str
    record: Record
    note: str
    of: Record | None = None
    names: tuple[str, ...] = ()


@dataclass
class Corpus:
    files: list[SampleFile]
    plants: list[Plant] = field(default_factory=list)

    def of_source(self, source: str) -> list[SampleFile]:
        return [file for file in self.files if file.source == source]

    def plant(
        self,
        kind: str,
        record: Record,
        note: str,
        of: Record | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.plants.append(Plant(kind, record, note, of, names))

    def _places(self) -> Iterator[tuple[Record, dict[str, Any]]]:
        for file in self.files:
            for row, record in enumerate(file.records):
                yield record, {"source": file.source, "file": file.path, "row": row}

    def planted(self) -> list[dict[str, Any]]:
        """Return every plant with its source, file and row, sorted by place and kind."""
        places = {id(record): place for record, place in self._places()}
        entries = []
        for plant in self.plants:
            entry = {"kind": plant.kind, **places[id(plant.record)], "note": plant.note}
            if plant.of is not None:
                entry["of"] = places[id(plant.of)]
            if plant.names:
                entry["names"] = list(plant.names)
            entries.append(entry)
        return sorted(
            entries, key=lambda entry: (entry["source"], entry["file"], entry["row"], entry["kind"])
        )
