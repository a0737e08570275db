"""The filters of a mix: those of its recipe, with removals that add up. `audit --filter` judges the documents themselves."""

from __future__ import annotations

from decimal import Decimal

from mixtures.audit.filter_claim import FilterClaim
from mixtures.audit.report import Check, judge
from mixtures.mix.claims import Claims
from mixtures.recipe.filters import THRESHOLDS
from mixtures.rules.filter import MILLION, filter_identity
from mixtures.words import plural

NAME = "filters"


def has_filters(claims: Claims) -> bool:
    """Whether anything in a manifest speaks of filters: one that is left out of `filters` alone is missed."""
    return bool(claims.filters or claims.recipe.get("filters") or any(_strange(claims, source.name) for source in claims.sources))


def check_filters(claims: Claims) -> Check:
    """Every filter is one of the recipe and decides by what it says; counts of removals agree with each other, source by source."""
    faults = []
    given = claims.recipe.get("filters", [])
    records = [item if isinstance(item, dict) else {} for item in given] if isinstance(given, list) else []
    asked = [(item.get("name"), item.get("identity"), item.get("fraction"), item.get("placebo") == "true") for item in records]
    listed = [(item.label, item.identity, item.fraction, item.placebo) for item in claims.filters]
    if asked != listed:
        faults.append(f"the recipe has filters {asked}, the manifest lists {listed}")
    judged = [source.name for source in claims.sources if not source.copy_number and not source.insert]
    for item in claims.filters:
        faults += _rule_faults(item)
        if sorted(item.removed) != sorted(judged):
            faults.append(f"the filter {item.label} has removals of {sorted(item.removed)}, it judges {sorted(judged)}")
    for source in claims.sources:
        if source.insert and (strange := [reason for reason in claims.removed.get(source.name, {}) if reason.startswith("filter ")]):
            faults.append(f"{source.name}: removed by {strange}, and filters do not judge inserts")
    for name in judged:
        faults += _source_faults(claims, name)
    removed = {reason: sum(counts.get(reason, 0) for counts in claims.removed.values()) for reason in _reasons(claims)}
    told = ", ".join(f"{plural(count, 'document')} by {reason.removeprefix('filter ')}" for reason, count in removed.items())
    return judge(NAME, told, faults)


def _reasons(claims: Claims) -> list[str]:
    return [f"filter {item.label}" for item in claims.filters]


def _strange(claims: Claims, name: str) -> list[str]:
    """Reasons of a source that are filters which the mix does not list."""
    return [reason for reason in claims.removed.get(name, {}) if reason.startswith("filter ") and reason not in _reasons(claims)]


def _rule_faults(item: FilterClaim) -> list[str]:
    """What a filter says that it decides by gives its identity and fits its label (`RecipeFilter.label`)."""
    blocklist, classifier, faults = item.blocklist, item.classifier, []
    threshold = Decimal(classifier.threshold) if classifier else Decimal(0)
    model = (classifier.kind, classifier.digest, int(threshold * MILLION)) if classifier else None
    found = filter_identity(blocklist.sha256, blocklist.mode, blocklist.threshold, model)
    if found != item.identity:
        faults.append(f"the filter {item.label} has list and classifier of identity {found}, the manifest says {item.identity}")
    words = item.label.removeprefix("placebo of ").split(" ")
    words, dose = (words[:-2], words[-1]) if words[-2:-1] == ["x"] else (words, "1")
    level = words[1] if len(words) > 1 else None
    decides = level is None or (classifier is None if level == "strong" else classifier is not None and threshold == THRESHOLDS.get(level))
    if item.label.startswith("placebo of ") != item.placebo or dose != item.fraction or not decides:
        said = f"placebo {item.placebo}, fraction {item.fraction}, classifier above {threshold}" if classifier else "it has no classifier"
        faults.append(f"the filter {item.label} does not do what it is called: {said}")
    if (classifier is None) != (item.scores is None):
        faults.append(f"the filter {item.label} has either a classifier or scores, and needs both or none")
    removed = sum(figures.documents for figures in item.removed.values())
    if item.scores and not item.placebo and item.scores.documents < removed:
        faults.append(f"the filter {item.label} removed {plural(removed, 'document')} by {plural(item.scores.documents, 'score')}")
    return faults


def _source_faults(claims: Claims, name: str) -> list[str]:
    counts, faults = claims.removed.get(name, {}), []
    if strange := _strange(claims, name):
        faults.append(f"{name}: removed by {strange}, which no filter of the mix is")
    before = (0, 0)  # what filters removed that no filter before them did: no later one can have removed others
    for item in claims.filters:
        faults += _figure_faults(item, name, counts.get(f"filter {item.label}", 0), before)
        if figures := item.removed.get(name):
            before = (before[0] + figures.first_documents, before[1] + figures.first_tokens)
    source = next(item for item in claims.sources if item.name == name and not item.copy_number)
    documents, tokens = before
    if claims.shrinks and not documents <= source.dropped_tokens <= tokens * _epochs_allowed(claims, name):
        removed = f"{plural(documents, 'document')} of {plural(tokens, 'token')}"
        faults.append(f"{name}: {source.dropped_tokens:,} tokens are missing from its quota, filters removed {removed}")
    return faults


def _epochs_allowed(claims: Claims, name: str) -> int:
    """How often the recipe lets a source be used; the last epochs of a shrunk one may have had nothing but removed documents."""
    requests = claims.recipe.get("sources", [])
    rules = [item.get("shortfall") for item in requests if isinstance(item, dict) and item.get("name") == name]
    repeats = [rule.get("repeat") for rule in rules if isinstance(rule, dict)]
    return next((repeat for repeat in repeats if isinstance(repeat, int)), 1)


def _figure_faults(item: FilterClaim, name: str, reason_documents: int, before: tuple[int, int]) -> list[str]:
    figures = item.removed.get(name)
    if figures is None:
        return [f"{name}: the filter {item.label} says nothing of it"]
    faults = []
    if figures.first_documents != reason_documents:
        faults.append(f"{name}: {reason_documents:,} documents removed by {item.label}, the filter says {figures.first_documents:,}")
    shared = (figures.documents - figures.first_documents, figures.tokens - figures.first_tokens)
    first = (figures.first_documents, figures.first_tokens)
    if not all(tokens >= documents >= 0 and bool(documents) == bool(tokens) for documents, tokens in (shared, first)) or any(
        mine > theirs for mine, theirs in zip(shared, before, strict=True)
    ):
        faults.append(f"{name}: the filter {item.label} has figures that cannot be: {figures.model_dump()}")
    return faults
