"""`annealmix audit MIX --store DIR`: what a manifest says of removals and scores, held against the
store that the mix was made from.

    check                    fails if
    `store manifest`         no build from the store said what the manifest says: recipe, licences,
                             published figures, commits of the hub, inputs, counts
    `store documents`        the store's selection does not hold the documents of each source in the
                             order of the mix, or cuts another one, or at another token
    `store order`            they do not stand where their places in the quotas put them
    `store tokens`           a token of the mix is not the store's
    `store provenance`       a document's file and row are not those of the ledger
    `store removals`         rows of a source became something else than the manifest counts
    `store filters`          a filter removed other documents or tokens, or decided by other scores
                             (their hash)
    `store near-duplicates`  clusters and drops are others
    `store contamination`    the evaluation sets found other documents, or other items in them
    `store slots`            of an arm of a study: what its filter removes of the base is not what
                             stands in slots or is masked, a donor is not the one that the rule puts
                             there, or a token of it is not the store's

Of an arm, the others hold what it shares with its base.

Tokens that are exchanged between documents, and counts that are moved from one reason to another,
with every hash made anew, agree with all that a mix itself holds: only this sees them. Selections
that the store no longer has are made again from its ledgers. Where documents differ, the store is
hashed, so that a damaged one is not taken for a forged mix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixtures.audit.documents import MixDocuments
from mixtures.audit.report import Check, judge, unread
from mixtures.errors import ManifestError
from mixtures.mix.claims import Claims
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.judged.filters import FilterFigures
from mixtures.words import plural
from pipeline.arms.removals import arm_figures
from pipeline.build.claims.contamination import contaminated
from pipeline.build.claims.description import filter_figures, near_figures, waterfall
from pipeline.commands.audit.arms import StoredSlots
from pipeline.commands.audit.stored import NAMES as DOCUMENT_CHECKS
from pipeline.commands.audit.stored import SLOTS_NAME, StoredDocuments
from pipeline.commands.trace.arm import ArmStore, open_store
from pipeline.lookup.selection import MixStore
from pipeline.stages.chosen_figures import removal_figures
from pipeline.store.mixes import noted_mix, noted_mixes

NAMES = (
    "store manifest",
    *DOCUMENT_CHECKS,
    "store removals",
    "store filters",
    "store near-duplicates",
    "store contamination",
    SLOTS_NAME,
)


def check_store(folder: Path, store: Path) -> list[Check]:
    """Hold a mix against its store.

    Returns:
        The checks of NAMES that the mix has something for.

    Raises:
        RecipeError: there is no store. ManifestError: the mix's manifest is damaged.
    """
    mix = MixDocuments(folder)
    made = {"store filters": mix.claims.filters, "store near-duplicates": mix.claims.near}
    made["store contamination"] = mix.claims.recipe.get("decontaminate")
    of_arms = {SLOTS_NAME: mix.claims.study}
    names = [name for name in NAMES if {**made, **of_arms}.get(name, True)]
    manifest = _manifest(mix.claims, store)
    try:
        opened = open_store(mix.claims, store)
        arm = opened if isinstance(opened, ArmStore) else None
        held = _Held(mix, arm.base if arm else opened, arm)
        slots = StoredSlots(mix, arm) if arm else None
        documents = StoredDocuments(mix, held.store, slots).checks()
    except ManifestError as error:
        return [manifest, *(unread(name, str(error)) for name in names[1:])]
    checks = {
        "store removals": held.removals,
        "store filters": held.filters,
        "store near-duplicates": held.near,
        "store contamination": held.contamination,
    }
    found = {check.name: check for check in (manifest, *documents)}
    return [found.get(name) or checks[name]() for name in names]


def _manifest(claims: Claims, store: Path) -> Check:
    """What the build knew before it wrote a byte."""
    name, described = "store manifest", claims.described.as_json()
    try:
        if noted_mix(store, described):
            figure = f"its {len(described)} fields are as the build from this store said them"
            return judge(name, figure, [])
        known = [list(_differences(described, one)) for one in noted_mixes(store)]
    except ManifestError as error:
        return unread(name, str(error))
    nothing = (
        "nothing is noted of it; name the store that it was built from, or give its build again,"
        " which finds the mix built and notes it"
    )
    figure = f"{plural(len(known), 'mix')} noted in this store, this is none of them"
    return judge(name, figure, min(known, key=len, default=[nothing]))


class _Held:
    """A mix, and what its store holds of it; of an arm, its base's store."""

    def __init__(self, mix: MixDocuments, store: MixStore, arm: ArmStore | None) -> None:
        self.mix, self.store, self.arm, self.choices = mix, store, arm, store.choices
        self.figures = {name: removal_figures(choice) for name, choice in self.choices.items()}

    def removals(self) -> Check:
        """What became of the rows of each source."""
        readings = {
            source.name: source.reading for source in self.store.sources if not source.excluded
        }
        faults, rows = [], 0
        for name, choice in self.choices.items():
            counted = waterfall(self.store.inputs[readings[name]], choice, self.figures[name])
            rows += counted["rows"]
            faults += _different(name, counted, self.store.claims.removed.get(name, {}))
        return judge(
            "store removals",
            f"{rows:,} rows of {plural(len(self.choices), 'source')} counted again",
            faults,
        )

    def filters(self) -> Check:
        """What each filter removed, and the scores that it decided by."""
        faults, scores = [], 0
        for number, claim in enumerate(self.mix.claims.filters):
            counted = self._figures(number, scored=claim.classifier is not None)
            scores += counted.scores.documents if counted.scores else 0
            again, listed = counted.as_json(), claim.as_json()
            for name in ("scores", "removed"):
                faults += _different(
                    f"filter {claim.label}: {name}", again[name] or {}, listed[name] or {}
                )
        count = len(self.mix.claims.filters)
        return judge(
            "store filters",
            f"removals and {plural(scores, 'score')} of {plural(count, 'filter')} counted again",
            faults,
        )

    def _figures(self, number: int, *, scored: bool) -> FilterFigures:
        if (arm := self.arm) is None:
            return filter_figures(number, self.choices, self.figures, scored=scored)
        judging = arm.number if scored else None
        return arm_figures(arm.slots, arm.mine, arm.judged, judging)

    def near(self) -> Check:
        """Clusters of near-duplicates and what gave way in each source."""
        assert self.store.near is not None
        assert self.mix.claims.near is not None
        sources = [item["name"] for item in self.mix.claims.recipe["sources"]]
        counted = near_figures(self.store.near, self.choices, sources)
        listed = self.mix.claims.near.model_dump(include=set(counted.model_fields_set))
        return judge(
            "store near-duplicates",
            f"{plural(counted.clusters, 'cluster')} in the store",
            _different("near", counted.as_json(), listed),
        )

    def contamination(self) -> Check:
        """Documents that hold items of evaluation sets, by source; and of each item that was found,
        in how many and how much of it.
        """
        claim = self.mix.claims.contamination
        if not isinstance(claim, ContaminationClaim):
            return unread(
                "store contamination", "the manifest says nothing of what its evaluation sets found"
            )
        names = [item["name"] for item in self.mix.claims.recipe["sources"]]
        documents, items, by_set = contaminated(
            self.store.plan,
            {name: self.choices[name] for name in names},
            claim.action,
            [item.items for item in claim.sets],
        )
        hits = sorted((hit.documents, hit.found) for item in claim.sets for hit in item.hits)
        faults = _different("contaminated documents", documents, claim.documents)
        if by_set != [item.documents for item in claim.sets]:
            faults.append(f"{by_set} documents by set, the manifest says otherwise")
        if sorted(items.values()) != hits:
            faults.append(
                f"{plural(len(items), 'item')} in the store with other counts than the"
                f" {len(hits):,} of the manifest"
            )
        figure = f"{plural(sum(documents.values()), 'document')} with {plural(len(items), 'item')}"
        return judge("store contamination", f"{figure} of evaluation sets in the store", faults)


def _differences(said: Any, noted: Any, where: str = "") -> Iterator[str]:
    """Where a manifest says something else than a build did, field by field."""
    if isinstance(said, dict) and isinstance(noted, dict):
        pairs = [(name, said.get(name), noted.get(name)) for name in sorted(said | noted)]
    elif isinstance(said, list) and isinstance(noted, list) and len(said) == len(noted):
        pairs = [
            (_name(one, at), one, two)
            for at, (one, two) in enumerate(zip(said, noted, strict=True))
        ]
    else:
        if said != noted:
            yield f"{where} is {_short(said)}, the build said {_short(noted)}"
        return
    for name, one, two in pairs:
        yield from _differences(one, two, f"{where}.{name}" if where else str(name))


def _name(item: Any, at: int) -> str:
    """How a message names an item of a list."""
    return str(item.get("name", at)) if isinstance(item, dict) else str(at)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _different(where: str, counted: Mapping[str, Any], claimed: Mapping[str, Any]) -> list[str]:
    """Items of a record of which the manifest says something else."""
    names = [
        name
        for name in sorted(counted.keys() | claimed.keys())
        if counted.get(name) != claimed.get(name)
    ]
    return [
        f"{where}: {name} is {counted.get(name)}, the manifest says {claimed.get(name)}"
        for name in names
    ]
