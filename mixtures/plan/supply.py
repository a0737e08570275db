"""Supply: what each source of a recipe is thought to hold, from the publishers' figures, and what
of it lies in the source's key range. Estimates from files are `mixtures.estimates`.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixtures.estimates import SupplyEstimate
from mixtures.recipe.loaded import LoadedRecipe


def published_supplies(recipe: LoadedRecipe) -> dict[str, SupplyEstimate]:
    """Estimates from the publishers' figures, which count no EOD, in tokens of the recipe's
    tokenizer where a ratio is known; sources without figures are left out.
    """
    supplies = {}
    for name, definition in recipe.definitions.items():
        if size := definition.published:
            tokens, basis = size.tokens_of(recipe.tokenizer.name)
            supplies[name] = SupplyEstimate(size.documents, tokens + size.documents, basis)
    return supplies


def supplies_within(
    recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]
) -> dict[str, SupplyEstimate | None]:
    """Of each source what its key range is thought to hold; None: not known."""
    requests = recipe.recipe.sources.items()
    return {
        name: supplies[name].within(request.key_range) if name in supplies else None
        for name, request in requests
    }
