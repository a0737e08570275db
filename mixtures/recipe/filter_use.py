"""How a recipe uses filters: which ones, at which level, in which dose, or as a placebo; and what a
user inserts beside the sources.

Levels are named as those of the published mixes (arXiv 2508.06601), taken of one filter's list and
classifier. What a score is worth is known to the filter alone, whose file says its `levels`:

| level | flagged | in the published filter |
|---|---|---|
| extra-weak | escalated, and a score above the filter's threshold for it | 0.5 |
| weak | likewise; it flags all that extra-weak flags | 0.0105 |
| strong | escalated: the blocklist alone | |

`fraction` is a dose: of the flagged documents, those are removed whose dose key, a hash of their
digest, lies below that share of the key space. So a smaller dose removes a part of what a larger
one removes, whatever the size of the mix.

`placebo_of` removes as many documents that the filter does NOT flag, and as many tokens, of the
same source and of like length (`mixtures.stream.placebo`); `partners` names sources in which those
look that find none in their own, and `tolerance` how far off the sums may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from mixtures.errors import RecipeError
from mixtures.keys import KEY_SPACE, key_bound, order_keys
from mixtures.rules.filter_definition import MAX_THRESHOLD, BlocklistPin, FilterDefinition
from mixtures.rules.filter_files import FilterBundle
from mixtures.rules.levels import Level
from mixtures.rules.terms import Mode
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Integer,
    Line,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Reference,
    plain_decimal,
)

PUBLISHED_THRESHOLDS = {"extra-weak": Decimal("0.5"), "weak": Decimal("0.0105")}
"""Of the published classifier: the file of another says its own."""
NOT_PUBLISHED = {"deep-ignorance": "its list of 6,178 terms is not public"}
"""Filters that shipped recipes name and that nobody can ship: {name: why}."""

PLACEBO = "placebo of "
"""How the label of a placebo begins."""
TOLERANCE = Decimal("0.02")
PLACEBO_RULE = "2"
"""Of `mixtures.stream.placebo`; a change that can change any choice raises it."""
DOSE_SALT = b"annealmix-dose-1"


def _share(value: Decimal) -> Decimal:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not at least 0 and at most 1")
    return value


def _dose(value: Decimal) -> Decimal:
    if not 0 < value <= 1:
        raise ValueError(f"{value} is not above 0 and at most 1")
    return value


Terms = Annotated[
    Annotated[LocalPath, Tag("file")]
    | Annotated[tuple[Line, ...], Field(min_length=1, max_length=10_000), Tag("list")],
    Discriminator(lambda value: "file" if isinstance(value, str) else "list"),
]
"""A file of terms, one a line, or the terms."""


class FilterRequest(Checked):
    """One filter of a recipe; a bare name or file is its `use`.

    use, placebo_of, terms: exactly one; the filter, by shipped or brought name, or by file beside
        the recipe; the one that is to be imitated; or a blocklist alone, as a file or as it is.
    name, mode, threshold: of `terms`: names the filter; how terms are matched; distinct terms from
        which on a document is flagged.
    level: of the published ones; absent: as the filter's file says.
    fraction: dose; the share of the documents that are removed of those that could be.
    partners: of a placebo; sources of the recipe that give documents where the flagged one's own
        has none of like length.
    tolerance: of a placebo; the share by which its documents and tokens may differ from the
        filter's before a build fails. None: `TOLERANCE`.
    """

    use: Reference | None = None
    placebo_of: Reference | None = None
    terms: Terms | None = None
    name: Name | None = None
    mode: Mode = "words"
    threshold: Annotated[Positive, Field(le=MAX_THRESHOLD)] = 1
    level: Level | None = None
    fraction: Annotated[Exact, AfterValidator(_dose)] = Decimal(1)
    partners: tuple[Name, ...] = ()
    tolerance: Annotated[Exact, AfterValidator(_share)] | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one filter, and what belongs to a kind of it alone."""
        if sum(key in given for key in ("use", "placebo_of", "terms")) != 1:
            yield (
                (),
                "give one of use, placebo_of and terms: the filter, the one that is to be imitated,"
                " or a list of terms",
            )
        elif "terms" in given and "name" not in given:
            yield (), "has no name; give one, which the mix's manifest calls the list by"
        elif "terms" in given and "level" in given:
            yield (
                ("level",),
                "is of a filter with a classifier, and terms alone have none; remove it",
            )
        elif "terms" not in given:
            for key in ("name", "mode", "threshold"):
                if key in given:
                    yield (key,), "belongs to terms; the filter's own file says it"
        for key in ("partners", "tolerance"):
            if key in given and "placebo_of" not in given:
                yield (key,), "is of a placebo; give placebo_of, or leave it out"

    def pin(self) -> BlocklistPin:
        """The list of `terms`."""
        assert self.terms is not None
        file = self.terms if isinstance(self.terms, str) else None
        terms = () if isinstance(self.terms, str) else self.terms
        return BlocklistPin(file=file, terms=terms, mode=self.mode, threshold=self.threshold)


def request_of(value: Any) -> Any:
    """A bare text names the filter."""
    return {"use": value} if isinstance(value, str) else value


FilterField = Annotated[FilterRequest, BeforeValidator(request_of)]
FilterRequests = Annotated[tuple[FilterField, ...], Field(max_length=16)]


class Insert(Model):
    """Documents of the user's that are added to a mix, whole and unfiltered, and take nothing away
    from the sources.

    Evaluation sets do not judge them either: an insert that holds an item is neither dropped nor
    reported.

    use: a source definition, as a source's `use`.  times: how often each document is in the mix.
    on_top: whether they come on top of the budget, or out of what the weighted sources share.
    whole: whether a preview takes all of them, too, and not its share.
    """

    use: Reference
    times: Annotated[Integer, Field(ge=1, le=65_535)] = 1
    on_top: Flag = True
    whole: Flag = False


def at_level(bundle: FilterBundle, level: Level | None) -> FilterDefinition:
    """A filter at one of its levels; None: as its file says.

    Raises:
        RecipeError: it does not have the level.
    """
    definition = bundle.definition
    if level is None:
        return definition
    if level == "strong":
        return definition.model_copy(update={"classifier": None})
    if definition.classifier is None:
        raise RecipeError(
            f"{bundle.where}: has no classifier, and level {level} needs one; add it, or take level"
            " strong"
        )
    pin = definition.levels.get(level)
    if pin is None:
        raise RecipeError(
            f"{bundle.where}: does not say what its level {level} is, and a score of one classifier"
            f" says nothing of another's; add levels: {{{level}: {{threshold: ...}}}}"
            f" ({PUBLISHED_THRESHOLDS[level]} for the published classifier alone), or let"
            " `annealmix filter train --levels` fit it"
        )
    return definition.model_copy(
        update={"classifier": definition.classifier.model_copy(update={"threshold": pin.threshold})}
    )


@dataclass(frozen=True)
class FilterUse:
    """A filter as a recipe uses it. bundle: the filter as its file says; None: the user must bring
    it (`NOT_PUBLISHED`).
    """

    request: FilterRequest
    bundle: FilterBundle | None

    @property
    def name(self) -> str:
        """Its `use` or `placebo_of`."""
        if self.bundle:
            return self.bundle.definition.name
        return str(self.request.use or self.request.placebo_of)

    @property
    def label(self) -> str:
        """Names it in waterfalls and manifests: `deep-ignorance strong`, `half of it`:
        `deep-ignorance strong x 0.5`.
        """
        words = [self.name, *([self.request.level] if self.request.level else [])]
        words += [f"x {self.request.fraction.normalize():f}"] if self.request.fraction != 1 else []
        return PLACEBO * self.placebo + " ".join(words)

    @property
    def placebo(self) -> bool:
        """Whether it removes what the filter does not flag."""
        return self.request.placebo_of is not None

    @property
    def imitated(self) -> str:
        """The label of the filter itself, where this is its placebo."""
        return self.label.removeprefix(PLACEBO)

    @property
    def dose_bound(self) -> int:
        """Documents whose dose key lies below are removed; 2^64 for all."""
        return key_bound(self.request.fraction)

    @property
    def brought(self) -> FilterBundle:
        """The filter as its file says.

        Raises:
            RecipeError: the user has not brought it.
        """
        if self.bundle is None:
            raise RecipeError(
                f"filter {self.name!r} is not shipped"
                f" ({NOT_PUBLISHED.get(self.name, 'it is not known')}): give a folder that holds"
                f" {self.name}/filter.yaml or {self.name}.yaml with --filters DIR; `annealmix"
                " filter train` makes one"
            )
        return self.bundle

    @property
    def definition(self) -> FilterDefinition:
        """The filter at its level.

        Raises:
            RecipeError: the user has not brought it, or the level needs a classifier that it does
                not have.
        """
        return at_level(self.brought, self.request.level)

    def canonical(self) -> dict[str, str]:
        """What it asks, for a recipe's digest; identity `not brought` where the user has not
        brought the filter.
        """
        identity = "not brought" if self.bundle is None else self.definition.identity
        asked = {
            "name": self.label,
            "identity": identity,
            "fraction": f"{self.request.fraction.normalize():f}",
        }
        if not self.placebo:
            return asked
        placebo = {"tolerance": plain_decimal(self.tolerance), "rule": PLACEBO_RULE}
        if self.request.partners:
            placebo["partners"] = " ".join(self.request.partners)
        return {**asked, "placebo": "true", **placebo}

    @property
    def tolerance(self) -> Decimal:
        """Of a placebo."""
        return TOLERANCE if self.request.tolerance is None else self.request.tolerance


def in_dose(digests: npt.NDArray[np.uint64], dose: int) -> npt.NDArray[np.bool_]:
    """Which of the documents a dose takes: those whose dose key, an order key under a salt of its
    own that spreads a dose over all order keys, lies below it; bool [num_docs].

    Args:
        digests: uint64 [num_docs, 2], as `mixtures.keys.digest_columns` makes them. dose: a bound
            as `FilterUse.dose_bound`; 2^64 takes all.
    """
    if dose >= KEY_SPACE:  # the usual: no document is hashed
        return np.ones(len(digests), np.bool_)
    return order_keys(digests, DOSE_SALT) < np.uint64(dose)
