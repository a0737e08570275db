"""A study: a base, and arms of it that differ from it only where their filter acted.

    name: study
    base: annealing-50b                  # a recipe without filters
    arms:
      strong:  {remove: {use: deep-ignorance, level: strong}, fill: fresh}
      half:    {remove: {use: deep-ignorance, level: strong, fraction: 0.5}, fill: fresh}
      placebo: {remove: {placebo_of: deep-ignorance, level: strong}, fill: fresh}
    donors:
      dclm: {below: 0.85}                # its unused documents up to this key
      wiki: {source: dclm}               # is used whole, so dclm gives its donors

Donors of a source are the documents that are eligible in the base and that its quota does not
reach, in key order, and that no filter of the study flags, whichever arm it belongs to. Of those
that fill `approved`, see `Approval`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Discriminator, Field, Tag

from mixtures.errors import RecipeError
from mixtures.keys import KeyRange, key_bound
from mixtures.recipe.filter_use import FilterField, FilterUse
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.arms.donors import RULE, Fill
from mixtures.yaml.disk import shown
from mixtures.yaml.fields import (
    Checked,
    Described,
    Exact,
    LocalPath,
    Location,
    Name,
    Reference,
    Text,
    describe,
    json_digest,
    mapping,
    plain_decimal,
)

BASE = "base"
"""Name of the base's folder beside those of the arms."""
MASKS = ("mask", "mask-terms")
"""Fills that leave the document where it is."""
MAX_NAME = 64
MAX_FILTERS = 16


def names_file(fill: object) -> bool:
    """Whether the fill of an arm is a file, whose name has an ending."""
    return isinstance(fill, str) and "." in fill


def _word(fill: object) -> object:
    if fill not in ("fresh", "approved", *MASKS):
        raise ValueError(
            f"found {describe(fill)}; allowed: fresh, approved, mask, mask-terms, or a file of"
            " rewrites beside the study, such as rewrites.jsonl"
        )
    return fill


Filling = Annotated[
    Annotated[
        Literal["fresh", "approved", "mask", "mask-terms"], BeforeValidator(_word), Tag("word")
    ]
    | Annotated[LocalPath, Tag("file")],
    Discriminator(lambda value: "file" if names_file(value) else "word"),
]


class Arm(Described):
    """A mix that differs from the base in the slots of what its filter removes."""

    remove: FilterField
    """The filter, its dose or its placebo, as in a recipe's `filters`."""
    fill: Filling
    """What stands in the slots: `fresh`, documents that the base does not use; `approved`, those
    that the filter's list escalated and its classifier kept, unused ones first; a file of rewrites
    beside the study; `mask`, what stood there, which is read but is no target of the loss;
    `mask-terms`, the same, of which the filter's terms alone are no targets."""

    @property
    def rewrites(self) -> str:
        """The file; empty if the arm is filled otherwise."""
        return self.fill if names_file(self.fill) else ""


class Donors(Described, Checked):
    """Where the donors of a source's slots come from."""

    below: Annotated[Exact, Field(gt=0, le=1)] | None = None
    """Key up to which unused documents of the source may be donors, as a share of the key space;
    absent: to the end of its key range. All of them are tokenized."""
    source: Name | None = None
    """Another source that gives its donors, for one of which too little is unused."""

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one of them."""
        if len({"below", "source"} & given.keys()) != 1:
            yield (), "give either below, how far its own documents go, or source, who gives others"


class Study(Described, Checked):
    """Arms of one base."""

    name: Name
    description: Text = ""
    base: Reference
    """The unfiltered recipe: shipped, by name, or a file beside this one."""
    arms: Annotated[dict[Name, Arm], Field(min_length=1, max_length=MAX_FILTERS)]
    """By name, that of their folder beside the base's."""
    donors: dict[Name, Donors] = Field(default_factory=dict)
    """By source; of a source that is not named, all that is unused."""
    tolerance: Annotated[Exact, Field(ge=0, le=1)] = Decimal("0.02")
    """Share of the slots' tokens that may lie in donors which are cut, before the build fails."""

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Names that can be told apart, and doses that mean something."""
        for name, arm in mapping(given.get("arms")).items():
            if name == BASE:
                yield ("arms", name), "is the base's own name; give the arm another"
            if isinstance(given.get("name"), str) and len(f"{given['name']}.{name}") > MAX_NAME:
                yield (
                    ("arms", name),
                    f"makes a mix called {given['name']}.{name}, and a name has at most"
                    f" {MAX_NAME} characters; shorten one of the two",
                )
            remove, fill = mapping(mapping(arm).get("remove")), mapping(arm).get("fill")
            if "placebo_of" in remove and fill == "mask-terms":
                yield (
                    ("arms", name, "fill"),
                    "masks the terms that a filter finds, and a placebo's documents are those in"
                    " which it finds none or too few; mask them whole (fill: mask), or remove",
                )
            if {"placebo_of", "fraction"} <= remove.keys():
                yield (
                    ("arms", name, "remove", "fraction"),
                    "is of a filter's arm: doses of a placebo would not nest; remove it",
                )


class DecidesBy(NamedTuple):
    """What a filter decides by, or the one that a placebo imitates."""

    placebo: bool
    blocklist: tuple[str, str, int]
    """Hash of the list, mode and threshold."""
    classifier: str
    """Its digest; empty without one."""


@dataclass(frozen=True)
class Approval:
    """Approved documents: a list escalated them, its classifier kept them at every level that the
    study has, and no other filter or placebo of it removes them. The list alone (level strong)
    would remove every one, so that does not count.
    """

    scores: int
    """Number among those of `LoadedStudy.judged` of a filter that has the scores."""
    lists: tuple[int, ...]
    """Numbers of those that are the list alone."""


@dataclass(frozen=True)
class Filled:
    """Arms that share their donors."""

    arms: tuple[str, ...]
    approval: Approval | None
    """Of approved donors."""
    rewrites: str = ""
    """The file, of arms that are filled with what it has."""

    @property
    def fill(self) -> Fill:
        """What the donors are."""
        return "rewrites" if self.rewrites else "approved" if self.approval else "fresh"


@dataclass(frozen=True)
class LoadedStudy:
    """A study with all that it refers to."""

    study: Study
    base: LoadedRecipe
    filters: Mapping[str, FilterUse]
    """What each arm removes, by the arm's name."""
    file: Path
    """Where the study was read."""
    rules: tuple[DecidesBy, ...] = ()
    """What the filters of `judged` decide by, where they have no definitions."""
    rewrites: Mapping[str, str] = field(default_factory=dict)
    """By file of rewrites, the sha256 of its content."""

    @property
    def judged(self) -> LoadedRecipe:
        """The base as if it were judged by every filter of the study, undosed, and by those that
        placebos imitate: what its removals leave beyond its quotas are donors.

        Filters first and placebos last, each by label, so that the order of the arms decides
        nothing.
        """
        uses: dict[str, FilterUse] = {}
        for use in self.filters.values():
            for one in (undosed(use), imitated(use)):
                uses[one.label] = one
        ordered = sorted(uses.values(), key=lambda one: (one.placebo, one.label))
        if len(ordered) > MAX_FILTERS:
            raise RecipeError(
                f"{shown(self.file)}: arms: {len(ordered)} different filters and placebos, allowed"
                f" are {MAX_FILTERS}; leave some out"
            )
        recipe = self.base.recipe.model_copy(
            update={"filters": tuple(one.request for one in ordered), "removed": "shrink"}
        )
        return replace(self.base, recipe=recipe, filters=tuple(ordered))

    def number(self, arm: str) -> int:
        """Of an arm's filter among those of `judged`."""
        labels = [one.label for one in self.judged.filters]
        return labels.index(undosed(self.filters[arm]).label)

    def _approval(self, arm: str) -> Approval | None:
        """Of an arm that is filled with approved documents, which these are."""
        if self.study.arms[arm].fill != "approved":
            return None
        rules = self.rules or tuple(map(_decides_by, self.judged.filters))
        mine = rules[self.number(arm)]
        alike = {
            number: rule.classifier
            for number, rule in enumerate(rules)
            if not rule.placebo and rule.blocklist == mine.blocklist
        }
        return Approval(
            next(number for number, digest in alike.items() if digest == mine.classifier),
            tuple(number for number, digest in alike.items() if not digest),
        )

    def filled(self) -> list[Filled]:
        """The arms that are filled with donors, by what these are."""
        found: dict[tuple[Approval | None, str], list[str]] = {}
        for arm, one in self.study.arms.items():
            if one.fill not in MASKS:
                found.setdefault((self._approval(arm), one.rewrites), []).append(arm)
        return [Filled(tuple(arms), *what) for what, arms in found.items()]

    def flagged_by(self, arm: str) -> str:
        """The label of the filter, undosed, whose hits an arm removes or imitates."""
        return imitated(self.filters[arm]).label

    def donor_source(self, source: str) -> str:
        """The source that gives the donors of a source's slots."""
        request = self.study.donors.get(source)
        return source if request is None or request.source is None else request.source

    def donor_keys(self, source: str) -> KeyRange:
        """The keys of a source, as far as its unused documents may be donors."""
        request, keys = self.study.donors.get(source), self.base.recipe.sources[source].key_range
        if request is None or request.below is None:
            return keys
        return KeyRange(keys.low, min(key_bound(request.below), keys.high))

    def canonical(self, arm: str) -> dict[str, object]:
        """What the recipe of an arm asks: that of the base, the arm's filter, and the study, since
        donors are shared out among the slots of all its arms.
        """
        study = {
            "name": self.study.name,
            "rule": RULE,
            "arms": {
                name: {"remove": self.filters[name].canonical(), "fill": self._canonical_fill(one)}
                for name, one in self.study.arms.items()
            },
            "donors": {
                name: {"below": plain_decimal(one.below)}
                if one.below is not None
                else {"source": one.source}
                for name, one in self.study.donors.items()
            },
        }
        return {
            **self.base.canonical(),
            "name": f"{self.study.name}.{arm}",
            "filters": [self.filters[arm].canonical()],
            "study": study,
            "arm": arm,
        }

    def _canonical_fill(self, arm: Arm) -> str:
        """A file of rewrites is named by its content."""
        return f"rewrites.{self.rewrites[arm.rewrites]}" if arm.rewrites else arm.fill

    def digest(self, arm: str) -> str:
        """As `LoadedRecipe.digest`, of an arm."""
        return json_digest(self.canonical(arm))


def _decides_by(use: FilterUse) -> DecidesBy:
    pin, classifier = use.definition.blocklist, use.definition.classifier
    return DecidesBy(
        use.placebo, (pin.sha256, pin.mode, pin.threshold), classifier.digest if classifier else ""
    )


def undosed(use: FilterUse) -> FilterUse:
    """The filter at its whole dose."""
    return replace(use, request=use.request.model_copy(update={"fraction": Decimal(1)}))


def imitated(use: FilterUse) -> FilterUse:
    """The filter itself, where it is a placebo's."""
    if not use.placebo:
        return undosed(use)
    update = {"use": use.request.placebo_of, "placebo_of": None, "partners": (), "tolerance": None}
    return undosed(replace(use, request=use.request.model_copy(update=update)))
