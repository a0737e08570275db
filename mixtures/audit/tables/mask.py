"""The mask of an arm: runs of tokens that are no targets, held against the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.mix.claims import Claims
from mixtures.mix.judged import MaskClaim, MaskedClaim
from mixtures.mix.slots import MASK, MASK_FILE, windows_touched
from mixtures.mix.tables import Columns, from_arrow, part_hash
from mixtures.words import percent_text, plural


def read_mask(folder: Path, max_rows: int) -> Columns:
    """The runs of a mask, [num_runs] each.

    Raises:
        Any of UNREADABLE.
    """
    return read_part(folder / MASK_FILE, MASK, max_rows)


class Masked:
    """Every run is one document, those of the filter; a document is masked wherever it stands."""

    name = "mask"

    def __init__(self, folder: Path, claims: Claims, mask: MaskClaim, max_rows: int) -> None:
        self._claims, self._mask, self._fault = claims, mask, ""
        try:
            self._runs = read_mask(folder, max_rows)
        except UNREADABLE as error:
            self._runs = from_arrow(MASK, MASK.empty_table())
            self._fault = reading_fault(folder / MASK_FILE, error)
        self._met = 0
        # by source: digests of masked documents, of those that are not, and places and tokens
        self._masked: dict[int, list[npt.NDArray[np.uint64]]] = {}
        self._others: dict[int, list[npt.NDArray[np.uint64]]] = {}
        self._counts: dict[int, list[int]] = {}
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        starts = self._runs["start"]
        at = np.minimum(np.searchsorted(starts, rows.first_token), max(len(starts) - 1, 0))
        here = starts[at] == rows.first_token if len(starts) else np.zeros(len(rows), np.bool_)
        self._met += int(here.sum())
        wrong = here.copy()
        if len(starts):
            wrong &= self._runs["length"][at] != rows.num_tokens
        if wrong.any():
            self._faults.append(f"{rows.where(int(np.argmax(wrong)))} is masked in part")
        for number, of_source in rows.by_source(len(self._claims.sources)):
            mine = of_source[here[of_source]]
            self._masked.setdefault(number, []).append(rows.digest[mine])
            counts = self._counts.setdefault(number, [0, 0])
            counts[0] += len(mine)
            counts[1] += int(rows.num_tokens[mine].sum())
            if self._claims.sources[number].epochs > 1:
                others = of_source[~here[of_source]]
                self._others.setdefault(number, []).append(rows.digest[others])

    def result(self) -> Check:
        if self._fault:
            return unread(self.name, self._fault)
        faults, starts = list(self._faults), self._runs["start"]
        if part_hash(MASK, self._runs) != self._mask.mask:
            faults.append(f"{MASK_FILE}: is not the one of the manifest")
        if self._met != len(starts) or (starts[1:] <= starts[:-1]).any():
            faults.append(f"{len(starts):,} runs, {self._met:,} of them are documents, in order")
        windows, _ = windows_touched(starts.astype(np.int64), self._runs["length"].astype(np.int64))
        if windows != self._mask.windows:
            faults.append(
                f"runs touch {windows:,} windows, the manifest says {self._mask.windows:,}"
            )
        removed = [item.removed for item in self._claims.filters]
        for number, source in enumerate(self._claims.sources):
            digests = _distinct(self._masked.get(number, []))
            positions, tokens = self._counts.get(number, [0, 0])
            counted = MaskedClaim(documents=len(digests), positions=positions, tokens=tokens)
            none = MaskedClaim(documents=0, positions=0, tokens=0)
            said = self._mask.sources.get(source.name, none)
            if (source.copy_number or source.insert) and positions:
                faults.append(f"{source.label}: filters judge none of its documents")
            elif not (source.copy_number or source.insert) and counted != said:
                faults.append(
                    f"{source.name}: masked are {counted.as_json()}, the manifest says"
                    f" {said.as_json()}"
                )
            others = _distinct(self._others.get(number, []))
            if len(_distinct([digests, others])) != len(digests) + len(others):
                faults.append(f"{source.name}: a document is masked in one epoch alone")
        for name, said in self._mask.sources.items():
            if [item[name].documents for item in removed if name in item] != [said.documents]:
                faults.append(f"{name}: masked are other documents than its filter flags")
        tokens, total = self._mask.tokens, max(self._claims.total_tokens, 1)
        figure = f"{plural(tokens, 'token')} in {plural(len(starts), 'document')} are no targets"
        return judge(self.name, f"{figure}, {percent_text(tokens, total, 4)}%", faults)


def _distinct(digests: list[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Each digest once: uint64 [num_docs, 2] in and out."""
    return np.unique(np.concatenate([np.empty((0, 2), np.uint64), *digests]), axis=0)
