"""With `--full`: a document that occurs again in a later epoch has the same tokens as the first time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.mix.claims import Claims
from mixtures.mix.indexed import IndexedTokens
from mixtures.words import plural


class Repeats:
    """Compares tokens, not digests: the last token of a cut document is EOD in both, what lies between may be missing.

    Keeps 8 bytes a document of the sources that are repeated.
    """

    name = "repeated tokens"

    def __init__(self, claims: Claims, pair: IndexedTokens | None) -> None:
        self._sources, self._pair = claims.sources, pair
        self._starts: dict[int, list[npt.NDArray[np.uint64]]] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self._compared = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        for number, mine in rows.by_source(len(self._sources)):
            if self._sources[number].epochs < 2:
                continue
            for epoch in np.unique(rows.epoch[mine]).tolist():
                here = mine[rows.epoch[mine] == epoch]
                begin = self._counts.get((number, epoch), 0)
                self._counts[number, epoch] = begin + len(here)
                if epoch == 0:
                    self._starts.setdefault(number, []).append(rows.first_token[here])
                elif number in self._starts:
                    self._compare(number, begin, here, rows)

    def _compare(self, number: int, begin: int, here: npt.NDArray[np.int64], rows: Rows) -> None:
        starts = np.concatenate(self._starts[number])
        self._starts[number] = [starts]
        for row, first in zip(here.tolist(), starts[begin : begin + len(here)].tolist(), strict=False):
            again, length = int(rows.first_token[row]), int(rows.num_tokens[row]) - bool(rows.cut[row])
            tokens = None if self._pair is None else self._pair.tokens
            if tokens is not None and not np.array_equal(tokens[first : first + length], tokens[again : again + length]):
                self._faults.append(f"{rows.where(row)} of {self._sources[number].name} has other tokens than in the first epoch")
            self._compared += 1

    def result(self) -> Check:
        if self._pair is None:
            return unread(self.name, "the .idx and .bin do not agree")
        return judge(self.name, f"{plural(self._compared, 'repeated document')} compared token by token", self._faults)
