"""What a mix says of its filters: those of its recipe, with figures that agree with each other.

`audit --filter` judges the documents themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from mixtures.audit.report import Check, judge
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.mix.judged.filters import FilterClaim, FilterRuleClaim
from mixtures.recipe.filter_use import PLACEBO
from mixtures.rules.filter_definition import MILLION, filter_identity
from mixtures.rules.levels import LEVELS
from mixtures.stream.placebo import length_class
from mixtures.words import plural
from mixtures.yaml.fields import listed, mapping

FILTERS = "filters"
"""Name of the check."""


def has_filters(claims: Claims) -> bool:
    """Whether anything in a manifest speaks of filters: one that is left out of `filters` alone is
    missed.
    """
    return bool(
        claims.filters
        or claims.recipe.get("filters")
        or any(_strange(claims, source.name) for source in claims.sources)
    )


def check_filters(claims: Claims) -> Check:
    """Every filter is one of the recipe and decides by what it says; counts of removals agree with
    each other, source by source.
    """
    faults = _unlisted(claims)
    judged = [source.name for source in claims.asked]
    for item in claims.filters:
        faults += _filter_rule_faults(item)
        faults += _score_faults(item)
        faults += _length_faults(item)
        if sorted(item.removed) != sorted(judged):
            faults.append(
                f"the filter {item.label} has removals of {sorted(item.removed)}, it judges"
                f" {sorted(judged)}"
            )
    faults += _study_faults(claims)
    for source in claims.sources:
        if source.insert and (
            strange := [
                reason
                for reason in claims.removed.get(source.name, {})
                if reason.startswith("filter ")
            ]
        ):
            faults.append(f"{source.name}: removed by {strange}, and filters do not judge inserts")
    for source in claims.asked:
        faults += _source_faults(claims, source)
    removed = {
        reason: sum(counts.get(reason, 0) for counts in claims.removed.values())
        for reason in _filter_reasons(claims)
    }
    figure = ", ".join(
        f"{plural(count, 'document')} by {reason.removeprefix('filter ')}"
        for reason, count in removed.items()
    )
    return judge(FILTERS, figure, faults)


def _unlisted(claims: Claims) -> list[str]:
    """The filters of the manifest are those of the recipe."""
    asked = [
        (
            item.get("name"),
            item.get("identity"),
            item.get("fraction"),
            item.get("placebo") == "true",
            item.get("tolerance"),
            item.get("partners", ""),
        )
        for item in map(mapping, listed(claims.recipe.get("filters")))
    ]
    said = [
        (
            item.label,
            item.identity,
            item.fraction,
            item.placebo,
            item.matched.tolerance if item.matched else None,
            " ".join(item.matched.partners) if item.matched else "",
        )
        for item in claims.filters
    ]
    if asked == said:
        return []
    return [f"the recipe has filters {asked}, the manifest lists {said}"]


def _filter_reasons(claims: Claims) -> list[str]:
    return [f"filter {item.label}" for item in claims.filters]


def _strange(claims: Claims, name: str) -> list[str]:
    """Reasons of a source that are filters which the mix does not list."""
    return [
        reason
        for reason in claims.removed.get(name, {})
        if reason.startswith("filter ") and reason not in _filter_reasons(claims)
    ]


def _filter_rule_faults(item: FilterRuleClaim) -> list[str]:
    """What a filter says that it decides by gives its identity and fits its label
    (`FilterUse.label`).
    """
    blocklist, classifier, faults = item.blocklist, item.classifier, []
    threshold = Decimal(classifier.threshold) if classifier else Decimal(0)
    model = (classifier.kind, classifier.digest, int(threshold * MILLION)) if classifier else None
    identity = filter_identity(blocklist.sha256, blocklist.mode, blocklist.threshold, model)
    if identity != item.identity:
        faults.append(
            f"the filter {item.label} has list and classifier of identity {identity}, the manifest"
            f" says {item.identity}"
        )
    words = item.label.removeprefix(PLACEBO).split(" ")
    words, dose = (words[:-2], words[-1]) if words[-2:-1] == ["x"] else (words, "1")
    level = words[1] if len(words) > 1 else None
    decides = level is None or (classifier is None if level == "strong" else classifier is not None)
    if item.label.startswith(PLACEBO) != item.placebo or dose != item.fraction or not decides:
        actual = (
            f"placebo {item.placebo}, fraction {item.fraction}, classifier above {threshold}"
            if classifier
            else "it has no classifier"
        )
        faults.append(f"the filter {item.label} does not do what it is called: {actual}")
    return faults


def _score_faults(item: FilterClaim) -> list[str]:
    """What decides by a classifier has scores, enough for what it removed."""
    classifier, faults = item.classifier, []
    if (classifier is None) != (item.scores is None):
        faults.append(
            f"the filter {item.label} has either a classifier or scores, and needs both or none"
        )
    removed = sum(figures.documents for figures in item.removed.values())
    if item.scores and not item.placebo and item.scores.documents < removed:
        faults.append(
            f"the filter {item.label} removed {plural(removed, 'document')} by"
            f" {plural(item.scores.documents, 'score')}"
        )
    return faults


def _study_faults(claims: Claims) -> list[str]:
    """The filters that judged a study's base are those that its arms ask for, undosed, and those
    that placebos imitate; the arm's own is one of them.
    """
    rules = claims.study.rules if claims.study else []
    if not rules:
        return []
    due = set()
    try:
        for arm in claims.recipe["study"]["arms"].values():
            item = arm["remove"]
            label = str(item["name"]).removesuffix(f" x {item['fraction']}")
            due |= {(label, item["identity"]), (label.removeprefix(PLACEBO), item["identity"])}
    except (KeyError, TypeError, AttributeError) as error:
        return [f"the recipe's study cannot be read: {type(error).__name__}: {error}"]
    listed = [(rule.label, rule.identity) for rule in rules]
    faults = [fault for rule in rules for fault in _filter_rule_faults(rule)]
    if listed != sorted(due, key=lambda one: (one[0].startswith(PLACEBO), one[0])):
        faults.append(f"the study's arms have filters {sorted(due)}, the manifest lists {listed}")
    decides = {rule.label: _decides(rule) for rule in rules}
    for item in claims.filters:
        if decides.get(item.label.removesuffix(f" x {item.fraction}")) != _decides(item):
            faults.append(f"the filter {item.label} is none of those that judged the study's base")
    return faults


def _decides(rule: FilterRuleClaim) -> object:
    """All that a filter decides by but its dose."""
    return rule.identity, rule.placebo, rule.blocklist, rule.classifier, rule.matched


def _length_faults(item: FilterClaim) -> list[str]:
    """What is said of lengths adds up, and so does what a placebo imitates; it is like it within
    the tolerance.
    """
    removed = sum(figures.documents for figures in item.removed.values())
    faults = _class_faults(item.label, item.lengths, removed) + _level_faults(item, removed)
    if item.placebo != (item.matched is not None):
        return [*faults, f"the filter {item.label} says whom it imitates just if it is a placebo"]
    if (said := item.matched) is None:
        return faults
    imitated = sum(one.documents for one in said.sources.values())
    faults += _class_faults(f"{item.label} (imitated)", said.lengths, imitated)
    if sorted(said.sources) != sorted(item.removed):
        faults.append(f"{item.label}: imitates {sorted(said.sources)}, it judges others")
    for name, one in said.sources.items():
        missing = one.unmatched_documents + sum(one.elsewhere.values())
        if missing > one.documents or one.unmatched_tokens > one.tokens:
            faults.append(f"{name}: {item.label} found less for it than it imitates there")
    if max(said.off(item.removed).values()) > Fraction(said.tolerance):
        faults.append(f"{item.label}: is further from what it imitates than {said.tolerance}")
    return faults


def _level_faults(item: FilterClaim, removed: int) -> list[str]:
    """Levels are nested; the one that the filter is used at flags what it removes or imitates."""
    counts = [item.levels[name] for name in LEVELS if name in item.levels]
    if bool(counts) != (item.classifier is not None) or counts != sorted(counts):
        return [f"{item.label}: its levels flag {counts}; they are of a classifier, and nested"]
    words = item.label.removeprefix(PLACEBO).split(" ")
    level = next((name for name in LEVELS if name in words[1:2]), None)
    if item.levels and level is not None and level not in item.levels:
        return [f"{item.label}: is used at a level of which it does not say what it flags"]
    mine = item.levels.get(level) if level is not None else None
    if item.fraction == "1" and not item.placebo and mine is not None and mine != removed:
        return [f"{item.label}: its level flags {mine:,}, it removed {plural(removed, 'document')}"]
    return []


def _class_faults(label: str, lengths: Mapping[str, int], documents: int) -> list[str]:
    """Counts by length are of classes that there are, and add up to so many documents."""
    faults = []
    if strange := [least for least in lengths if length_class(int(least)) != int(least)]:
        faults.append(f"{label}: {strange[0]} is not the least length of a class")
    if sum(lengths.values()) != documents:
        faults.append(f"{label}: {documents:,} documents, by length {sum(lengths.values()):,}")
    return faults


def _source_faults(claims: Claims, source: SourceClaim) -> list[str]:
    name, faults = source.name, list[str]()
    counts = claims.removed.get(name, {})
    if strange := _strange(claims, name):
        faults.append(f"{name}: removed by {strange}, which no filter of the mix is")
    # documents and tokens that the filters so far removed: what a later one shares with earlier
    # ones is among them
    before = (0, 0)
    for item in claims.filters:
        faults += _figure_faults(item, name, counts.get(f"filter {item.label}", 0), before)
        if figures := item.removed.get(name):
            before = (before[0] + figures.first_documents, before[1] + figures.first_tokens)
    documents, tokens = before
    if claims.shrinks and not documents <= source.dropped_tokens <= tokens * _epochs_allowed(
        claims, name
    ):
        removed = f"{plural(documents, 'document')} of {plural(tokens, 'token')}"
        faults.append(
            f"{name}: {source.dropped_tokens:,} tokens are missing from its quota, filters removed"
            f" {removed}"
        )
    return faults


def _epochs_allowed(claims: Claims, name: str) -> int:
    """How often the recipe lets a source be used; the last epochs of a shrunk one may have had
    nothing but removed documents.
    """
    sources = map(mapping, listed(claims.recipe.get("sources")))
    rules = [mapping(item.get("shortfall")) for item in sources if item.get("name") == name]
    return next((rule["repeat"] for rule in rules if isinstance(rule.get("repeat"), int)), 1)


def _figure_faults(
    item: FilterClaim, name: str, reason_documents: int, before: tuple[int, int]
) -> list[str]:
    figures = item.removed.get(name)
    if figures is None:
        return [f"{name}: the filter {item.label} says nothing of it"]
    faults = []
    if figures.first_documents != reason_documents:
        faults.append(
            f"{name}: {reason_documents:,} documents removed by {item.label}, the filter says"
            f" {figures.first_documents:,}"
        )
    shared = (figures.documents - figures.first_documents, figures.tokens - figures.first_tokens)
    first = (figures.first_documents, figures.first_tokens)
    if not all(
        tokens >= documents >= 0 and bool(documents) == bool(tokens)
        for documents, tokens in (shared, first)
    ) or any(removed > possible for removed, possible in zip(shared, before, strict=True)):
        faults.append(
            f"{name}: the filter {item.label} has figures that cannot be: {figures.model_dump()}"
        )
    return faults
