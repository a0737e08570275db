"""What a mix says of evaluation sets: the recipe's, with each contaminated document counted."""

from __future__ import annotations

from mixtures.audit.report import Check, judge
from mixtures.mix.claims import Claims
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.words import plural
from mixtures.yaml.fields import mapping

CONTAMINATION = "contamination"
"""Name of the check."""


def has_contamination(claims: Claims) -> bool:
    """Whether anything in a manifest speaks of evaluation sets: a report that is left out is
    missed.
    """
    return bool(
        claims.contamination
        or claims.recipe.get("decontaminate")
        or any(CONTAMINATED in counts for counts in claims.removed.values())
    )


def check_contamination(claims: Claims) -> Check:
    """Every contaminated document is accounted for, and the sets are the recipe's."""
    claim = claims.contamination
    if not isinstance(claim, ContaminationClaim):
        return judge(
            CONTAMINATION,
            "none",
            [
                "the recipe or the removals speak of evaluation sets, the manifest says nothing of"
                " what they found"
            ],
        )
    asked, faults = mapping(claims.recipe.get("decontaminate")), []
    sets = [{"name": item.name, "identity": item.identity} for item in claim.sets]
    if (asked.get("sets"), asked.get("action")) != (sets, claim.action):
        faults.append(f"the recipe asks for {asked}, the manifest says {claim.action} of {sets}")
    sources = [source.name for source in claims.asked]
    if sorted(claim.documents) != sorted(sources):
        faults.append(f"counts of {sorted(claim.documents)}, sources are {sorted(sources)}")
    for name in sources:
        dropped = claims.removed.get(name, {}).get(CONTAMINATED, 0)
        claimed = claim.documents.get(name, 0)
        if dropped != (claimed if claim.action == "drop" else 0):
            faults.append(
                f"{name}: {dropped:,} rows removed as contaminated, the sets found {claimed:,}"
            )
    for item in claim.sets:
        for hit in item.hits:
            if not (
                0 < hit.found <= hit.total and 0 < hit.documents <= sum(claim.documents.values())
            ):
                faults.append(
                    f"{item.name}: {hit.item} has counts that cannot be: {hit.model_dump()}"
                )
    done = "dropped" if claim.action == "drop" else "reported"
    items = sum(len(item.hits) for item in claim.sets)
    documents = plural(sum(claim.documents.values()), "document")
    return judge(
        CONTAMINATION,
        f"{documents} {done}, with {plural(items, 'item')} of {plural(len(claim.sets), 'set')}",
        faults,
    )
