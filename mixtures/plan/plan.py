"""A plan: what a recipe will take from which supply, what it will cost, and how trainers will read
it, before anything is read.

Supplies, and what filters remove of them, are estimates (published figures, or a probe of the files
at hand) and the plan says so. The quotas are exact, and hold if the supplies do; a build counts the
real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from mixtures.estimates import SupplyEstimate
from mixtures.plan.cost import DEFAULT_RATES, Cost, Rates, estimate_cost, work_of
from mixtures.plan.notes import (
    filter_notes,
    level_notes,
    near_notes,
    quality_notes,
    quota_notes,
    score_notes,
    shrink_notes,
    supply_notes,
)
from mixtures.plan.published import Amount, Comparison, comparisons
from mixtures.plan.removal_levels import (
    ByLevel,
    RemovedShare,
    estimated_removals,
    published_levels,
    removed_shares,
)
from mixtures.plan.removals import Removal
from mixtures.plan.shortages import Demand, Shortage, fitted_whole, shortages
from mixtures.plan.source_plan import (
    InsertPlan,
    SourcePlan,
    plan_inserts,
    plan_source,
    supplies_within,
)
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Quotas, Size
from mixtures.trainers.fit import TrainerFit
from mixtures.trainers.schedule import fit_json, mix_fit


@dataclass(frozen=True)
class FilterPlan:
    """A filter of the recipe. identity: `not brought` where the user has still to bring it."""

    label: str
    identity: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that can be said of a build before it begins."""

    recipe: str
    recipe_digest: str
    size: Size
    total_tokens: int
    """Of the quotas and inserts."""
    left_tokens_estimated: int
    """Of them, what a mix that shrinks is thought to hold."""
    sources: Mapping[str, SourcePlan]
    inserts: Mapping[str, InsertPlan]
    published: tuple[Comparison, ...]
    """What is published, beside what is thought to be taken."""
    filters: tuple[FilterPlan, ...]
    removed: str | None
    """`refill` or `shrink`; None without filters."""
    removal_by_level: Mapping[str, Mapping[str, RemovedShare]]
    """{level: {source: ...}}, where something is known."""
    shortfalls: tuple[Shortage, ...]
    """What the supplies do not cover, or may not, with what would mend each."""
    whole_warnings: tuple[str, ...]
    """That sources which are used whole may hold more than the budget."""
    notes: tuple[str, ...]
    resources: Cost
    fit: TrainerFit | None
    """None of a mix without tokens."""

    @property
    def shortages(self) -> list[str]:
        """What the supplies certainly do not cover, for people (empty: the plan may work)."""
        return [item.line(self.recipe) for item in self.shortfalls if item.certainty == "certain"]

    @property
    def warnings(self) -> list[str]:
        """What they may not cover, for people."""
        uncertain = (item for item in self.shortfalls if item.certainty != "certain")
        return [*self.whole_warnings, *(item.line(self.recipe) for item in uncertain)]

    def as_json(self) -> dict[str, Any]:
        """Integers and strings."""
        fields = {**vars(self), "size": self.size.as_json(), "resources": self.resources.as_json()}
        fields |= {"shortages": self.shortages, "warnings": self.warnings}
        fields["published"] = [row.as_json() for row in self.published]
        fit = fields.pop("fit")
        del fields["whole_warnings"]
        return {**to_jsonable_python(fields), "trainer_fit": fit_json(fit) if fit else {}}


def make_plan(
    recipe: LoadedRecipe,
    size: Size,
    supplies: Mapping[str, SupplyEstimate],
    removals: Mapping[str, Removal] | None = None,
    levels: ByLevel | None = None,
    rates: Rates = DEFAULT_RATES,
) -> Plan:
    """Plan a build.

    Sources without an estimate are taken to hold what they are asked, and to lose nothing to
    filters.

    Args:
        removals: by source, where something is known; None takes what is published. levels:
            likewise, at each published level.

    Raises:
        SupplyError: sources that are used whole, or inserts, certainly hold more than the budget.
    """
    removals = estimated_removals(recipe) if removals is None else removals
    levels = published_levels(recipe) if levels is None else levels
    within = supplies_within(recipe, supplies)
    filling = {name: _filling(recipe, within[name], removals.get(name)) for name in within}
    inserts = plan_inserts(recipe, size, supplies)
    inserted = {name: row.tokens_estimated or 0 for name, row in inserts.items()}
    demand = Demand(recipe, size, within, filling, inserted)
    quotas, whole_warnings = fitted_whole(demand)
    sources = {
        name: plan_source(
            recipe,
            name,
            quotas,
            within=within[name],
            filling=filling[name],
            removal=removals.get(name),
        )
        for name in recipe.recipe.sources
    }
    remaining = sum(row.left_tokens_estimated for row in sources.values()) + sum(
        quotas.inserted.values()
    )
    fit = _fit(recipe, size, quotas, remaining)
    work = work_of(recipe, sources, supplies, remaining)
    return Plan(
        recipe=recipe.recipe.name,
        recipe_digest=recipe.digest,
        size=size,
        total_tokens=quotas.total,
        left_tokens_estimated=remaining,
        sources=sources,
        inserts=inserts,
        published=_published(recipe, sources, whole=size == Size()),
        filters=tuple(
            FilterPlan(item.label, item.canonical()["identity"]) for item in recipe.filters
        ),
        removed=recipe.recipe.removed if recipe.filters else None,
        removal_by_level=removed_shares(levels),
        shortfalls=tuple(shortages(demand, quotas)),
        whole_warnings=tuple(whole_warnings),
        notes=(
            *quota_notes(sources),
            *supply_notes(recipe, supplies),
            *quality_notes(recipe, supplies),
            *near_notes(recipe),
            *score_notes(recipe, work.escalated_bytes),
            *filter_notes(recipe, size, sources, inserts),
            *level_notes(levels),
            *(shrink_notes(quotas.total, remaining, fit) if fit and recipe.recipe.shrinks else ()),
        ),
        resources=estimate_cost(recipe, sources, work, rates),
        fit=fit,
    )


def _filling(
    recipe: LoadedRecipe, within: SupplyEstimate | None, removal: Removal | None
) -> SupplyEstimate | None:
    """What a supply is worth after filters, where removed documents are refilled."""
    if recipe.recipe.shrinks or within is None or removal is None:
        return within
    return removal.filling(within)


def _published(
    recipe: LoadedRecipe, rows: Mapping[str, SourcePlan], *, whole: bool
) -> tuple[Comparison, ...]:
    """What is published, beside the rows of the plan's sources."""
    published = recipe.recipe.published
    if published is None:
        return ()
    amounts = [
        Amount(name, row.corpus, row.left_tokens_estimated, row.left_documents_estimated)
        for name, row in rows.items()
    ]
    return comparisons(amounts, published.sources, published, whole=whole)


def _fit(recipe: LoadedRecipe, size: Size, quotas: Quotas, remaining: int) -> TrainerFit | None:
    """How trainers read what is left of the quotas; None if that is nothing."""
    if not remaining:
        return None
    return mix_fit(
        size.meant_schedule(recipe.canonical().get("budget")),
        remaining,
        sum(quotas.resolved.values()) if recipe.recipe.shrinks else None,
    )
