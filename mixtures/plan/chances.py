"""What the filters of a study are thought to do to the documents of a source, of which a probe drew
some: how many each arm removes, of which lengths, and which are left as donors.

A document of the sample stands for several, of which a filter that is at hand flags all or none,
and one of which only a share is published, that share. Published levels nest, and so do doses, of
whichever filters: so documents are told apart by bands of one number, of which each level flags
those below its share, and a dose takes the same ones of every filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from zlib import crc32

import numpy as np

from mixtures.estimates import SupplyEstimate, share_interval
from mixtures.keys import KeyRange
from mixtures.plan.removal_levels import ByLevel
from mixtures.plan.sampled import Bools, Drawn, Floats, Int64s, SampledDocuments
from mixtures.plan.source_plan import SourcePlan
from mixtures.stream.arms.study import LoadedStudy


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


def chances_of(known: Known, name: str) -> Chances | str:
    """Of a source; or, for people, what would have to be known of it."""
    supply, sample = known.supplies[name], known.samples.get(name)
    shares, missing = dict[str, float](), list[str]()
    for use in known.study.judged.filters:
        if use.placebo or (sample is not None and use.label in sample.flags):
            continue
        level = known.levels.get(use.request.level or "", {}) if use.bundle is None else {}
        if name in level:
            shares[use.label] = float(level[name].removed)
        else:
            missing.append(use.label)
    if supply is None or not supply.tokens:
        return "the size is not known; --data probes it"
    if sample is None or not len(sample):
        what = "lengths of documents are not known"
        return f"{what}; --data probes the files, --extract some of them"
    if missing:
        return f"what {', '.join(missing)} removes is not known; --filters brings it"
    taken = min(Fraction(known.rows[name].resolved_tokens, supply.tokens), Fraction(1))
    return Chances(known.study, name, supply, taken, sample, shares)


def fresh_arms(study: LoadedStudy) -> list[str]:
    """Arms whose slots are filled with unused documents."""
    return [arm for arm, one in study.study.arms.items() if one.fill == "fresh"]


class Chances:
    """Those of a source.

    Args:
        taken: what the base takes of it, as a share. shares: what filters that are not at hand flag
            of it, by label.

    Attributes:
        probed: whether a filter at hand judged the sample.
        uncertain: whether an interval tells how far off its supply or its removals are.
    """

    def __init__(
        self,
        study: LoadedStudy,
        name: str,
        supply: SupplyEstimate,
        taken: Fraction,
        sample: SampledDocuments,
        shares: Mapping[str, float],
    ) -> None:
        self._study, self._name, self._supply, self._taken = study, name, supply, taken
        self._sample, self._shares = sample, shares
        self._labels = [use.label for use in study.judged.filters if not use.placebo]
        self.probed = bool(sample.flags)
        self.uncertain = self.probed or supply.high is not None

    @property
    def flagged(self) -> int:
        """Documents of the sample that some filter at hand flags."""
        return int(np.logical_or.reduce(list(self._sample.flags.values())).sum())

    def slots(self, *, best: bool) -> list[Int64s]:
        """Tokens of the slots that arms fill: int64 [num_slots], of filters and of each placebo."""
        parts = dict(map(self._part, fresh_arms(self._study)))
        drawn = [self._drawn(chance, part, best=best) for part, chance in parts.items()]
        return [np.repeat(one.num_tokens, one.documents) for one in drawn if one]

    def _part(self, arm: str) -> tuple[str, Floats]:
        """Of the slots that are drawn together, those that an arm has its own among: what names
        them, and the chance of each document of the sample. Placebos share none with others. An arm
        that is filled otherwise has its own among them if a fresh one removes as much or more by
        the same filter, so that one filter has one figure; else its own are drawn alone.
        """
        study, use = self._study, self._study.filters[arm]
        fresh = [one for one in fresh_arms(study) if not study.filters[one].placebo]
        if use.placebo or not any(
            study.flagged_by(one) == study.flagged_by(arm)
            and study.filters[one].request.fraction >= use.request.fraction
            for one in fresh
        ):
            return use.label if use.placebo else "filters", self._removed([arm])
        return "filters", self._removed(fresh)

    def arm(self, arm: str) -> tuple[int, int]:
        """Documents and tokens that an arm removes."""
        part, whole = self._part(arm)
        drawn = self._drawn(whole, part, best=False)
        if drawn is None:
            return 0, 0
        lengths, at = np.unique(self._sample.num_tokens, return_inverse=True)
        mine, all_of_it = (
            np.bincount(at, self._sample.shares * chance, len(lengths))
            for chance in (self._removed([arm]), whole)
        )
        shares = np.divide(mine, all_of_it, np.zeros_like(mine), where=all_of_it > 0)
        return drawn.share(lengths, shares)

    def donors(self, *, best: bool) -> tuple[KeyRange, dict[int, int]]:
        """Keys of the donors, and how many there are of each length."""
        keys = self._study.base.recipe.sources[self._name].key_range
        high = self._study.donor_keys(self._name).high
        low = min(keys.low + int(keys.width * self._taken), keys.high)
        stretch = KeyRange(low, max(high, low))
        there = Fraction(self._supply.documents * stretch.width, keys.width)
        unflagged = 1 - self._chance(dict.fromkeys(self._labels, 1.0))
        if best:
            there *= Fraction(self._supply.bounds[1], self._supply.tokens)
        drawn = self._draw(unflagged, float(there), "donors")
        return stretch, drawn.counts if drawn else {}

    def _drawn(self, chance: Floats, part: str, *, best: bool) -> Drawn | None:
        """What is removed of the base's documents. chance: of each of the sample."""
        share, least = float((self._sample.shares * chance).sum()), 1.0
        if best and self.probed and share:
            least = share_interval(share, self._sample.effective)[0] / share
        return self._draw(chance, int(self._supply.documents * self._taken) * least, part)

    def _draw(self, chance: Floats, documents: float, part: str) -> Drawn | None:
        """As many lengths as `documents` times the chances come to; None if that is none. part: of
        what is drawn of the source; parts are drawn apart from each other.
        """
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
