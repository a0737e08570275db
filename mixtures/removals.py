"""How much of each source filters are thought to remove, before a document is judged: for plans and first ceilings, never for a count."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from mixtures.loaded_recipe import LoadedRecipe


@dataclass(frozen=True)
class Removal:
    """Shares of a source's documents (and, roughly, of its tokens). removed: by filters; copied: a second time in the mix.

    basis: where the figures are from.
    """

    removed: Fraction
    copied: Fraction
    basis: str

    @property
    def filled(self) -> Fraction:
        """Tokens of a quota that one token of the source fills."""
        return 1 - self.removed + self.copied


def published_removals(recipe: LoadedRecipe) -> dict[str, Removal]:
    """What is published of a recipe's filters, by source; of a source without a figure, that of the whole mix; none where neither is.

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
        figures, basis = (of_source, "published") if known else (published, "published of the whole mix")
        if figures and figures.removed_percent is not None:
            found[name] = Removal(_share(figures.removed_percent) * dose, _share(figures.copied_percent or Decimal(0)), basis)
    return found


def _share(percent: Decimal) -> Fraction:
    return Fraction(percent) / 100
