"""The evaluation sets of a mix: those of its recipe, with counts that agree with what became of its rows."""

from __future__ import annotations

from mixtures.audit.report import Check, judge
from mixtures.mix.claims import Claims, ContaminationClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.words import plural

NAME = "contamination"


def has_contamination(claims: Claims) -> bool:
    """Whether anything in a manifest speaks of evaluation sets: a report that is left out is missed."""
    return bool(
        claims.contamination or claims.recipe.get("decontaminate") or any(CONTAMINATED in counts for counts in claims.removed.values())
    )


def check_contamination(claims: Claims) -> Check:
    """Every contaminated document is accounted for, and the sets are the recipe's."""
    found = claims.contamination
    if not isinstance(found, ContaminationClaim):
        return judge(NAME, "none", ["the recipe or the removals speak of evaluation sets, the manifest says nothing of what they found"])
    given, faults = claims.recipe.get("decontaminate"), []
    asked = given if isinstance(given, dict) else {}
    sets = [{"name": item.name, "identity": item.identity} for item in found.sets]
    if (asked.get("sets"), asked.get("action")) != (sets, found.action):
        faults.append(f"the recipe asks for {asked}, the manifest says {found.action} of {sets}")
    sources = [source.name for source in claims.sources if not source.copy_number and not source.insert]
    if sorted(found.documents) != sorted(sources):
        faults.append(f"counts of {sorted(found.documents)}, sources are {sorted(sources)}")
    for name in sources:
        dropped, said = claims.removed.get(name, {}).get(CONTAMINATED, 0), found.documents.get(name, 0)
        if dropped != (said if found.action == "drop" else 0):
            faults.append(f"{name}: {dropped:,} rows removed as contaminated, the sets found {said:,}")
    for item in found.sets:
        for hit in item.hits:
            if not (0 < hit.found <= hit.total and 0 < hit.documents <= sum(found.documents.values())):
                faults.append(f"{item.name}: {hit.item} has counts that cannot be: {hit.model_dump()}")
    done = "dropped" if found.action == "drop" else "reported"
    items = sum(len(item.hits) for item in found.sets)
    documents = plural(sum(found.documents.values()), "document")
    return judge(NAME, f"{documents} {done}, with {plural(items, 'item')} of {plural(len(found.sets), 'set')}", faults)
