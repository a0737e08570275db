"""What filters that are at hand remove of a probe's sample: at the recipe's level and at each of
the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mixtures.errors import RecipeError
from mixtures.estimates import share_interval
from mixtures.plan.removals import Removal
from mixtures.recipe.filter_use import FilterUse, at_level
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.rules.levels import LEVELS, Level
from pipeline.inputs.probe import Probe
from pipeline.judges.filter import Filter, Judgement

SHARES = 10_000  # shares are told in such parts, their ends rounded outwards


@dataclass(frozen=True)
class ProbedUse:
    """A recipe's filter, opened with its classifier, if it has one that can be opened here."""

    item: FilterUse
    opened: Filter

    def flagged(self, judgement: Judgement, level: Level | None) -> npt.NDArray[np.bool_] | None:
        """bool [num_docs]: what it flags at a level; None: that takes a classifier, and there is
        none.
        """
        try:
            pin = at_level(self.item.brought, level).classifier
        except RecipeError:
            return None
        if pin is None:
            return judgement.escalated
        if not self.opened.classifier:
            return None
        return judgement.scores > pin.threshold_millionths


def open_filters(recipe: LoadedRecipe) -> list[ProbedUse]:
    """The recipe's filters, those that the user has brought.

    Raises: as `Filter.open`.
    """
    return [ProbedUse(item, _opened(item)) for item in recipe.filters if item.bundle]


def _opened(item: FilterUse) -> Filter:
    bundle = item.brought
    try:
        return Filter.open(bundle.definition, bundle.folder, bundle.where)
    except (
        RecipeError
    ):  # the classifier's extra is not installed, and the recipe's level may not need it
        if item.definition.classifier:
            raise
        return Filter.open(item.definition, bundle.folder, bundle.where)


Judged = Sequence[tuple[ProbedUse, Judgement]]
"""Filters, each with what it says of a sample's texts."""


def judge_sample(filters: Sequence[ProbedUse], sample: Probe) -> Judged:
    """Have filters judge a sample."""
    texts = sample.texts
    return [(use, use.opened.judge(texts)) for use in filters]


def own_flags(judged: Judged) -> dict[str, npt.NDArray[np.bool_]]:
    """What each filter flags as it is used, by its label, bool [num_docs]; placebos, which flag
    nothing of their own, and filters that cannot judge here are left out.
    """
    flags = {
        use.item.label: use.flagged(judgement, use.item.request.level)
        for use, judgement in judged
        if not use.item.placebo
    }
    return {label: flagged for label, flagged in flags.items() if flagged is not None}


def probed_removals(
    recipe: LoadedRecipe, judged: Judged, sample: Probe
) -> dict[Level | None, Removal]:
    """What is removed of a source by level; None: as the recipe says. Levels that take a classifier
    which is not there are left out; all are where a filter is not brought, since a part of the
    filters says little.

    A dose removes each flagged document with its fraction as the chance, a placebo any document
    with that chance that makes it remove as much text as its filter. Shares are of the text, since
    tokens are what quotas count.
    """
    if not judged or len(judged) < len(recipe.filters) or not sample.weights.sum():
        return {}
    removals: dict[Level | None, Removal] = {}
    for level in (None, *LEVELS):
        flags = [
            use.flagged(judgement, level or use.item.request.level) for use, judgement in judged
        ]
        if all(flag is not None for flag in flags):
            chances = [
                (use, judgement, flag)
                for (use, judgement), flag in zip(judged, flags, strict=True)
                if flag is not None
            ]
            removals[level] = _removal(
                sample, chances, copies=level is None and recipe.recipe.copies == "approved"
            )
    return removals


def _removal(
    sample: Probe,
    judged: Sequence[tuple[ProbedUse, Judgement, npt.NDArray[np.bool_]]],
    *,
    copies: bool,
) -> Removal:
    """judged: each filter with what it says of the sample and what it flags, bool [num_docs]."""
    # float64 [num_docs], of the text; a document's chance to be kept is the product over filters
    shares = sample.weights / sample.weights.sum()
    kept, escalated = np.ones(len(shares)), np.zeros(len(shares), np.bool_)
    for use, judgement, flagged in judged:
        request, placebo = use.item.request, use.item.placebo
        chance = (
            np.full(len(shares), float(shares[flagged].sum()))
            if placebo
            else flagged.astype(np.float64)
        )
        kept *= 1 - float(request.fraction) * chance
        escalated |= judgement.escalated & (not placebo)
    removed, copied = (
        float((shares * part).sum()) for part in (1 - kept, kept * escalated * copies)
    )
    bounds, most_copied = (removed, removed), copied
    if not sample.whole or any(
        use.item.placebo or use.item.request.fraction < 1 for use, _, _ in judged
    ):  # chance decides, too
        effective = 1 / float((shares**2).sum())
        bounds, most_copied = (
            share_interval(removed, effective),
            share_interval(copied, effective)[1] * copies,
        )
    ends = (
        Fraction(math.floor(bounds[0] * SHARES), SHARES),
        Fraction(math.ceil(bounds[1] * SHARES), SHARES),
    )
    return Removal(
        _rounded(removed),
        _rounded(copied),
        "probe",
        ends,
        Fraction(math.ceil(most_copied * SHARES), SHARES),
    )


def _rounded(share: float) -> Fraction:
    return Fraction(round(share * SHARES), SHARES)
