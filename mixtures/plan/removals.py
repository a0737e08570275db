"""How much of each source filters are thought to remove, before a document is judged: for plans and
first ceilings, never for a count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from mixtures.estimates import SupplyEstimate
from mixtures.recipe.loaded import LoadedRecipe

PUBLISHED, OF_WHOLE = "published", "published of the whole mix"
"""Bases of what is published."""


@dataclass(frozen=True)
class Removal:
    """Shares of a source's documents (and, roughly, of its tokens)."""

    removed: Fraction
    """By filters."""
    copied: Fraction
    """A second time in the mix."""
    basis: str
    """Where the figures are from."""
    bounds: tuple[Fraction, Fraction] | None = None
    """Ends of a 95% interval of `removed`; None: nothing tells how far off it is."""
    most_copied: Fraction = Fraction(0)
    """Upper end of such an interval of `copied`."""

    @property
    def filled(self) -> Fraction:
        """Tokens of a quota that one token of the source fills."""
        return 1 - self.removed + self.copied

    @property
    def interval(self) -> tuple[Decimal, Decimal] | None:
        """`bounds`, rounded."""
        return self.bounds and (rounded_share(self.bounds[0]), rounded_share(self.bounds[1]))

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
    """What is published of a recipe's filters, by source; of a source without a figure, that of its
    corpus or of the whole mix; none where neither is.

    A dose removes its fraction of that.
    """
    published = recipe.recipe.published
    if not recipe.filters or published is None:
        return {}
    dose = min(sum(Fraction(item.request.fraction) for item in recipe.filters), Fraction(1))
    removals = {}
    for name, request in recipe.recipe.sources.items():
        of_source = published.sources.get(name) or published.sources.get(request.corpus or "")
        known = bool(of_source and of_source.removed_percent is not None)
        figures, basis = (of_source, PUBLISHED) if known else (published, OF_WHOLE)
        if figures and figures.removed_percent is not None:
            removals[name] = Removal(
                _share(figures.removed_percent) * dose,
                _share(figures.copied_percent or Decimal(0)),
                basis,
            )
    return removals


def _share(percent: Decimal) -> Fraction:
    return Fraction(percent) / 100


def rounded_share(share: Fraction) -> Decimal:
    """As plans print it: four decimals."""
    return Decimal(f"{float(share):.4f}")
