"""What a plan says of a study: its slots, their donors, and how many will have one of their length,
measured in a store that knows, or estimated before anything is read.

An estimate draws lengths from a probe's sample, as many as the supplies say (`sampled`), and shares
the donors out by the rule of a build (`mixtures.stream.arms.donors`). It leaves out what a plan
knows nothing of: copies, near-duplicates and evaluation items among the documents that are removed
or could be donors. A placebo is thought to find partners of just the lengths that it imitates.

A study is certainly short if it is so with the most donors and the fewest slots that the estimates
allow, and probably if it is so by the estimates themselves. What a store knows is certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal
from zlib import crc32

import numpy as np

from mixtures.estimates import SupplyEstimate, share_interval
from mixtures.keys import KEY_SPACE, KeyRange
from mixtures.plan.removal_levels import ByLevel
from mixtures.plan.sampled import Bools, Drawn, Floats, Int64s, SampledDocuments
from mixtures.plan.source_plan import SourcePlan
from mixtures.stream.arms.figures import Given, StudyFigures
from mixtures.stream.arms.study import Filled, LoadedStudy
from mixtures.words import plural

FEW = 30
"""Documents of a sample: of fewer that are flagged, lengths are a guess."""

_APPROVED = (
    "how approved documents fill their slots is not estimated; --store measures it where a build of"
    " the study has read them"
)

REWRITES = "what stands behind rewrites is known when these are read: a build says it"

Basis = Literal["measured", "estimated"]


@dataclass(frozen=True)
class ArmFigures:
    """An arm. documents, tokens: that its filter removes of the base, each once."""

    fill: str
    documents: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What can be said of a study before it is built."""

    study: str
    num_sources: int
    basis: Basis
    sampled_documents: Mapping[str, int]
    """Documents whose lengths an estimate rests on, by source; empty where it is measured."""
    figures: tuple[StudyFigures, ...]
    """Of arms that share their donors, of the sources of which enough is known."""
    arms: Mapping[str, ArmFigures]
    """Of these sources."""
    unknown: Mapping[str, str]
    """Sources of which too little is known, and what would tell."""
    shortages: tuple[str, ...]
    """What certainly cannot be built, for people, as a build says it."""
    warnings: tuple[str, ...]
    """What probably cannot."""
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Integers and strings; keys of donors as shares of the key space."""
        arms = {name: asdict(row) for name, row in self.arms.items()}
        return {
            **{name: value for name, value in vars(self).items() if name != "figures"},
            "sampled_documents": dict(self.sampled_documents),
            "unknown": dict(self.unknown),
            "fillings": [_filling(one) for one in self.figures],
            "arms": arms,
            "shortages": list(self.shortages),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def _filling(figures: StudyFigures) -> dict[str, object]:
    donors = {
        name: {**asdict(row), "keys": [key_share(bound) for bound in row.keys]}
        for name, row in figures.donors.items()
    }
    return {
        "fill": figures.filled.fill,
        "arms": list(figures.filled.arms),
        "sources": {name: asdict(row) for name, row in figures.sources.items()},
        "donors": donors,
    }


def key_share(key: int) -> str:
    """A key as a share of the key space, to six decimals."""
    return f"{key / KEY_SPACE:.6f}"


@dataclass(frozen=True)
class Known:
    """What an estimate is made from. rows: of the base's plan; supplies: of its sources' key
    ranges; samples: of those whose files are probed; levels: what is published of removals.
    """

    study: LoadedStudy
    rows: Mapping[str, SourcePlan]
    supplies: Mapping[str, SupplyEstimate | None]
    samples: Mapping[str, SampledDocuments]
    levels: ByLevel


def estimated_study(known: Known) -> StudyPlan:
    """Plan a study from estimates."""
    study = known.study
    names = list(study.base.recipe.sources)
    chances = {name: _Chances(known, name) for name in names}
    unknown = {name: why for name, one in chances.items() if (why := one.unknown)}
    for name in names:
        giver = study.donor_source(name)
        if name not in unknown and giver in unknown:
            unknown[name] = f"{giver} gives its donors, and {unknown[giver]}"
    enough = {name: one for name, one in chances.items() if name not in unknown}
    likely = _figures(known, enough, best=False)
    faults = likely.faults(study)
    certain = faults
    if faults and any(one.uncertain for one in enough.values()):
        certain = _figures(known, enough, best=True).faults(study)
    few = [
        f"{name}: of {plural(len(known.samples[name]), 'document')} that were probed"
        f" {one.flagged:,} are flagged, so what is said of its slots is rough"
        for name, one in enough.items()
        if one.probed and one.flagged < FEW
    ]
    approved = [arm for arm, one in study.study.arms.items() if one.fill == "approved"]
    return StudyPlan(
        study=study.study.name,
        num_sources=len(names),
        basis="estimated",
        sampled_documents={
            name: len(sample) for name, sample in known.samples.items() if name in names
        },
        figures=(likely,) if likely.filled.arms else (),
        arms={arm: _arm(study, arm, enough.values()) for arm in study.study.arms},
        unknown=unknown,
        shortages=tuple(faults if certain else ()),
        warnings=() if certain else tuple(f"probably {line}" for line in faults),
        notes=(
            *few,
            *([f"{', '.join(approved)}: {_APPROVED}"] if approved else ()),
            *rewrites_note(study),
        ),
    )


def rewrites_note(study: LoadedStudy) -> list[str]:
    """That arms of rewrites are not planned, if there are any."""
    arms = [arm for arm, one in study.study.arms.items() if one.rewrites]
    return [f"{', '.join(arms)}: {REWRITES}"] if arms else []


def _figures(known: Known, chances: Mapping[str, _Chances], *, best: bool) -> StudyFigures:
    """Share the donors out among drawn slots. best: of the fewest slots and the most donors."""
    study = known.study
    names = list(study.base.recipe.sources)
    slots = {name: one.slots(best=best) for name, one in chances.items()}
    given = {}
    for giver, one in chances.items():
        takers = [name for name in slots if study.donor_source(name) == giver]
        lengths = {name: np.concatenate(slots[name]) for name in takers if slots[name]}
        if lengths:
            keys, donors = one.donors(best=best)
            source = [np.full(len(found), names.index(name)) for name, found in lengths.items()]
            given[giver] = Given.assigned(
                np.concatenate(source), np.concatenate(list(lengths.values())), keys, donors
            )
    return StudyFigures.of(Filled(tuple(_fresh(study)), None), names, given)


def _fresh(study: LoadedStudy) -> list[str]:
    """Arms whose slots are filled with unused documents."""
    return [arm for arm, one in study.study.arms.items() if one.fill == "fresh"]


def _arm(study: LoadedStudy, arm: str, chances: Iterable[_Chances]) -> ArmFigures:
    found = [one.arm(arm) for one in chances]
    documents, tokens = (sum(pair[at] for pair in found) for at in (0, 1))
    return ArmFigures(study.study.arms[arm].fill, documents, tokens)


class _Chances:
    """What the filters of a study are thought to do to the documents of a source.

    A document of the sample stands for several, of which a filter that is at hand flags all or
    none, and one of which only a share is published, that share. Published levels nest, and so do
    doses, of whichever filters: so documents are told apart by bands of one number, of which each
    level flags those below its share, and a dose takes the same ones of every filter.

    Attributes:
        unknown: what would have to be known, for people; empty if enough is.
        probed: whether a filter at hand judged the sample.
    """

    def __init__(self, known: Known, name: str) -> None:
        self._study, self._name, self.unknown = known.study, name, ""
        self._row, self._supply = known.rows[name], known.supplies[name]
        uses = known.study.judged.filters
        self._uses = [use for use in uses if not use.placebo]
        self._sample = sample = known.samples.get(name)
        self.probed = sample is not None and bool(sample.flags)
        self._shares = {}
        missing = []
        for use in self._uses:
            if sample is not None and use.label in sample.flags:
                continue
            level = known.levels.get(use.request.level or "", {}) if use.bundle is None else {}
            if name in level:
                self._shares[use.label] = float(level[name].removed)
            else:
                missing.append(use.label)
        if self._supply is None or not self._supply.tokens:
            self.unknown = "the size is not known; --data probes it"
        elif sample is None or not len(sample):
            what = "lengths of documents are not known"
            self.unknown = f"{what}; --data probes the files, --extract some of them"
        elif missing:
            self.unknown = f"what {', '.join(missing)} removes is not known; --filters brings it"

    @property
    def uncertain(self) -> bool:
        """Whether an interval tells how far off its supply or its removals are."""
        return self.probed or (self._supply is not None and self._supply.high is not None)

    @property
    def flagged(self) -> int:
        """Documents of the sample that some filter at hand flags."""
        assert self._sample is not None
        return int(np.logical_or.reduce(list(self._sample.flags.values())).sum())

    @property
    def _documents(self) -> int:
        """That the base takes."""
        assert self._supply is not None
        share = min(Fraction(self._row.resolved_tokens, self._supply.tokens), Fraction(1))
        return int(self._supply.documents * share)

    def slots(self, *, best: bool) -> list[Int64s]:
        """Tokens of the slots that arms fill: int64 [num_slots], of filters and of each placebo."""
        drawn = {
            part: self._drawn(chance, part, best=best)
            for arm in _fresh(self._study)
            for part, chance in [self._part(arm)]
        }
        return [np.repeat(one.num_tokens, one.documents) for one in drawn.values() if one]

    def _part(self, arm: str) -> tuple[str, Floats]:
        """Of the slots that are drawn together, those that an arm has its own among: what names
        them, and the chance of each document of the sample. Placebos share none with others, and
        what is masked or approved is not among those that are filled here.
        """
        use = self._study.filters[arm]
        fresh = _fresh(self._study)
        if use.placebo or arm not in fresh:
            return use.label if use.placebo else "filters", self._removed([arm])
        filters = [one for one in fresh if not self._study.filters[one].placebo]
        return "filters", self._removed(filters)

    def arm(self, arm: str) -> tuple[int, int]:
        """Documents and tokens that an arm removes."""
        part, whole = self._part(arm)
        drawn = self._drawn(whole, part, best=False)
        if drawn is None:
            return 0, 0
        assert self._sample is not None
        lengths, at = np.unique(self._sample.num_tokens, return_inverse=True)
        mine, all_of_it = (
            np.bincount(at, self._sample.shares * chance, len(lengths))
            for chance in (self._removed([arm]), whole)
        )
        shares = np.divide(mine, all_of_it, np.zeros_like(mine), where=all_of_it > 0)
        return drawn.share(lengths, shares)

    def donors(self, *, best: bool) -> tuple[KeyRange, dict[int, int]]:
        """Keys of the donors, and how many there are of each length."""
        assert self._supply is not None
        keys = self._study.base.recipe.sources[self._name].key_range
        share = min(Fraction(self._row.resolved_tokens, self._supply.tokens), Fraction(1))
        high = self._study.donor_keys(self._name).high
        low = min(keys.low + int(keys.width * share), keys.high)
        stretch = KeyRange(low, max(high, low))
        there = Fraction(self._supply.documents * stretch.width, keys.width)
        unflagged = 1 - self._chance(dict.fromkeys((use.label for use in self._uses), 1.0))
        if best:
            there *= Fraction(self._supply.bounds[1], self._supply.tokens)
        drawn = self._draw(unflagged, float(there), "donors")
        return stretch, drawn.counts if drawn else {}

    def _drawn(self, chance: Floats, part: str, *, best: bool) -> Drawn | None:
        """What is removed of the base's documents. chance: of each of the sample."""
        assert self._sample is not None
        share, least = float((self._sample.shares * chance).sum()), 1.0
        if best and self.probed and share:
            least = share_interval(share, self._sample.effective)[0] / share
        return self._draw(chance, self._documents * least, part)

    def _draw(self, chance: Floats, documents: float, part: str) -> Drawn | None:
        """As many lengths as `documents` times the chances come to; None if that is none. part: of
        what is drawn of the source; parts are drawn apart from each other.
        """
        assert self._sample is not None
        count = round(documents * float((self._sample.shares * chance).sum()))
        seed = crc32(f"{self._name}/{part}".encode())
        return self._sample.drawn(chance, count, seed) if count else None

    def _removed(self, arms: list[str]) -> Floats:
        """The chance of each document of the sample that some arm removes it, float64 [num_docs];
        of a placebo, that what it imitates does.
        """
        doses: dict[str, float] = {}
        for arm in arms:
            label, dose = self._study.flagged_by(arm), self._study.filters[arm].request.fraction
            doses[label] = max(doses.get(label, 0.0), float(dose))
        return self._chance(doses)

    def _chance(self, doses: Mapping[str, float]) -> Floats:
        """The chance that a filter flags each document of the sample, and its dose, by label, takes
        it: float64 [num_docs].
        """
        assert self._sample is not None
        chance = np.zeros(len(self._sample))
        bounds = sorted({0.0, 1.0, *self._shares.values()})
        for low, high in pairwise(bounds):
            taken = np.zeros(len(self._sample))
            for label, dose in doses.items():
                flags: Bools | bool = self._sample.flags.get(label, False)
                if label in self._shares:
                    flags = high <= self._shares[label]
                taken = np.maximum(taken, np.where(flags, dose, 0.0))
            chance += (high - low) * taken
        return chance
