"""What the filter of each arm removes of the base, as its manifest will say, before any mix is
written.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mixtures.mix.judged.filters import FilterClaim, FilterFigures, RemovedClaim, ScoresClaim
from mixtures.stream.arms.study import LoadedStudy
from mixtures.stream.placebo import add_lengths, by_class
from mixtures.yaml.disk import shown
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged
from pipeline.build.claims.description import filter_claim, level_counts
from pipeline.build.placebo import unlike
from pipeline.stages.chosen_figures import score_digest


def arm_filters(study: LoadedStudy, judged: Judged, slots: Slots) -> dict[str, FilterClaim]:
    """What a manifest says of the filter of each arm, by arm."""
    found = {}
    for arm, use in study.filters.items():
        number = study.number(arm)
        scored = number if use.definition.classifier is not None else None
        done = arm_figures(slots, slots.arms[arm], judged, scored)
        levels = level_counts(use, number, judged.choices)
        found[arm] = filter_claim(use, done, judged.placebos.get(number), levels)
    return found


def unlike_arms(study: LoadedStudy, filters: Mapping[str, FilterClaim]) -> list[str]:
    """Arms whose placebo is none, for people."""
    return [
        f"{shown(study.file)}: arms.{arm}.remove: {fault}"
        for arm, claim in filters.items()
        if (fault := unlike(claim))
    ]


def arm_figures(
    slots: Slots, mine: npt.NDArray[np.bool_], judged: Judged, scored: int | None
) -> FilterFigures:
    """What the filter of an arm removes of the base, and the scores that it decided by.

    Args:
        mine: slots of the arm, bool [num_slots]. scored: number of the filter among those that
            judged the base, if it has a classifier.
    """
    removed, lengths = {}, dict[int, int]()
    for source, name in enumerate(slots.names):
        tokens = slots.num_tokens[mine & (slots.source == source)]
        add_lengths(lengths, tokens)
        figures = {"documents": len(tokens), "tokens": int(tokens.sum())}
        first = {f"first_{name}": count for name, count in figures.items()}
        removed[name] = RemovedClaim(**figures, **first)
    scores = None
    if scored is not None:
        documents, hashed = score_digest(judged.choices.values(), scored)
        scores = ScoresClaim(documents=documents, blake3=hashed)
    return FilterFigures(
        scores=scores,
        removed=removed,
        lengths={str(least): count for least, count in by_class(lengths).items()},
    )
