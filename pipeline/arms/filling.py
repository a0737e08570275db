"""Which donors stand in which slots of a study: the assignment of `mixtures.stream.arms.donors`,
with the documents that it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange
from mixtures.stream.arms.figures import Given
from mixtures.stream.arms.study import LoadedStudy
from pipeline.arms.pool import Donors, Pool
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Filling:
    """What fills all slots of a study, in pieces of donors: arrays [num_pieces], by slot and, in
    it, by offset.
    """

    slot: Int64s
    offset: Int64s
    """Tokens of the slot before the piece."""
    kept: Int64s
    """Tokens of the piece."""
    kind: Int64s
    """Of the slot, index into KINDS."""
    donor: Int64s
    """Index into `donors`."""
    donors: Donors
    """Of all sources, one source after the other."""
    donor_source: Int64s
    """Of each donor, index into the names of the slots: int64 [num_donors]."""
    keys: dict[str, KeyRange]
    """By donor source, the stretch of keys that its donors come from."""


def share_out(study: LoadedStudy, judged: Judged, slots: Slots) -> dict[str, Given]:
    """Share out the donors of each source among the slots of all arms, by lengths alone. By the
    source that gives.
    """
    givers = [study.donor_source(name) for name in slots.names]
    given = {}
    for name in slots.names:
        mine = np.flatnonzero(_takes(slots, givers, name))
        if len(mine):
            pool = Pool(judged.choices[name], study.donor_keys(name))
            given[name] = Given.assigned(
                slots.source[mine], slots.num_tokens[mine], pool.keys, pool.lengths()
            )
    return given


def _takes(slots: Slots, givers: Sequence[str], giver: str) -> npt.NDArray[np.bool_]:
    """Which slots a source gives donors to, bool [num_slots]. givers: of each source."""
    gives = np.array([one == giver for one in givers])
    return gives[slots.source] & slots.filled


def fill(study: LoadedStudy, judged: Judged, slots: Slots, given: Mapping[str, Given]) -> Filling:
    """Find the documents that fill the slots. given: as `share_out`, with no slot unfilled."""
    givers = [study.donor_source(name) for name in slots.names]
    found, donors, sources, keys = [], [], [], {}
    before = 0
    for name, one in given.items():
        mine, pieces = np.flatnonzero(_takes(slots, givers, name)), one.pieces
        taken = Pool(judged.choices[name], study.donor_keys(name)).first(pieces.used())
        found.append(
            [
                mine[pieces.slot],
                pieces.kept,
                pieces.kind,
                before + taken.index(pieces.length, pieces.rank),
            ]
        )
        donors.append(taken)
        sources.append(np.full(len(taken.num_tokens), slots.names.index(name)))
        keys[name] = one.keys
        before += len(taken.num_tokens)
    slot, kept, kind, donor = (
        np.concatenate([np.empty(0, np.int64), *(columns[at] for columns in found)])
        for at in range(4)
    )
    order = np.argsort(slot, kind="stable")
    slot, kept, kind, donor = (column[order] for column in (slot, kept, kind, donor))
    ends = np.cumsum(kept)
    first = np.searchsorted(slot, slot)  # of each piece, the first of its slot
    offset = ends - kept - (ends - kept)[first] if len(slot) else ends
    return Filling(
        slot,
        offset,
        kept,
        kind,
        donor,
        _joined(donors),
        np.concatenate([np.empty(0, np.int64), *sources]),
        keys,
    )


def _joined(parts: list[Donors]) -> Donors:
    fields = Donors.__dataclass_fields__
    empty = {"digest": np.empty((0, 2), np.uint64)}
    return Donors(
        **{
            name: np.concatenate(
                [empty.get(name, np.empty(0, np.int64)), *(getattr(part, name) for part in parts)]
            )
            for name in fields
        }
    )
