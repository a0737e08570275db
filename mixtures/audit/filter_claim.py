"""What a manifest says of a filter, with types."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mixtures.audit.claim_types import Claim, Count, Hash


class RemovedClaim(Claim):
    """What a filter removed of a source within its quota; first_*: of that, what no earlier filter removes."""

    documents: Count
    tokens: Count
    first_documents: Count
    first_tokens: Count


class BlocklistClaim(Claim):
    """The list of a filter."""

    sha256: Hash
    mode: str
    threshold: Count


class ClassifierClaim(Claim):
    """The classifier of a filter. threshold: a decimal, as text."""

    kind: str
    digest: Hash
    threshold: Annotated[str, Field(pattern=r"^0(\.[0-9]{1,18})?$")]


class ScoresClaim(Claim):
    """The scores that decided: how many documents needed one, and BLAKE3 over them (`pipeline.stages.eligible.score_digest`)."""

    documents: Count
    blake3: Hash


class FilterClaim(Claim):
    """A filter of the mix. removed: by source."""

    label: str
    identity: Hash
    placebo: bool
    fraction: str
    blocklist: BlocklistClaim
    classifier: ClassifierClaim | None
    scores: ScoresClaim | None
    removed: dict[str, RemovedClaim]
