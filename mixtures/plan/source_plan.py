"""What a plan says of each source and each insert, and what each source is thought to hold by its
publisher's figures. Estimates from files are `mixtures.estimates`.

Fields are named as in the plan's JSON. Shares are rounded to four decimals and written as text
there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from mixtures.estimates import SupplyEstimate
from mixtures.plan.removals import Removal, rounded_share
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Quotas, Size, scale_of

CEILING_MARGIN = Fraction(115, 100)
"""Tokenize so much more than the estimate says: one reading too few costs more than a few
tokens."""


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """What a mix will take of a source."""

    definition: str
    corpus: str | None
    """That it is a part of."""
    repository: str
    """REPO@REVISION, or that the user brings the files."""
    licence: str
    keys: tuple[Decimal, Decimal]
    """Of the recipe: [lower, upper)."""
    asked_tokens: int
    resolved_tokens: int
    """The quota: what was asked, after shortfalls."""
    refilled: Mapping[str, int]
    """{source that gives instead: tokens}."""
    epochs: int
    supply_tokens_estimated: int | None
    """Of the key range, before filters; None: not known, as in the next three."""
    supply_tokens_interval: tuple[int, int] | None
    supply_documents_estimated: int | None
    supply_basis: str
    tokenized_share_estimated: Decimal
    """Of the key range, with `CEILING_MARGIN`."""
    key_ceiling_estimated: Decimal
    """Documents up to this key are tokenized; six decimals."""
    removed_share_estimated: Decimal | None
    """By filters; None: not known, or no filters."""
    removed_share_interval: tuple[Decimal, Decimal] | None
    copied_share_estimated: Decimal | None
    removal_basis: str | None
    """None: no filters."""
    left_tokens_estimated: int
    """Of the quota, where filters leave gaps."""

    @property
    def left_documents_estimated(self) -> int | None:
        """Documents of these tokens, of the supply's average length; None: not known."""
        documents, tokens = self.supply_documents_estimated, self.supply_tokens_estimated
        if documents is None or not tokens:
            return None
        return self.left_tokens_estimated * documents // tokens


@dataclass(frozen=True, kw_only=True)
class InsertPlan:
    """What a mix will take of an insert: whole documents, of a preview's share unless `whole`."""

    definition: str
    repository: str
    licence: str
    times: int
    on_top: bool
    whole: bool
    tokens_estimated: int | None
    """All times counted; None: nothing is known of it."""
    supply_basis: str


def plan_source(
    recipe: LoadedRecipe,
    name: str,
    quotas: Quotas,
    *,
    within: SupplyEstimate | None,
    filling: SupplyEstimate | None,
    removal: Removal | None,
) -> SourcePlan:
    """A source's row. within: its supply in its key range; filling: likewise, after filters."""
    request, definition = recipe.recipe.sources[name], recipe.definitions[name]
    quota, enough = quotas.resolved[name], filling.tokens if filling else 0
    share = Fraction(1)
    if enough and not request.all:
        share = min(Fraction(quota, enough) * CEILING_MARGIN, share)
    low, high = request.keys
    top = low + (high - low) * math.ceil(share * 10_000) / 10_000
    shrinks = removal is not None and recipe.recipe.shrinks
    return SourcePlan(
        definition=definition.name,
        corpus=request.corpus,
        repository=definition.origin,
        licence=definition.licence,
        keys=(low, high),
        asked_tokens=quotas.asked[name],
        resolved_tokens=quota,
        refilled=quotas.refilled.get(name, {}),
        epochs=-(-quota // enough) if enough else 1,
        supply_tokens_estimated=within.tokens if within else None,
        supply_tokens_interval=within.bounds if within and within.low is not None else None,
        supply_documents_estimated=within.documents if within else None,
        supply_basis=within.basis if within else "unknown",
        tokenized_share_estimated=rounded_share(share),
        key_ceiling_estimated=Decimal(f"{top:.6f}"),
        removed_share_estimated=rounded_share(removal.removed) if removal else None,
        removed_share_interval=removal.interval if removal else None,
        copied_share_estimated=rounded_share(removal.copied) if removal else None,
        removal_basis=removal.basis if removal else "unknown" if recipe.filters else None,
        left_tokens_estimated=int(quota * removal.filled) if removal and shrinks else quota,
    )


def plan_inserts(
    recipe: LoadedRecipe, size: Size, supplies: Mapping[str, SupplyEstimate]
) -> dict[str, InsertPlan]:
    """The rows of a recipe's inserts, by name."""
    scale, rows = min(scale_of(recipe.recipe, size), Fraction(1)), {}
    for name, insert in recipe.recipe.insert.items():
        supply, definition = supplies.get(name), recipe.definitions[name]
        rows[name] = InsertPlan(
            definition=definition.name,
            repository=definition.origin,
            licence=definition.licence,
            times=insert.times,
            on_top=insert.on_top,
            whole=insert.whole,
            tokens_estimated=(
                math.ceil((1 if insert.whole else scale) * supply.tokens) * insert.times
                if supply
                else None
            ),
            supply_basis=supply.basis if supply else "unknown",
        )
    return rows


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
    return {
        name: supplies[name].within(request.key_range) if name in supplies else None
        for name, request in recipe.recipe.sources.items()
    }
