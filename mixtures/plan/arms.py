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
from typing import Literal

import numpy as np
from pydantic_core import to_jsonable_python

from mixtures.keys import KEY_SPACE
from mixtures.plan.chances import Chances, Known, chances_of, fresh_arms
from mixtures.stream.arms.figures import Given, StudyFigures
from mixtures.stream.arms.study import Filled, LoadedStudy
from mixtures.words import plural

FEW = 30
"""Documents of a sample: of fewer that are flagged, lengths are a guess."""

_APPROVED = (
    "how approved documents fill their slots is not estimated; --store measures it where a build of"
    " the study has read them"
)

_REWRITES = "what stands behind rewrites is known when these are read: a build says it"

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
        fields = {name: value for name, value in vars(self).items() if name != "figures"}
        fillings = [_filling(one) for one in self.figures]
        return {**to_jsonable_python(fields), "fillings": fillings}


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


def estimated_study(known: Known) -> StudyPlan:
    """Plan a study from estimates."""
    study = known.study
    names = list(study.base.recipe.sources)
    chances = {name: chances_of(known, name) for name in names}
    unknown = {name: one for name, one in chances.items() if isinstance(one, str)}
    for name in names:
        giver = study.donor_source(name)
        if name not in unknown and giver in unknown:
            unknown[name] = f"{giver} gives its donors, and {unknown[giver]}"
    enough = {
        name: one
        for name, one in chances.items()
        if not isinstance(one, str) and name not in unknown
    }
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
    return [f"{', '.join(arms)}: {_REWRITES}"] if arms else []


def _figures(known: Known, chances: Mapping[str, Chances], *, best: bool) -> StudyFigures:
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
    return StudyFigures.of(Filled(tuple(fresh_arms(study)), None), names, given)


def _arm(study: LoadedStudy, arm: str, chances: Iterable[Chances]) -> ArmFigures:
    found = [one.arm(arm) for one in chances]
    documents, tokens = (sum(pair[at] for pair in found) for at in (0, 1))
    return ArmFigures(study.study.arms[arm].fill, documents, tokens)
