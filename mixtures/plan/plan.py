"""A plan: what a recipe will take from which supply, what it will cost, and how trainers will read
it, before anything is read.

Supplies, and what filters remove of them, are estimates (published figures, or a probe of the files
at hand) and the plan says so. The quotas are exact, and hold if the supplies do; a build counts the
real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mixtures.plan.levels import ByLevel, levels_json, published_levels
from mixtures.plan.removals import (
    Removal,
    filter_notes,
    published_removals,
    removal_row,
    shrink_notes,
)
from mixtures.plan.resources import (
    DEFAULT_RATES,
    Rates,
    near_notes,
    resources,
    score_notes,
    work_of,
)
from mixtures.plan.shortages import Question, fitted_whole, shortage_json, shortages
from mixtures.plan.supply import SupplyEstimate, supplies_within
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Quotas, Size, scale_of
from mixtures.trainers.schedule import budget_fit, fit_json

CEILING_MARGIN = Fraction(
    115, 100
)  # tokenize so much more than the estimate says: one reading too few costs more than a few tokens


def make_plan(
    recipe: LoadedRecipe,
    size: Size,
    supplies: Mapping[str, SupplyEstimate],
    removals: Mapping[str, Removal] | None = None,
    levels: ByLevel | None = None,
    rates: Rates = DEFAULT_RATES,
) -> dict[str, Any]:
    """Everything that can be said of a build before it begins, as integers and strings.

    Sources without an estimate are taken to hold what they are asked, and to lose nothing to
    filters.

    Args:
        removals: by source, where something is known; None takes what is published. levels:
            likewise, at each published level.

    Returns:
        JSON-able; `shortages` lists in words what the supplies certainly do not cover (empty: the
        plan may work), `warnings` what they may not cover, `shortfalls` both, with what would mend
        each. total_tokens: of the quotas and inserts; left_tokens_estimated: of them, what a mix
        that shrinks is thought to hold.

    Raises:
        SupplyError: sources that are used whole, or inserts, certainly hold more than the budget.
    """
    asked, shrinks = recipe.recipe.sources, recipe.recipe.shrinks
    removals = published_removals(recipe) if removals is None else removals
    levels = published_levels(recipe) if levels is None else levels
    within = supplies_within(recipe, supplies)
    filling = (
        within
        if shrinks
        else {name: _filling(found, removals.get(name)) for name, found in within.items()}
    )
    inserts = _inserts(recipe, size, supplies)
    question = Question(
        recipe,
        size,
        within,
        filling,
        {name: row["tokens_estimated"] or 0 for name, row in inserts.items()},
    )
    quotas, tight = fitted_whole(question)
    short = shortages(question, quotas)
    rows = {
        name: (
            _source(recipe, name, quotas, within[name], filling[name])
            | removal_row(recipe, quotas.resolved[name], removals.get(name))
        )
        for name in asked
    }
    left = sum(row["left_tokens_estimated"] for row in rows.values()) + sum(
        quotas.inserted.values()
    )
    meant = sum(quotas.resolved.values()) if shrinks else None
    fit = (
        budget_fit(
            recipe.canonical().get("budget"),
            whole=size == Size(),
            num_tokens=left,
            quota_tokens=meant,
        )
        if left
        else None
    )
    work = work_of(recipe, rows, supplies, left)
    return {
        "recipe": recipe.recipe.name,
        "recipe_digest": recipe.digest,
        "size": size.as_json(),
        "total_tokens": quotas.total,
        "left_tokens_estimated": left,
        "sources": rows,
        "inserts": inserts,
        "filters": [
            {"label": item.label, "identity": item.canonical()["identity"]}
            for item in recipe.filters
        ],
        "removed": recipe.recipe.removed if recipe.filters else None,
        "removal_by_level": levels_json(levels),
        "shortfalls": [shortage_json(item) for item in short],
        "shortages": [
            item.line(recipe.recipe.name) for item in short if item.certainty == "certain"
        ],
        "warnings": [
            *tight,
            *(item.line(recipe.recipe.name) for item in short if item.certainty != "certain"),
        ],
        "notes": [
            *_notes(rows),
            *_quality_notes(recipe, supplies),
            *near_notes(recipe),
            *score_notes(recipe, work),
            *filter_notes(recipe, rows, inserts),
            *shrink_notes(quotas.total, left, fit if shrinks else None),
        ],
        "resources": resources(recipe, rows, work, rates),
        "trainer_fit": fit_json(fit) if fit else {},
    }


def _filling(within: SupplyEstimate | None, removal: Removal | None) -> SupplyEstimate | None:
    """What a supply is worth after filters, where removed documents are refilled."""
    return within if within is None or removal is None else removal.filling(within)


def _inserts(
    recipe: LoadedRecipe, size: Size, supplies: Mapping[str, SupplyEstimate]
) -> dict[str, dict[str, Any]]:
    """Inserts, whole documents of a preview's share; tokens_estimated is None of those that nothing
    is known of.
    """
    scale, found = scale_of(recipe.recipe, size), {}
    for name, insert in recipe.recipe.insert.items():
        supply, definition = supplies.get(name), recipe.definitions[name]
        found[name] = {
            "definition": definition.name,
            "repository": definition.origin,
            "licence": definition.licence,
            "times": insert.times,
            "on_top": insert.on_top,
            "tokens_estimated": math.ceil(scale * supply.tokens) * insert.times if supply else None,
            "supply_basis": supply.basis if supply else "unknown",
        }
    return found


def _source(
    recipe: LoadedRecipe,
    name: str,
    quotas: Quotas,
    within: SupplyEstimate | None,
    filling: SupplyEstimate | None,
) -> dict[str, Any]:
    request, definition = recipe.recipe.sources[name], recipe.definitions[name]
    quota, enough = quotas.resolved[name], filling.tokens if filling else 0
    share = (
        min(Fraction(quota, enough) * CEILING_MARGIN, Fraction(1))
        if enough and not request.all
        else Fraction(1)
    )
    low, high = request.keys
    top = low + (high - low) * math.ceil(share * 10_000) / 10_000
    return {
        "definition": definition.name,
        "repository": definition.origin,
        "licence": definition.licence,
        "keys": [str(low), str(high)],
        "asked_tokens": quotas.asked[name],
        "resolved_tokens": quota,
        "refilled": quotas.refilled.get(name, {}),
        "epochs": -(-quota // enough) if enough else 1,
        "supply_tokens_estimated": within.tokens if within else None,
        "supply_tokens_interval": (
            list(within.bounds) if within and within.low is not None else None
        ),
        "supply_documents_estimated": within.documents if within else None,
        "supply_basis": within.basis if within else "unknown",
        "tokenized_share_estimated": f"{float(share):.4f}",
        "key_ceiling_estimated": f"{top:.6f}",
    }


def _notes(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    notes = []
    for name, row in rows.items():
        if row["resolved_tokens"] == 0:
            notes.append(
                f"sources.{name}: its quota resolves to 0 tokens at this size; it will not be in"
                " the mix"
            )
        documents, tokens = row["supply_documents_estimated"], row["supply_tokens_estimated"]
        if documents and 0 < row["resolved_tokens"] < tokens // documents:
            notes.append(
                f"sources.{name}: its quota of {row['resolved_tokens']:,} tokens is less than one"
                " document of average length; it may be a single document, cut"
            )
    return notes


def _quality_notes(recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]) -> list[str]:
    return [
        f"sources.{name}: its published supply counts what the quality steps will drop; a probe"
        " (--data) leaves that out"
        for name, request in recipe.recipe.sources.items()
        if request.quality and name in supplies and supplies[name].basis == "published"
    ]
