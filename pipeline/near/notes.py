"""Band keys of a segment's documents, noted while it is read (pipeline.annotations)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange
from mixtures.near import NearRule
from pipeline.near.signatures import Signatures, signatures

BATCH_BYTES = 4 << 20  # text whose band keys are computed in one call


class BandNotes:
    """The band keys of the documents of some key ranges."""

    def __init__(self, rule: NearRule, ranges: Sequence[KeyRange]) -> None:
        self._rule, self._ranges = rule, ranges
        self._rows: array[int] = array("I")
        self._made: list[Signatures] = []
        self._pending: list[str] = []
        self._pending_chars = 0

    def add(self, row: int, key: int, text: str) -> None:
        """Note a document. row: its place in the order of reading."""
        if any(low <= key < high for low, high in self._ranges):
            self._rows.append(row)
            self._pending.append(text)
            self._pending_chars += len(text)
            if self._pending_chars >= BATCH_BYTES:
                self._compute()

    def _compute(self) -> None:
        if self._pending:
            self._made.append(signatures(self._pending, self._rule))
            self._pending, self._pending_chars = [], 0

    def columns(self, order: npt.NDArray[np.intp]) -> Signatures:
        """Signatures of all documents in ledger order; exempt where none was asked for. order: [num_docs], reading rows in ledger order."""
        self._compute()
        bands, exempt = np.zeros((len(order), self._rule.bands), np.uint64), np.ones(len(order), np.bool_)
        if self._made:
            rows = np.frombuffer(self._rows, np.uint32)
            bands[rows] = np.concatenate([made.bands for made in self._made])
            exempt[rows] = np.concatenate([made.exempt for made in self._made])
        return Signatures(bands[order], exempt[order])
