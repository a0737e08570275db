"""What a manifest says of near-duplicates, with types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mixtures.audit.claim_types import Claim, Count, Hash


class NearRuleClaim(Claim):
    """What decides band keys (`mixtures.rules.near.NearRule`)."""

    unit: Literal["words", "characters"]
    shingle: Count
    bands: Count
    rows: Count


class NearClaim(Claim):
    """A search for near-duplicates over the whole key ranges of its sources.

    verify: a decimal, as text. documents: exact survivors that are long enough; clustered: those of them in clusters. sizes: clusters by
    the power of two that their size reaches. largest: sizes, at most 10. dropped: by source.
    """

    identity: Hash
    rule: NearRuleClaim
    sources: list[str]
    excluded: Literal["true", "false"]
    verify: Annotated[str, Field(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")] | None = None
    documents: Count
    clusters: Count
    clustered: Count
    sizes: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")], Count]
    largest: Annotated[list[Count], Field(max_length=10)]
    dropped: dict[str, Count]

    @property
    def asked(self) -> dict[str, Any]:
        """What the recipe must ask (`mixtures.recipe.near.NearRequest.canonical`)."""
        asked = self.model_dump(include={"identity", "rule", "sources", "excluded"})
        return asked if self.verify is None else {**asked, "verify": self.verify}
