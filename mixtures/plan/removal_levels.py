"""What filters are thought to remove at each of the published levels, whichever of them a recipe
asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache

from mixtures.plan.removals import OF_WHOLE, PUBLISHED, Removal, published_removals, rounded_share
from mixtures.recipe.filter_use import NOT_PUBLISHED
from mixtures.recipe.load import list_recipes, load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.rules.levels import LEVELS, Level
from mixtures.yaml.disk import SHIPPED, read_text

ByLevel = Mapping[str, Mapping[str, Removal]]
"""{level: {source: what is removed of it}}; a source that nothing is known of is left out."""


def estimated_removals(recipe: LoadedRecipe) -> dict[str, Removal]:
    """What is published of a recipe's filters, by source.

    Where a source has the figure of the whole mix alone, and a stronger level of the same sources
    has one for each, it is shared out as there: a filter that removes 2.02% of a mix, whose
    stronger level removes 5.04% of it and 1.32% of a source, is thought to remove 0.53% of that.
    So levels, which are nested, have nested estimates.
    """
    removals = published_removals(recipe)
    whole = {name for name, removal in removals.items() if removal.basis == OF_WHOLE}
    request = recipe.filters[0].request if len(recipe.filters) == 1 else None
    if not whole or request is None or request.level is None:
        return removals
    for other, level in sorted(_published(), key=lambda found: LEVELS.index(found[1])):
        if LEVELS.index(level) <= LEVELS.index(request.level) or not _same(other, recipe):
            continue
        stronger, published = published_removals(other), other.recipe.published
        of_mix = published.removed_percent if published else None
        if of_mix and all(stronger[name].basis == PUBLISHED for name in whole):
            basis = f"{OF_WHOLE}, shared as at {level}"
            for name in whole:
                share = stronger[name].removed * 100 / Fraction(of_mix)
                removed = removals[name].removed * share
                removals[name] = replace(removals[name], removed=removed, basis=basis)
            return removals
    return removals


def _same(one: LoadedRecipe, other: LoadedRecipe) -> bool:
    """Whether two recipes take the same definitions under the same names."""
    names, others = (
        {name: recipe.definitions[name].name for name in recipe.recipe.sources}
        for recipe in (one, other)
    )
    return names == others


def published_levels(recipe: LoadedRecipe) -> dict[str, dict[str, Removal]]:
    """What is published of a recipe's sources by level: of the shipped recipes that take the same
    definitions, with one published filter.

    Recipes with other filters have none, since a filter's removal says nothing of another's; nor
    have those with data of their own.
    """
    if recipe.data or any(item.name not in NOT_PUBLISHED for item in recipe.filters):
        return {}
    levels: dict[str, dict[str, Removal]] = {}
    for other, level in _published():
        if level not in levels and _same(other, recipe) and (removals := estimated_removals(other)):
            levels[level] = removals
    return levels


@cache
def _published() -> tuple[tuple[LoadedRecipe, Level], ...]:
    """Shipped recipes that use one published filter, whole, at a level."""
    return tuple(_with_one_filter())


def _with_one_filter() -> Iterator[tuple[LoadedRecipe, Level]]:
    for name in list_recipes():
        file = SHIPPED / f"{name}.yaml"
        # most recipes have no filters, and take their time to read with all that they name
        if "\nfilters:" not in read_text(file, str(file)):
            continue
        other = load_recipe(name)
        requests = [item.request for item in other.filters]
        if (
            len(requests) == 1
            and requests[0].use in NOT_PUBLISHED
            and requests[0].level
            and requests[0].fraction == 1
        ):
            yield other, requests[0].level


@dataclass(frozen=True)
class RemovedShare:
    """What of a source's text filters are thought to remove, to four decimals."""

    removed_share_estimated: Decimal
    removed_share_interval: tuple[Decimal, Decimal] | None
    basis: str


def removed_shares(levels: ByLevel) -> dict[str, dict[str, RemovedShare]]:
    """Removals by level and source, as plans hold them."""
    return {
        level: {
            name: RemovedShare(rounded_share(removal.removed), removal.interval, removal.basis)
            for name, removal in levels[level].items()
        }
        for level in LEVELS
        if levels.get(level)
    }
