"""The filters of a mix: those of its recipe, with removals that add up. `audit --filter` judges the documents themselves."""

from __future__ import annotations

from mixtures.audit.claims import Claims, FilterClaim
from mixtures.audit.report import Check, judge, plural

NAME = "filters"


def check_filters(claims: Claims) -> Check:
    """Every removal by a filter is one of a filter of the recipe, and the counts by source agree with each other."""
    faults = []
    asked = [(item.get("name"), item.get("identity"), item.get("fraction")) for item in claims.recipe.get("filters", [])]
    listed = [(item.label, item.identity, item.fraction) for item in claims.filters]
    if asked != listed:
        faults.append(f"the recipe has filters {asked}, the manifest lists {listed}")
    for source in claims.sources:
        if not source.copy_number and not source.insert:
            faults += _source_faults(claims, source.name)
    removed = {reason: sum(counts.get(reason, 0) for counts in claims.removed.values()) for reason in _reasons(claims)}
    told = ", ".join(f"{plural(count, 'document')} by {reason.removeprefix('filter ')}" for reason, count in removed.items())
    return judge(NAME, told, faults)


def _reasons(claims: Claims) -> list[str]:
    return [f"filter {item.label}" for item in claims.filters]


def _source_faults(claims: Claims, name: str) -> list[str]:
    counts, faults = claims.removed.get(name, {}), []
    if strange := [reason for reason in counts if reason.startswith("filter ") and reason not in _reasons(claims)]:
        faults.append(f"{name}: removed by {strange}, which no filter of the mix is")
    for item in claims.filters:
        faults += _figure_faults(item, name, counts.get(f"filter {item.label}", 0))
    source = next(item for item in claims.sources if item.name == name and not item.copy_number)
    tokens = sum(item.removed[name].first_tokens for item in claims.filters if name in item.removed)
    if claims.shrinks and source.dropped_tokens > tokens * _epochs_allowed(claims, name):
        faults.append(f"{name}: {source.dropped_tokens:,} tokens are missing from its quota, filters removed {tokens:,}")
    return faults


def _epochs_allowed(claims: Claims, name: str) -> int:
    """How often the recipe lets a source be used; the last epochs of a shrunk one may have had nothing but removed documents."""
    requests = claims.recipe.get("sources", [])
    rules = [item.get("shortfall") for item in requests if isinstance(item, dict) and item.get("name") == name]
    repeats = [rule.get("repeat") for rule in rules if isinstance(rule, dict)]
    return next((repeat for repeat in repeats if isinstance(repeat, int)), 1)


def _figure_faults(item: FilterClaim, name: str, reason_documents: int) -> list[str]:
    figures = item.removed.get(name)
    if figures is None:
        return [f"{name}: the filter {item.label} says nothing of it"]
    faults = []
    if figures.first_documents != reason_documents:
        faults.append(f"{name}: {reason_documents:,} documents removed by {item.label}, the filter says {figures.first_documents:,}")
    if figures.first_documents > figures.documents or figures.first_tokens > figures.tokens or figures.tokens < figures.documents:
        faults.append(f"{name}: the filter {item.label} has figures that cannot be: {figures.model_dump()}")
    return faults
