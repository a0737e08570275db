"""How the slots of a study are filled, by source, and what of it will not do: in a plan from
lengths that are estimated, in a build from those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mixtures.keys import KeyRange
from mixtures.stream.arms.donors import (
    CUT,
    EXACT,
    JOINED,
    MAX_REPEATS,
    Pieces,
    assign,
    assign_repeating,
)
from mixtures.stream.arms.study import Filled, LoadedStudy
from mixtures.words import percent_text, plural
from mixtures.yaml.disk import shown
from mixtures.yaml.fields import plain_decimal

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SlotFigures:
    """The slots of a source, of all arms that fill them, and what fills them."""

    donor_source: str
    slots: int
    tokens: int
    exact: int
    """Of `slots`, those with a donor of just their length."""
    cut: int
    joined: int
    cut_tokens: int
    """Of `tokens`, those in donors that are cut."""
    repeated_tokens: int
    """Of `tokens`, those in donors that stand elsewhere already."""
    unfilled_tokens: int
    """For which there is no donor."""


@dataclass(frozen=True)
class DonorFigures:
    """The donors of a source: its unused documents, as far as they may be some."""

    keys: KeyRange
    """Behind the last that the base takes."""
    documents: int
    tokens: int
    used_documents: int
    used_tokens: int
    """Of slots."""


@dataclass(frozen=True)
class Given:
    """What one source gives to slots. source, num_tokens: of each slot, the number of the source
    that it counts in, and its tokens: int64 [num_slots]. donors: how many there are of each length,
    those of the base not counted.
    """

    source: Int64s
    num_tokens: Int64s
    keys: KeyRange
    donors: Mapping[int, int]
    pieces: Pieces

    @classmethod
    def assigned(
        cls,
        source: Int64s,
        num_tokens: Int64s,
        keys: KeyRange,
        donors: Mapping[int, int],
        base: Mapping[int, int] | None = None,
    ) -> Given:
        """Share the donors out. base: how many there are of each length that the base has, too, if
        donors may be repeated.
        """
        if base is None:
            return cls(source, num_tokens, keys, donors, assign(num_tokens, donors))
        return cls(source, num_tokens, keys, donors, assign_repeating(num_tokens, donors, base))

    def slots(self, names: Sequence[str], giver: str) -> dict[str, SlotFigures]:
        """The slots by the source that they count in. names: of the sources; giver: of this."""
        pieces, kind = self.pieces, self.pieces.kind
        kept = np.zeros(len(self.num_tokens), np.int64)
        np.add.at(kept, pieces.slot, pieces.kept)
        of_slot = np.full(len(kept), -1)
        of_slot[pieces.slot] = kind
        of_slot[kept < self.num_tokens] = -1
        cut = pieces.kept < pieces.length
        source_of = self.source[pieces.slot]
        found = {}
        for number in np.unique(self.source).tolist():
            mine = self.source == number
            tokens, filled = int(self.num_tokens[mine].sum()), int(kept[mine].sum())
            exact, short, joined = (
                int((of_slot[mine] == one).sum()) for one in (EXACT, CUT, JOINED)
            )
            found[names[number]] = SlotFigures(
                donor_source=giver,
                slots=int(mine.sum()),
                tokens=tokens,
                exact=exact,
                cut=short,
                joined=joined,
                cut_tokens=int(pieces.kept[cut & (source_of == number)].sum()),
                repeated_tokens=int(pieces.kept[(pieces.repeat > 0) & (source_of == number)].sum()),
                unfilled_tokens=tokens - filled,
            )
        return found

    @property
    def figures(self) -> DonorFigures:
        """The donors."""
        return DonorFigures(
            self.keys,
            sum(self.donors.values()),
            sum(length * count for length, count in self.donors.items()),
            len(self.pieces.slot),
            int(self.pieces.kept.sum()),
        )


@dataclass(frozen=True)
class StudyFigures:
    """What fills the slots of the arms of a study that share their donors."""

    filled: Filled
    sources: Mapping[str, SlotFigures]
    """By the source of the removed document; those that have slots."""
    donors: Mapping[str, DonorFigures]
    """By the source that gives."""

    @classmethod
    def of(cls, filled: Filled, names: Sequence[str], given: Mapping[str, Given]) -> StudyFigures:
        """Add up what sources give. names: of all sources, in their order."""
        rows = {
            name: row
            for giver, one in given.items()
            for name, row in one.slots(names, giver).items()
        }
        return cls(
            filled,
            {name: rows[name] for name in names if name in rows},
            {giver: one.figures for giver, one in given.items()},
        )

    @cached_property
    def total(self) -> SlotFigures:
        """The slots of all sources; `donor_source` is empty."""
        counts = [name for name in SlotFigures.__dataclass_fields__ if name != "donor_source"]
        sums = {name: sum(getattr(row, name) for row in self.sources.values()) for name in counts}
        return SlotFigures("", **sums)

    @property
    def lines(self) -> list[str]:
        """By source, for people."""
        what = {"fresh": "", "approved": ", approved", "rewrites": ", behind rewrites"}
        return [
            f"{name}{what[self.filled.fill]}: {plural(row.slots, 'slot')} of {row.tokens:,} tokens,"
            f" {percent_text(row.exact, row.slots, 2)}% with a donor of their length;"
            f" {percent_text(row.cut_tokens, row.tokens, 2)}% of the tokens in donors that are cut"
            + (
                f", {percent_text(row.repeated_tokens, row.tokens, 2)}% in repeated ones"
                if row.repeated_tokens
                else ""
            )
            + (f", {row.unfilled_tokens:,} tokens without any" if row.unfilled_tokens else "")
            for name, row in self.sources.items()
        ]

    def faults(self, study: LoadedStudy) -> list[str]:
        """Why the study cannot be built, for people: slots without donors, or more in cut donors
        than it tolerates. Each names the study's file and field, and what would mend it.
        """
        where = shown(study.file)
        short = [f"{where}: {line}" for line in self._short(study)]
        return short or [f"{where}: {line}" for line in self._cut(study)]

    def _short(self, study: LoadedStudy) -> Iterator[str]:
        """Sources that have too few donors."""
        for giver, donors in self.donors.items():
            taken = {name: row for name, row in self.sources.items() if row.donor_source == giver}
            missing = sum(row.unfilled_tokens for row in taken.values())
            if not missing:
                continue
            slots, tokens = (
                sum(getattr(row, name) for row in taken.values()) for name in ("slots", "tokens")
            )
            if self.filled.approval is None:
                there = (
                    f"what the base leaves of {giver} is {donors.tokens:,} tokens in"
                    f" {plural(donors.documents, 'document')}, {missing:,} tokens short of them"
                )
            elif missing == tokens:
                there = f"{giver} has no approved document for {', '.join(self.filled.arms)}"
            else:
                there = (
                    f"the approved documents of {giver} fill all but {missing:,} tokens of them if"
                    f" each is repeated {MAX_REPEATS} times"
                )
            yield (
                f"{_field(study, giver)}: the slots of {', '.join(taken)} have {tokens:,} tokens in"
                f" {plural(slots, 'document')}; {there}. {self._remedy(study, giver, missing)}"
            )

    def _remedy(self, study: LoadedStudy, giver: str, missing: int) -> str:
        spare = {
            name: row.tokens - row.used_tokens
            for name, row in self.donors.items()
            if name != giver and row.tokens - row.used_tokens >= missing
        }
        most = max(spare, key=lambda name: spare[name], default=None)
        other = f"such as {most}, which has {spare[most]:,} tokens left" if most else "with more"
        further = _further(study, giver)
        return f"Let another source give donors (source), {other};{further} or take a smaller mix"

    def _cut(self, study: LoadedStudy) -> Iterator[str]:
        """More in cut donors than the study tolerates."""
        tolerance = study.study.tolerance
        whole, lost = self.total.tokens, self.total.cut_tokens
        if Fraction(lost, max(whole, 1)) <= Fraction(tolerance):
            return
        name, worst = max(self.sources.items(), key=lambda item: item[1].cut_tokens)
        least = (Decimal(lost) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_CEILING)
        further = _further(study, worst.donor_source)
        yield (
            f"tolerance: {lost:,} of {whole:,} tokens of the slots of"
            f" {', '.join(self.filled.arms)} lie in donors that are cut"
            f" ({percent_text(lost, whole, 2)}%), more than the tolerance of"
            f" {plain_decimal(tolerance)}; {worst.cut_tokens:,} of them in slots of {name}, whose"
            f" donors {worst.donor_source} gives. More unused documents find more of their length:"
            f" let another source give donors (donors.{name}.source);{further} or raise the"
            f" tolerance to {plain_decimal(least)}"
        )


def _field(study: LoadedStudy, giver: str) -> str:
    """The field of a study that says how far a source's donors go, or that it gives them."""
    request = study.study.donors.get(giver)
    return "donors" if request is None else f"donors.{giver}.below"


def _further(study: LoadedStudy, giver: str) -> str:
    """That a source's donors may go further, if they may."""
    request, keys = study.study.donors.get(giver), study.base.recipe.sources[giver].key_range
    if request is None or request.below is None or study.donor_keys(giver).high == keys.high:
        return ""
    top = plain_decimal(study.base.recipe.sources[giver].keys[1])
    return f" let those of {giver} go further (below, up to {top});"
