"""What a manifest says of the documents that were removed: by filters, as near-duplicates, and for
what evaluation sets hold; `mixtures.audit.judged` holds it against itself and the recipe. And of
those that stand in their slots, in an aligned arm (`mixtures.audit.tables.slots`).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mixtures.mix.claim import Claim, Count, Hash, KeysClaim
from mixtures.rules.levels import LEVELS, Level
from mixtures.stream.arms.donors import Fill
from mixtures.words import percent_text, plural

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


Ratio = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,15})/[1-9][0-9]{0,15}$")]


class NearRuleClaim(Claim):
    """What decides band keys (`mixtures.rules.near.NearRule`)."""

    unit: Literal["words", "characters"]
    shingle: Count
    bands: Count
    rows: Count


class ClusterClaim(Claim):
    """One of the largest clusters."""

    documents: Count
    sources: dict[str, Count]
    """Its documents, by source."""
    survivor: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Digest of the document that stays."""
    similarities: Annotated[list[Ratio], Field(max_length=5)]
    """Jaccard similarity of the survivor and some of the others, as shared/together shingles."""


class NearFigures(Claim):
    """Clusters of near-duplicates over the whole key ranges of the sources that take part."""

    documents: Count
    """Exact survivors that are long enough to be compared."""
    clusters: Count
    clustered: Count
    """Of `documents`, those in clusters."""
    sizes: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")], Count]
    """Clusters by the power of two that their size reaches."""
    largest: Annotated[list[ClusterClaim], Field(max_length=10)]
    """The largest clusters, the largest first."""
    dropped: dict[str, Count]
    """Documents that gave way, by source."""

    @property
    def largest_sizes(self) -> list[int]:
        """Documents of the largest clusters."""
        return [cluster.documents for cluster in self.largest]


class NearClaim(NearFigures):
    """A search for near-duplicates, and what it found."""

    identity: Hash
    rule: NearRuleClaim
    sources: list[str]
    excluded: Literal["true", "false"]
    verify: Annotated[str, Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")] | None = None
    """Jaccard similarity from which two documents are near-duplicates; a decimal, as text."""

    @property
    def asked(self) -> dict[str, object]:
        """What the recipe must ask (`mixtures.recipe.near_request.NearRequest.canonical`)."""
        asked = self.model_dump(include={"identity", "rule", "sources", "excluded"})
        return asked if self.verify is None else {**asked, "verify": self.verify}


class HitClaim(Claim):
    """An item of an evaluation set that documents of the sources hold."""

    item: str
    documents: Count
    found: Count
    """N-grams of the item in the document that holds most of them."""
    total: Count
    """N-grams of the item."""


class SetClaim(Claim):
    """An evaluation set, what of it is looked for, and what was found."""

    name: str
    identity: Hash
    items: Count
    not_indexed: Count
    """Items that are not looked for."""
    missed: dict[Literal["short", "common", "formula"], list[str]]
    """Those, by the reason: file and line or row of each."""
    whole: Count
    """Items with fewer words than an n-gram, which are looked for as a whole."""
    ngrams: Count
    documents: Count
    """Of the sources, those that hold an item of it."""
    hits: list[HitClaim]

    @property
    def often(self) -> list[HitClaim]:
        """The three items that most documents hold, of those that several do: what is quoted often
        may be no leak, or one that was copied.
        """
        several = [hit for hit in self.hits if hit.documents > 1]
        return sorted(several, key=lambda hit: (-hit.documents, hit.item))[:3]


class ContaminationClaim(Claim):
    """What evaluation sets found."""

    action: Literal["drop", "report"]
    sets: list[SetClaim]
    documents: dict[str, Count]
    """Contaminated ones, by source."""


WINDOW_TOKENS = 2048
"""Of a window: the sequence of the published runs."""


class SlotClaim(Claim):
    """The slots of a source."""

    slots: Count
    exact: Count
    """Of `slots`, those whose donor has their length."""
    cut: Count
    joined: Count
    tokens: Count
    """Of the slots, each at the first of its positions."""
    cut_tokens: Count
    """Of `tokens`, those in donors, or in rewrites, that are cut."""
    positions: Count
    """Documents of the stream that are slots."""


class RepeatedClaim(Claim):
    """The donors of a source that stand elsewhere, too: in the base, or in another slot."""

    base_documents: Count
    """Those that the base has."""
    places: Count
    """In slots, each at the first of its positions, but for the first place of what the base does
    not have."""
    tokens: Count
    """At these."""
    most: Count
    """Places in slots of the one that has most."""


class DonorClaim(KeysClaim):
    """The donors of a source. keys: from the first that the base does not use to the last that may
    be one.
    """

    documents: Count
    """That the base does not have."""
    tokens: Count
    """Of all donors in slots, each at the first of its positions."""
    repeated: RepeatedClaim | None = None
    """Where they may be."""


class RewritesClaim(Claim):
    """The rewrites that stand in slots of an arm, each first in the slot of its document."""

    file: str
    """Its name."""
    sha256: Hash
    documents: Count
    exact: Count
    """Of `documents`, those of their slot's length."""
    cut: Count
    """Those that are longer."""
    followed: Count
    """Those that are shorter, behind which unused documents stand."""
    tokens: Count
    """Of them in slots, each at the first of its positions."""
    donor_tokens: Count
    """Of what follows them."""
    unused: Count
    """Rewrites of documents that no arm removes which is filled from the file."""


class StudyClaim(Claim):
    """What is said of every arm of a study."""

    study: str
    arm: str
    base: Hash
    """Identity of the base."""
    rules: Annotated[list[FilterRuleClaim], Field(max_length=16)] = Field(default_factory=list)
    """The filters and placebos of all arms, undosed, in the order in which they judged the base;
    empty where an older version built the arm."""


class ScoredClaim(Claim):
    """Scores that the classifier of an arm's filter gave to some documents."""

    documents: Count
    """All of them, each once."""
    scored: Count
    """Those that its list escalated; of the others nothing is scored."""
    deciles: Annotated[list[Count], Field(max_length=11)]
    """Millionths: the least score, that at each tenth of them, and the largest; empty without
    one."""

    @classmethod
    def of(cls, documents: int, scores: npt.NDArray[np.int64]) -> ScoredClaim:
        """scores: int64 [num_scored], millionths."""
        ordered = np.sort(scores)
        at = (len(ordered) - 1) * np.arange(11) // 10 if len(ordered) else np.empty(0, np.int64)
        return cls(documents=documents, scored=len(scores), deciles=ordered[at].tolist())


class ArmScoresClaim(Claim):
    """Scores of what gave way in an arm, and of what stands there instead."""

    removed: ScoredClaim
    donors: ScoredClaim


class ArmClaim(StudyClaim):
    """An aligned arm of a study."""

    fill: Fill
    slots: Hash
    """Of the table."""
    sources: dict[str, SlotClaim]
    donors: dict[str, DonorClaim]
    inner_documents: Count
    """Donors that stand behind another in their slot, at every position: as many EOD more than
    documents."""
    inner_begun: Count
    """Of those, the ones of two tokens or more, which begin with BOS where documents do."""
    windows: Count
    """Stretches of WINDOW_TOKENS tokens of the stream that a slot touches."""
    lengths: Lengths = Field(default_factory=dict)
    """Donors as a whole by their length, each at the first of its positions; none where an older
    version built the arm, which had no scores either."""
    scores: ArmScoresClaim | None = None
    """Where the filter has a classifier."""
    rewrites: RewritesClaim | None = None
    """Of an arm that is filled with them."""

    def given(self, source: str) -> int:
        """Documents that a source gives to slots, whosever they are, beside those of the base."""
        return self.donors[source].documents if source in self.donors else 0

    def taken(self, source: str) -> int:
        """Documents of a source that gave way."""
        return self.sources[source].slots if source in self.sources else 0


class MaskedClaim(Claim):
    """What is no target in a source."""

    documents: Count
    """That the filter flags."""
    positions: Count
    """Places of them in the stream at which a token is no target."""
    tokens: Count
    """At all of these."""


class MaskShares(Claim):
    """How many tokens are no targets in the stretches of a stream that are looked at: of the one
    that has the fewest, of those in the middle and at 99% of them by that number, and of the one
    that has the most.
    """

    min: Count
    median: Count
    p99: Count
    max: Count
    whole: Count
    """Stretches of which no token is a target."""

    def told(self, what: str, num_tokens: int) -> str:
        """One line. what: names a stretch, of `num_tokens` tokens."""
        least, median, p99, most = (
            f"{percent_text(tokens, num_tokens, 2)}%"
            for tokens in (self.min, self.median, self.p99, self.max)
        )
        none = f"; {self.whole:,} have no target" if self.whole else ""
        return (
            f"masked of each {what}: at least {least}, median {median}, 99th percentile {p99}, at"
            f" most {most}{none}"
        )


class MaskClaim(StudyClaim):
    """An arm of a study that is its base, and of which something is read but not learnt: documents
    (`mask`), or the terms in them (`mask-terms`).
    """

    fill: Literal["mask", "mask-terms"]
    mask: Hash
    """Of the table of runs."""
    sources: dict[str, MaskedClaim]
    windows: Count
    """Stretches of WINDOW_TOKENS tokens of the stream that a run touches."""
    shares: MaskShares
    """Of all stretches of WINDOW_TOKENS tokens, of which the last may be shorter."""

    @property
    def tokens(self) -> int:
        """That are no targets."""
        return sum(source.tokens for source in self.sources.values())

    def given(self, source: str) -> int:
        """Documents that a source gives to slots: none."""
        return 0

    def taken(self, source: str) -> int:
        """Documents of a source that the filter flags."""
        return self.sources[source].documents if source in self.sources else 0
