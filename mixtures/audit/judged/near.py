"""What a mix says of its near-duplicates: rule, clusters and dropped documents agree.

That no two documents of the mix are near-duplicates is not recounted here, since the clusters were
made over whole key ranges.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from mixtures.audit.report import Check, judge
from mixtures.mix.claims import Claims
from mixtures.mix.judged.near import NearClaim
from mixtures.recipe.near_request import EXCLUDED, NEAR
from mixtures.rules.near import NearRule
from mixtures.words import plural

NEAR_DUPLICATES = "near-duplicates"
"""Name of the check."""


def has_near(claims: Claims) -> bool:
    """Whether anything in a manifest speaks of near-duplicates."""
    return bool(
        claims.near
        or claims.recipe.get("near")
        or any(_near_reasons(counts) for counts in claims.removed.values())
    )


def check_near(claims: Claims) -> Check:
    """The rule is the recipe's, the clusters are possible, and each dropped document is one of a
    cluster and has its reason.
    """
    near = claims.near
    if near is None:
        return judge(
            NEAR_DUPLICATES,
            "none",
            ["the recipe or the removals speak of near-duplicates, the manifest has no clusters"],
        )
    faults = []
    if near.asked != claims.recipe.get("near"):
        faults.append(f"the recipe asks {claims.recipe.get('near')}, the manifest {near.asked}")
    faults += _near_rule_faults(near) + _cluster_faults(near) + _drop_faults(claims, near)
    dropped = sum(near.dropped.values())
    clusters = f"{plural(near.clustered, 'document')} in {plural(near.clusters, 'cluster')}"
    return judge(NEAR_DUPLICATES, f"{clusters}, {dropped:,} dropped", faults)


def _near_reasons(counts: dict[str, int]) -> dict[str, int]:
    """Documents by the source of what stays instead."""
    return {
        reason.removeprefix(NEAR): count
        for reason, count in counts.items()
        if reason.startswith(NEAR)
    }


def _near_rule_faults(near: NearClaim) -> list[str]:
    fields = near.rule.model_dump()
    try:
        rule = NearRule.model_validate(
            {**fields, "verify": None if near.verify is None else Decimal(near.verify)}
        )
    except (ValueError, ArithmeticError):
        return [f"{fields} with verify {near.verify} is no rule"]
    if rule.identity() == near.identity:
        return []
    return [f"the rule has identity {rule.identity()}, the manifest says {near.identity}"]


def _cluster_faults(near: NearClaim) -> list[str]:
    faults, sizes = [], {int(size): count for size, count in near.sizes.items()}
    if any(size < 2 or size & (size - 1) for size in sizes):
        faults.append(f"sizes {sorted(sizes)} are not powers of two from 2 on")
    least = sum(size * count for size, count in sizes.items())
    most = sum((2 * size - 1) * count for size, count in sizes.items())
    if (
        sum(sizes.values()) != near.clusters
        or not least <= near.clustered <= most
        or near.clustered > near.documents
    ):
        figures = (
            f"{near.clusters:,} clusters of {near.clustered:,} of {near.documents:,} documents"
        )
        faults.append(
            f"{figures} do not fit the sizes, {sum(sizes.values()):,} clusters of {least:,} to"
            f" {most:,} documents"
        )
    largest = near.largest_sizes
    for cluster in near.largest:
        shares = [Fraction(ratio) for ratio in cluster.similarities]
        if sum(cluster.sources.values()) != cluster.documents or any(share > 1 for share in shares):
            faults.append(f"a cluster cannot be: {cluster.model_dump()}")
    ordered = largest == sorted(largest, reverse=True) and all(size >= 2 for size in largest)
    top = max(sizes, default=0)
    whole = (
        sum(largest) == near.clustered
        if len(largest) == near.clusters
        else sum(largest) <= near.clustered
    )
    if (
        not ordered
        or len(largest) != min(near.clusters, 10)
        or not whole
        or (largest and not top <= largest[0] < 2 * top)
    ):
        faults.append(
            f"largest clusters {largest} do not fit {near.clusters:,} clusters of"
            f" {near.clustered:,} documents"
        )
    return faults


def _drop_faults(claims: Claims, near: NearClaim) -> list[str]:
    faults, dropped = [], sum(near.dropped.values())
    may_keep = {*near.sources, *([EXCLUDED] if near.excluded == "true" else [])}
    for name, counts in claims.removed.items():
        reasons = _near_reasons(counts)
        if sum(reasons.values()) != near.dropped.get(name, 0) or (
            reasons and name not in near.sources
        ):
            faults.append(
                f"{name}: {sum(reasons.values()):,} near-duplicates removed, the clusters say"
                f" {near.dropped.get(name, 0):,}"
            )
        if strange := sorted(set(reasons) - may_keep):
            faults.append(f"{name}: near-duplicates of {strange}, which takes no part")
    gone = near.clustered - near.clusters
    if dropped > gone or (near.excluded == "false" and dropped != gone):
        faults.append(
            f"{dropped:,} documents dropped, clusters keep one document each and so drop {gone:,}"
        )
    return faults
