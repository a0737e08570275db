"""An arm of a study beside the store that it was made from: its base's selection, the slots of all
arms and what fills them, found again from the arm's manifest alone.

    manifest -> the base, which no filter judges     what it takes of each source (`base`)
             -> the base under the study's filters   what all arms remove of it (`slots`)
             -> the donors that the study asks for   what stands in the slots (`filling`)

The rules are those of `pipeline.arms`, which built the study; the manifest names all that decides:
the study, and the filters of all its arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.recipe import read_recipe
from mixtures.errors import ManifestError
from mixtures.keys import digest_columns, key_bound
from mixtures.mix.claims import Claims
from mixtures.mix.judged.filters import FilterRuleClaim
from mixtures.mix.manifest import MANIFEST
from mixtures.mix.slots import SlotReader
from mixtures.recipe.filter_use import PLACEBO, FilterRequest, FilterUse, in_dose
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.stream.arms.study import BASE, DecidesBy, LoadedStudy, Study
from pipeline.arms.filling import Filler, Filling
from pipeline.arms.slots import SlotIndex, Slots, find_slots
from pipeline.build.build import Judged
from pipeline.lookup.fate import BEYOND_QUOTA, Explanation, LedgerRow
from pipeline.lookup.fates import Decision, Fates
from pipeline.lookup.filters import MixFilter
from pipeline.lookup.selection import MixStore, definitions
from pipeline.stages.eligible import Choice

Bools = npt.NDArray[np.bool_]

_OF_ARMS = ("filters", "removed", "copies", "study", "arm")
"""Of an arm's recipe, what its base's does not ask."""


class ArmStore(MixStore):
    """An arm of a study, and what its store holds of the study: its base as the filters of all arms
    judge it, undosed.

    Raises:
        RecipeError: there is no store. ManifestError: the arm's manifest is damaged or of a version
            that did not list the study's filters, or the store is another one.

    Attributes:
        arm: the manifest of the arm. base: what the base takes, which no filter judges; that it is
            what the manifest says is held there.
    """

    def __init__(self, claims: Claims, folder: Path) -> None:
        said = claims.study
        assert said is not None, "no arm of a study"
        if not said.rules:
            raise ManifestError(
                f"{claims.name}: an older version built it, which did not list the filters of the"
                " study's other arms, so its slots cannot be found again; build the study again"
            )
        self.arm, self._rules = claims, said.rules
        self.study = read_study(claims)
        self.number = self.study.number(said.arm)
        self.base = MixStore(base_claims(claims), folder)
        recipe = {**claims.recipe, "removed": "shrink"}
        update: dict[str, object] = {"recipe": recipe, "filters": said.rules}
        super().__init__(claims.model_copy(update={**update, "arm": None, "mask": None}), folder)

    @property
    def own_filters(self) -> dict[int, MixFilter]:
        """The arm's, with its dose."""
        said, judging = self.arm.filters[0], self.filters[self.number]
        update = {"label": said.label, "dose": key_bound(Decimal(said.fraction))}
        rule = judging.rule.model_copy(update=update)
        return {self.number: replace(judging, rule=rule, fraction=said.fraction)}

    @cached_property
    def judged(self) -> Judged:
        """What the base takes of each source, and what the filters of all arms remove there."""
        placebos = {number: rule.matched for number, rule in enumerate(self._rules) if rule.matched}
        of_sources = {name: self.choices[name] for name in self.study.base.recipe.sources}
        return Judged(self.plan, of_sources, placebos)

    @cached_property
    def slots(self) -> Slots:
        """The slots of all arms of the study."""
        return find_slots(self.study, self.judged)

    @property
    def mine(self) -> Bools:
        """Which slots are the arm's own, bool [num_slots]."""
        assert self.arm.study is not None
        return self.slots.arms[self.arm.study.arm]

    @cached_property
    def slot_index(self) -> SlotIndex:
        """Finds slots by what was removed."""
        return SlotIndex(self.slots)

    @cached_property
    def filling(self) -> Filling:
        """What stands in the slots, by the rule.

        Raises:
            ManifestError: the store has too few donors; it is another one.
        """
        assert self.arm.study is not None
        mine = self.arm.study.arm
        (filled,) = (one for one in self.study.filled() if mine in one.arms)
        filler = Filler(self.study, self.judged, self.slots, filled)
        given = filler.share_out()
        if any(one.pieces.unfilled for one in given.values()):
            raise ManifestError(
                f"{self.store.folder}: has too few donors for the slots of this study; name the"
                " store that it was built from with --store DIR"
            )
        return filler.fill(given)

    def slot_of(self, source: str, digest: bytes) -> int | None:
        """Number of the slot of a removed document, among those of all arms; None if this arm does
        not remove it.
        """
        halves = digest_columns(digest)
        if not self.lacks(source, halves)[0]:
            return None
        return int(self.slot_index.of(halves, np.array([self.slots.names.index(source)]))[0])

    def lacks(self, name: str, digest: npt.NDArray[np.uint64]) -> Bools:
        """Which documents that a filter of the study removes give way in this arm: bool
        [num_docs]. digest: uint64 [num_docs, 2].
        """
        if name not in self.slots.names or not len(self.mine):
            return np.zeros(len(digest), np.bool_)
        slot = self.slot_index.of(digest, np.full(len(digest), self.slots.names.index(name)))
        return (slot >= 0) & self.mine[slot]

    def _require_taken(self, name: str, taken: Choice) -> None:
        """It is no mix of its own."""


def open_store(claims: Claims, folder: Path) -> MixStore:
    """A mix beside its store, be it an arm of a study or not.

    Raises: as `MixStore` and `ArmStore`.
    """
    return ArmStore(claims, folder) if claims.study else MixStore(claims, folder)


def open_fates(mix: Path, claims: Claims, folder: Path) -> Fates:
    """What became of rows in a mix, be it an arm of a study or not. mix: its folder.

    Raises: as `MixStore` and `ArmStore`.
    """
    store = open_store(claims, folder)
    return ArmFates(store, mix) if isinstance(store, ArmStore) else Fates(store)


class ArmFates(Fates):
    """What became of rows in an arm: of its base, and whether the arm's filter removes it there.

    folder: of the arm.
    """

    def __init__(self, store: ArmStore, folder: Path) -> None:
        super().__init__(store)
        self.store = store
        self._slots = SlotReader(folder, store.arm.arm.fill) if store.arm.arm else None

    def _selected(self, name: str, document: LedgerRow) -> Decision:
        judged = super()._selected(name, document)  # by the filters of all arms, undosed
        ((number, own),) = self.store.own_filters.items()
        removed_by = judged.removed_by
        if removed_by is not None:
            dosed = in_dose(digest_columns(document.digest), own.rule.dose)[0]
            removed_by = removed_by & (1 << number) if dosed else 0
        reason = f"filter {own.rule.label}"
        if judged.reason == BEYOND_QUOTA:
            if self._slots and (places := self._slots.of_donor(document.digest)):
                return Decision("kept", Explanation(fills=places[0]), removed_by)
            also = (reason,) if removed_by else ()
            return Decision(BEYOND_QUOTA, judged.explanation, removed_by, also)
        if judged.removed_by is None:  # contaminated
            return judged._replace(also=())
        slot = self.store.slot_of(name, document.digest)
        if slot is None:
            return Decision("kept", removed_by=removed_by)
        donors = self._slots.of_slot(slot) if self._slots else []
        mask = self.store.arm.mask
        explained = Explanation(filled_by=donors or None, masked=mask.fill if mask else None)
        return Decision(reason, explained, removed_by)


def base_claims(claims: Claims) -> Claims:
    """What the manifest of an arm says of its base: recipe, quotas, inputs, and what became of
    rows.
    """
    recipe = {key: value for key, value in claims.recipe.items() if key not in _OF_ARMS}
    labels = [f"filter {item.label}" for item in claims.filters]
    removed = {}
    for name, counts in claims.removed.items():
        base = {reason: count for reason, count in counts.items() if reason not in labels}
        gone, given = sum(counts.get(label, 0) for label in labels), claims.given(name)
        if gone or given:
            base["kept"] = counts.get("kept", 0) + gone - given
            base["beyond quota"] = counts.get("beyond quota", 0) + given
        removed[name] = base
    update: dict[str, object] = {"recipe": recipe, "filters": [], "removed": removed}
    return claims.model_copy(update={**update, "arm": None, "mask": None})


def read_study(claims: Claims) -> LoadedStudy:
    """The study of an arm, as its manifest has it. Filters have names and doses, and no definition.

    Raises:
        ManifestError: it is none.
    """
    try:
        said, base = claims.recipe["study"], base_claims(claims)
        requests = {name: _request(item["remove"]) for name, item in said["arms"].items()}
        arms = {
            name: {"remove": requests[name].model_dump(exclude_unset=True), "fill": item["fill"]}
            for name, item in said["arms"].items()
        }
        study = Study.model_validate(
            {"name": said["name"], "base": BASE, "arms": arms, "donors": said["donors"]}
        )
        tokenizer = TokenizerDefinition.model_construct(**claims.tokenizer.model_dump())
        recipe = read_recipe(base)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{MANIFEST}: its study cannot be read: {type(error).__name__}: {error}; it was not"
            " written by annealmix, or edited"
        ) from None
    loaded = LoadedRecipe(recipe, definitions(base), (), tokenizer, Path(MANIFEST))
    filters = {name: FilterUse(request, None) for name, request in requests.items()}
    rules = tuple(map(_decides_by, claims.study.rules if claims.study else ()))
    return LoadedStudy(study, loaded, filters, Path(MANIFEST), rules)


def _decides_by(rule: FilterRuleClaim) -> DecidesBy:
    blocklist, classifier = rule.blocklist, rule.classifier
    pin = blocklist.sha256, blocklist.mode, blocklist.threshold
    return DecidesBy(rule.placebo, pin, classifier.digest if classifier else "")


def _request(canonical: Mapping[str, Any]) -> FilterRequest:
    """What an arm asks of a filter, read of its canonical form, which has its label
    (`FilterUse.label`).
    """
    words = canonical["name"].removeprefix(PLACEBO).split(" ")
    placebo = canonical.get("placebo") == "true"
    asked = {"placebo_of" if placebo else "use": words[0]}
    if canonical["fraction"] != "1":
        asked["fraction"] = canonical["fraction"]
    if len(words) > 1 and words[1] != "x":
        asked["level"] = words[1]
    if placebo:
        asked |= {
            "tolerance": canonical["tolerance"],
            "partners": canonical.get("partners", "").split(),
        }
    return FilterRequest.model_validate(asked)
