"""How much of each source filters are thought to remove, before a document is judged: for plans and
first ceilings, never for a count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from mixtures.plan.supply import SupplyEstimate
from mixtures.recipe.filters import NOT_PUBLISHED
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.trainers.fit import TrainerFit


@dataclass(frozen=True)
class Removal:
    """Shares of a source's documents (and, roughly, of its tokens). removed: by filters; copied: a
    second time in the mix.

    basis: where the figures are from. bounds: ends of a 95% interval of `removed`; None: nothing
        tells how far off it is.
    most_copied: upper end of one of `copied`.
    """

    removed: Fraction
    copied: Fraction
    basis: str
    bounds: tuple[Fraction, Fraction] | None = None
    most_copied: Fraction = Fraction(0)

    @property
    def filled(self) -> Fraction:
        """Tokens of a quota that one token of the source fills."""
        return 1 - self.removed + self.copied

    def filling(self, supply: SupplyEstimate) -> SupplyEstimate:
        """What a supply is worth where removed documents are refilled: tokens of the quota that it
        fills.

        A published removal is that of other documents, so that less of these, or nothing, may be
        removed.
        """
        low, high = supply.bounds
        least, most = self.bounds or (Fraction(0), self.removed)
        return replace(
            supply,
            tokens=int(supply.tokens * self.filled),
            low=int(low * (1 - most + self.copied)),
            high=math.ceil(high * (1 - least + max(self.copied, self.most_copied))),
        )


def published_removals(recipe: LoadedRecipe) -> dict[str, Removal]:
    """What is published of a recipe's filters, by source; of a source without a figure, that of the
    whole mix; none where neither is.

    A dose removes its fraction of that.
    """
    published = recipe.recipe.published
    if not recipe.filters or published is None:
        return {}
    dose = min(sum(Fraction(item.request.fraction) for item in recipe.filters), Fraction(1))
    found = {}
    for name in recipe.recipe.sources:
        of_source = published.sources.get(name)
        known = bool(of_source and of_source.removed_percent is not None)
        figures, basis = (
            (of_source, "published") if known else (published, "published of the whole mix")
        )
        if figures and figures.removed_percent is not None:
            found[name] = Removal(
                _share(figures.removed_percent) * dose,
                _share(figures.copied_percent or Decimal(0)),
                basis,
            )
    return found


def _share(percent: Decimal) -> Fraction:
    return Fraction(percent) / 100


def removal_row(recipe: LoadedRecipe, quota: int, removal: Removal | None) -> dict[str, Any]:
    """What of a source filters are thought to remove and copy, as shares of its tokens, and what is
    left of its quota.
    """
    left = int(quota * removal.filled) if removal and recipe.recipe.shrinks else quota
    return {
        "removed_share_estimated": f"{float(removal.removed):.4f}" if removal else None,
        "removed_share_interval": (
            [f"{float(bound):.4f}" for bound in removal.bounds]
            if removal and removal.bounds
            else None
        ),
        "copied_share_estimated": f"{float(removal.copied):.4f}" if removal else None,
        "removal_basis": removal.basis if removal else "unknown" if recipe.filters else None,
        "left_tokens_estimated": left,
    }


def filter_notes(
    recipe: LoadedRecipe,
    rows: Mapping[str, Mapping[str, Any]],
    inserts: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What the user must bring, and what of the filters is not known."""
    notes = [
        f"filter {item.label} must be brought for a build ({NOT_PUBLISHED[item.name]}): --filters"
        f" DIR, DIR holds {item.name}/filter.yaml"
        for item in recipe.filters
        if item.bundle is None
    ]
    if unknown := [name for name, row in rows.items() if row["removal_basis"] == "unknown"]:
        notes.append(
            f"{', '.join(unknown)}: what filters remove is not published, and counted as nothing"
            " here; --data and --filters estimate it"
        )
    for name, row in inserts.items():
        if row["tokens_estimated"] is None:
            notes.append(
                f"insert.{name} must be brought for a build, --data {row['definition']}=DIR; its"
                " size is unknown, counted as nothing here"
            )
    return notes


def shrink_notes(total: int, left: int, fit: TrainerFit | None) -> list[str]:
    """What a mix that shrinks is thought to hold, and how often its trainer sees it at the schedule
    of the whole mix.
    """
    if fit is None:
        return []
    seen = next(reading for reading in fit.readings if reading.trainer == "gpt-neox")
    how = (
        f"; at {fit.steps:,} steps GPT-NeoX sees {seen.exposure} ({seen.epochs} epochs)"
        if fit.steps
        else ""
    )
    return [
        f"removed: shrink: about {left:,} of {total:,} tokens are left{how}; `--removed refill`"
        " fills the quotas"
    ]
