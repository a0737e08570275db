"""What an audit returns: named checks with the figures that were measured, and what each source
realised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from mixtures.mix.claim import PublishedClaims, PublishedSource
from mixtures.mix.claims import SourceClaim
from mixtures.mix.judged.filters import FilterClaim
from mixtures.mix.judged.near import NearClaim
from mixtures.plan.published import Amount, Comparison, comparisons
from mixtures.trainers.fit import TrainerFit


@dataclass(frozen=True)
class Check:
    """One thing that was tested. name: stable; figure: what was measured; detail: what is wrong,
    empty when all is well.

    possible: False for what cannot be tested in a mix of this kind; then `figure` says why, and
        `ok` that it is no failure.
    """

    name: str
    ok: bool
    figure: str
    detail: str = ""
    possible: bool = True


class SourceFigures(SourceClaim):
    """One strand of the mix: what the manifest says of it, with its tokens, documents, longest
    document and deviation as they were counted.
    """

    share: str
    """Of the mix's tokens in percent, six decimals."""
    published: PublishedSource

    def as_json(self) -> dict[str, object]:
        """For machines: flat, and without what is not published."""
        figures = self.model_dump(by_alias=True, exclude={"deviation", "published"})
        return {
            **figures,
            **self.deviation.model_dump(),
            "published": self.published.model_dump(exclude_none=True),
        }


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit."""

    path: str
    name: str
    identity: str
    """Of the stream; empty for a pair without a manifest, as is `mix_id`."""
    checks: tuple[Check, ...]
    total_tokens: int
    total_documents: int
    eod_tokens: int
    mix_id: str = ""
    sources: tuple[SourceFigures, ...] = ()
    removed: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows of each source by what became of them."""
    filters: tuple[FilterClaim, ...] = ()
    """What each is and removed, as the manifest says."""
    masked: bool = False
    """Whether what filters flag is in the mix, and masked, as the manifest says."""
    donors: dict[str, int] = field(default_factory=dict)
    """Of an aligned arm: documents of each source that fill slots, as the manifest says."""
    near: NearClaim | None = None
    """Clusters of near-duplicates, as the manifest says; in a full audit."""
    published: PublishedClaims = field(default_factory=PublishedClaims)
    fit: TrainerFit | None = None
    corpora: dict[str, str] = field(default_factory=dict)
    """The corpus of each source that is a part of one."""
    whole: bool = True
    """Whether the mix is of its recipe's full size."""

    def given(self, source: str) -> int:
        """Documents of a source that fill slots."""
        return self.donors.get(source, 0)

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """What is published, beside what was counted."""
        amounts = [
            Amount(
                source.name, self.corpora.get(source.name), source.realised_tokens, source.documents
            )
            for source in self.sources
            if not source.insert
        ]
        return comparisons(amounts, self.published.sources, self.published, whole=self.whole)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.ok]

    def as_json(self) -> dict[str, object]:
        """The report as dicts, lists, strings and numbers."""
        published = self.published.model_dump(exclude={"sources"}, exclude_none=True)
        return {
            **asdict(self),
            "sources": [source.as_json() for source in self.sources],
            "filters": [item.model_dump() for item in self.filters],
            "near": self.near.model_dump() if self.near else {},
            "published": published,
            "compared": [row.as_json() for row in self.compared],
            "passed": self.passed,
        }


def judge(name: str, figure: str, faults: Sequence[str]) -> Check:
    """Make a check of the faults that were found: it passes if there is none. Of many, the first
    three are told.
    """
    more = f" (and {len(faults) - 3:,} more)" if len(faults) > 3 else ""
    return Check(name, not faults, figure, "; ".join(faults[:3]) + more)


def unread(name: str, why: str) -> Check:
    """A check that could not run is not passed."""
    return Check(name, False, "not checked", why)


def impossible(name: str, why: str) -> Check:
    """A check that a mix of this kind cannot have is named, not left out."""
    return Check(name, True, why, possible=False)
