"""Which donors stand in which slots of a study: the assignment of `mixtures.stream.arms.donors`,
with the documents that it means. Arms with one fill share one assignment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange
from mixtures.stream.arms.donors import Fill, Pieces, kinds
from mixtures.stream.arms.figures import Given
from mixtures.stream.arms.study import Filled, LoadedStudy
from pipeline.arms.pool import Donors, Pool
from pipeline.arms.rewrites import Rewrites
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Filling:
    """What fills the slots of some arms, in pieces of donors: arrays [num_pieces], by slot and, in
    it, by offset.
    """

    fill: Fill
    slot: Int64s
    offset: Int64s
    """Tokens of the slot before the piece."""
    kept: Int64s
    """Tokens of the piece."""
    kind: Int64s
    """Of the slot, index into KINDS."""
    repeat: Int64s
    """How often the donor stands already, 0 for an unused one: a place in the base counts as one,
    and what earlier rounds of the assignment took."""
    donor: Int64s
    """Index into `donors`."""
    donors: Donors
    """Of all sources, one source after the other."""
    donor_source: Int64s
    """Of each donor, index into the names of the slots: int64 [num_donors]."""
    keys: dict[str, KeyRange]
    """By donor source, the stretch of keys that its unused donors come from."""
    rewrites: Rewrites | None = None
    """Which are donors of no source (-1), and the first of their slots."""


class Filler:
    """Fills the slots of arms that share their donors."""

    def __init__(
        self,
        study: LoadedStudy,
        judged: Judged,
        slots: Slots,
        filled: Filled,
        rewrites: Rewrites | None = None,
    ) -> None:
        self._study, self._judged, self._slots, self.filled = study, judged, slots, filled
        self._rewrites, self._left = rewrites, slots.num_tokens.copy()
        if rewrites:
            self._left[rewrites.slot] -= rewrites.num_tokens
        self._wanted = np.logical_or.reduce([slots.arms[arm] for arm in filled.arms])
        self._wanted &= self._left > 0
        self._givers = [study.donor_source(name) for name in slots.names]

    def share_out(self) -> dict[str, Given]:
        """Share out the donors of each source among the slots of all these arms, by lengths alone.
        By the source that gives.
        """
        slots, given = self._slots, {}
        for name in slots.names:
            mine = self._taking(name)
            if len(mine):
                pool = self._pool(name)
                base = self._pool(name, used=True).lengths() if self.filled.approval else None
                given[name] = Given.assigned(
                    slots.source[mine], self._left[mine], pool.keys, pool.lengths(), base
                )
        return given

    def fill(self, given: Mapping[str, Given]) -> Filling:
        """Find the documents that fill the slots. given: as `share_out`, with no slot unfilled."""
        found, donors, sources, keys = [], [], [], {}
        before = 0
        if made := self._rewrites:  # before all others, so that each is the first in its slot
            kept = np.minimum(made.num_tokens, self._slots.num_tokens[made.slot])
            before = len(kept)
            none = np.zeros(before, np.int64)
            file = none + made.token_file
            found.append([made.slot, kept, none, np.arange(before)])
            donors.append(Donors(made.num_tokens, made.digest, file, made.offset, none, made.row))
            sources.append(none - 1)
        for name, one in given.items():
            pieces = one.pieces
            donor, taken = self._documents(name, one.donors, pieces)
            slot = self._taking(name)[pieces.slot]
            found.append([slot, pieces.kept, pieces.repeat, before + donor])
            donors += taken
            count = sum(len(some.num_tokens) for some in taken)
            sources.append(np.full(count, self._slots.names.index(name)))
            keys[name] = one.keys
            before += count
        columns = [
            np.concatenate([np.empty(0, np.int64), *(columns[at] for columns in found)])
            for at in range(4)
        ]
        order = np.argsort(columns[0], kind="stable")
        slot, kept, repeat, donor = (column[order] for column in columns)
        of_all = _joined(donors)
        kind = kinds(slot, kept, of_all.num_tokens[donor])
        before_piece = np.cumsum(kept) - kept
        # of each piece, less what lies before the first of its slot
        offset = before_piece - before_piece[np.searchsorted(slot, slot)]
        source = np.concatenate([np.empty(0, np.int64), *sources])
        pieces_of = (slot, offset, kept, kind, repeat, donor)
        return Filling(self.filled.fill, *pieces_of, of_all, source, keys, self._rewrites)

    def _taking(self, giver: str) -> Int64s:
        """Which slots a source gives donors to, int64 [num_given]."""
        gives = np.array([one == giver for one in self._givers])
        return np.flatnonzero(gives[self._slots.source] & self._wanted)

    def _pool(self, name: str, *, used: bool = False) -> Pool:
        keys = self._study.donor_keys(name)
        return Pool(self._judged.choices[name], keys, self.filled.approval, used=used)

    def _documents(
        self, name: str, unused: Mapping[int, int], pieces: Pieces
    ) -> tuple[Int64s, list[Donors]]:
        """The donor of each piece, int64 [num_pieces], among those that follow. unused: how many
        there are of each length; of a length these come first.
        """
        counts = Counter(pieces.used())
        new = self._pool(name).first(counts & Counter(unused))
        if self.filled.approval is None:
            return new.index(pieces.length, pieces.rank), [new]
        old = self._pool(name, used=True).first(counts - Counter(unused))
        rank = pieces.rank - np.array([unused.get(one, 0) for one in pieces.length.tolist()], int)
        donor = np.where(
            rank < 0,
            new.index(pieces.length, pieces.rank),
            len(new.num_tokens) + old.index(pieces.length, rank),
        )
        return donor, [new, old]


def _joined(parts: list[Donors]) -> Donors:
    none = np.empty(0, np.int64)
    parts = [Donors(none, np.empty((0, 2), np.uint64), none, none, none, none), *parts]
    fields = Donors.__dataclass_fields__
    return Donors(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))
