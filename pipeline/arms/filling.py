"""Which donors stand in which slots of a study: the assignment of `mixtures.stream.arms.donors`,
with the documents that it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mixtures.errors import SupplyError
from mixtures.keys import KeyRange
from mixtures.stream.arms.donors import EXACT, assign
from mixtures.stream.arms.study import LoadedStudy
from mixtures.words import percent_text, plural
from mixtures.yaml.disk import shown
from mixtures.yaml.fields import plain_decimal
from pipeline.arms.pool import Donors, Pool
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged
from pipeline.report import say

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

    @property
    def cut(self) -> npt.NDArray[np.bool_]:
        """Which pieces are not the whole donor, bool [num_pieces]."""
        return self.kept < self.donors.num_tokens[self.donor]


def fill(study: LoadedStudy, judged: Judged, slots: Slots) -> Filling:
    """Fill the slots.

    Raises:
        SupplyError: a source has too few donors.
    """
    givers = [study.donor_source(name) for name in slots.names]
    found, donors, sources, keys = [], [], [], {}
    before = 0
    for number, name in enumerate(slots.names):
        gives = np.array([giver == name for giver in givers])
        mine = np.flatnonzero(gives[slots.source] & slots.filled)
        if not len(mine):
            continue
        pool = Pool(judged.choices[name], study.donor_keys(name))
        pieces = assign(slots.num_tokens[mine], pool.lengths())
        if pieces.unfilled:
            takers = sorted({slots.names[source] for source in slots.source[mine].tolist()})
            raise SupplyError(
                f"{shown(study.file)}: the slots of {', '.join(takers)} have"
                f" {int(slots.num_tokens[mine].sum()):,} tokens in {plural(len(mine), 'document')};"
                f" what the base leaves of {name} is {pieces.unfilled:,} tokens short of them."
                f" Let another source give donors (donors: {{{takers[0]}: {{source: ...}}}}),"
                " let its own go further (below), or take a smaller mix"
            )
        taken = pool.first(pieces.used())
        found.append(
            [
                mine[pieces.slot],
                pieces.kept,
                pieces.kind,
                before + taken.index(pieces.length, pieces.rank),
            ]
        )
        donors.append(taken)
        sources.append(np.full(len(taken.num_tokens), number))
        keys[name] = pool.keys
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


def check_cuts(study: LoadedStudy, slots: Slots, filling: Filling) -> None:
    """Say by source how slots are filled, and refuse too much of donors that are cut.

    Raises:
        SupplyError: more of the slots' tokens lie in them than the study's tolerance.
    """
    kind = np.full(len(slots), -1)
    kind[filling.slot] = filling.kind
    source, cut = slots.source[filling.slot], filling.cut
    whole, lost = int(filling.kept.sum()), int(filling.kept[cut].sum())
    for number, name in enumerate(slots.names):
        mine = kind[slots.source == number]
        if not (count := int((mine >= 0).sum())):
            continue
        tokens, short = (
            int(filling.kept[chosen & (source == number)].sum())
            for chosen in (np.ones_like(cut), cut)
        )
        say(
            f"{name}: {plural(count, 'slot')} of {tokens:,} tokens,"
            f" {percent_text(int((mine == EXACT).sum()), count, 2)}% with a donor of their length;"
            f" {percent_text(short, tokens, 2)}% of the tokens in donors that are cut"
        )
    if Fraction(lost, max(whole, 1)) > Fraction(study.study.tolerance):
        raise SupplyError(
            f"{shown(study.file)}: {lost:,} of {whole:,} tokens of the slots lie in donors that are"
            f" cut ({percent_text(lost, whole, 2)}%), more than the tolerance of"
            f" {plain_decimal(study.study.tolerance)}. More unused documents (donors: below, or"
            " another source) find more of their length; or raise the tolerance"
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
