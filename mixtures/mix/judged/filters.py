"""What a manifest says of documents that filters removed, and of those that placebos did."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from mixtures.mix.claim import Claim, Count, Hash
from mixtures.rules.levels import LEVELS, Level
from mixtures.words import plural

Lengths = dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")], Count]
"""Documents by the least tokens of their class of length (`mixtures.stream.placebo.by_class`)."""


class RemovedClaim(Claim):
    """What a filter removed of a source within its quota."""

    documents: Count
    tokens: Count
    first_documents: Count
    """Of `documents`, those that no earlier filter removes: the figure of the waterfall."""
    first_tokens: Count


class BlocklistClaim(Claim):
    """The list of a filter."""

    sha256: Hash
    mode: str
    threshold: Count
    """Distinct terms that escalate a document."""


class ClassifierClaim(Claim):
    """The classifier of a filter."""

    kind: str
    digest: Hash
    threshold: Annotated[str, Field(pattern=r"^0(\.[0-9]{1,18})?$")]
    """Scores above it remove a document; a decimal, as text."""


class ScoresClaim(Claim):
    """The scores that decided."""

    documents: Count
    """How many needed one."""
    blake3: Hash
    """Over digests and scores (`pipeline.stages.chosen_figures.score_digest`)."""


class FilterFigures(Claim):
    """What a filter did to a mix."""

    scores: ScoresClaim | None
    removed: dict[str, RemovedClaim]
    """By source."""
    lengths: Lengths
    """Of all removed documents."""

    @property
    def documents(self) -> int:
        """Removed of all sources."""
        return sum(one.documents for one in self.removed.values())

    @property
    def tokens(self) -> int:
        """Of these documents."""
        return sum(one.tokens for one in self.removed.values())


class ImitatedClaim(Claim):
    """What a placebo imitates in a source: what its filter removes of the same recipe's mix."""

    quota_tokens: Count
    """Of the source in that mix."""
    documents: Count
    tokens: Count
    unmatched_documents: Count
    """Of `documents`, those for which nothing of like length was found."""
    unmatched_tokens: Count
    elsewhere: dict[str, Count]
    """Of `documents`, those whose partner stands in another source, by its name."""


class PlaceboClaim(Claim):
    """What a placebo imitates (`mixtures.stream.placebo`)."""

    tolerance: Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,18})?|1)$")]
    """Share by which documents and tokens may differ."""
    partners: list[str]
    """Sources that give documents to others."""
    lengths: Lengths
    """Of all imitated documents."""
    sources: dict[str, ImitatedClaim]

    def off(self, removed: Mapping[str, RemovedClaim]) -> dict[str, Fraction]:
        """By how much the documents and tokens of a placebo differ from what it imitates, as shares
        of that.
        """
        found = {}
        for name in ("documents", "tokens"):
            due = sum(getattr(one, name) for one in self.sources.values())
            got = sum(getattr(one, name) for one in removed.values())
            found[name] = Fraction(abs(got - due), due) if due else Fraction(got)
        return found


class FilterRuleClaim(Claim):
    """What a filter decides by."""

    label: str
    identity: Hash
    placebo: bool
    fraction: Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,18})?|1)$")]
    blocklist: BlocklistClaim
    classifier: ClassifierClaim | None
    matched: PlaceboClaim | None = None
    """Of a placebo."""


class FilterClaim(FilterRuleClaim, FilterFigures):
    """A filter of the mix, and what it did."""

    levels: dict[Level, Count] = Field(default_factory=dict)
    """Of a filter that scores, documents within the quotas that each of its levels flags: the
    weaker ones that its file has, and `strong`."""

    @property
    def alike(self) -> list[str]:
        """Sentences on levels that flag the same documents: levels are nested, so those that flag
        as many.
        """
        names = [name for name in LEVELS if name in self.levels]
        return [
            f"filter {self.label}: levels {one} and {other} flag the same"
            f" {plural(self.levels[one], 'document')}, so mixes of them are alike"
            for one, other in pairwise(names)
            if self.levels[one] == self.levels[other]
        ]
