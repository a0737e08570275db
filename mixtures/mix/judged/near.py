"""What a manifest says of near-duplicates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mixtures.mix.claim import Claim, Count, Hash

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
