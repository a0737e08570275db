"""What a manifest says of an aligned arm: slots and what stands in them, or masks
(`mixtures.audit.tables.slots` holds it against the tables).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mixtures.mix.claim import Claim, Count, Hash, KeysClaim
from mixtures.mix.judged.filters import FilterRuleClaim, Lengths
from mixtures.stream.arms.donors import Fill
from mixtures.words import percent_text

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
