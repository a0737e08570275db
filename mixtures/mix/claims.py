"""What a manifest says, with types: a crafted manifest is refused here, so that no check has to
guard against one.

`mixtures.mix.manifest.load` checks the outer fields and the digest; these models check everything
below that the audit reads.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixtures.errors import ManifestError
from mixtures.keys import KEY_SPACE, KeyRange
from mixtures.mix.manifest import Manifest
from mixtures.stream.quotas import Size
from mixtures.words import strand_label

MAX_COUNT = 1 << 52  # above any token count, and below where float64 would round a midpoint
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^(0|[1-9a-f][0-9a-f]{0,16})$")]


class Claim(BaseModel):
    """Part of a manifest: strict types, and more fields than these are allowed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class RemovedClaim(Claim):
    """What a filter removed of a source within its quota; first_*: of that, what no earlier filter
    removes.
    """

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
    """The scores that decided: how many documents needed one, and BLAKE3 over them
    (`pipeline.stages.eligible.score_digest`).
    """

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


class NearRuleClaim(Claim):
    """What decides band keys (`mixtures.rules.near.NearRule`)."""

    unit: Literal["words", "characters"]
    shingle: Count
    bands: Count
    rows: Count


class NearClaim(Claim):
    """A search for near-duplicates over the whole key ranges of its sources.

    verify: a decimal, as text. documents: exact survivors that are long enough; clustered: those of
        them in clusters. sizes: clusters by
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


class PublicClaim(Claim):
    """Of a public mix (`mixtures.mix.public`). of: identity of the mix that it was made of; salt:
    names the salt of its digests.
    """

    of: Hash
    salt: Hash


class Layout(Claim):
    """Bytes of the mix: see `manifest.layout`."""

    token_dtype: Literal["uint16", "int32"]
    chunk_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]
    slice_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]

    @property
    def dtype(self) -> np.dtype[Any]:
        """A token as it is read back; unsigned, so that a negative id is seen as too large."""
        return np.dtype("<u2" if self.token_dtype == "uint16" else "<u4")


class TokenizerClaim(Claim):
    """The tokenizer that made the ids."""

    name: str
    digest: str
    eod_id: Count
    vocab_size: Count
    special_tokens: Literal["text", "parse"]


class CutClaim(Claim):
    """The document that ends a source's quota: its index in the source's sequence, tokens kept and
    tokens it had.
    """

    document: Count
    kept_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]
    num_tokens: Count


class DeviationClaim(Claim):
    """Largest distance from the source's share at a prefix: proven (not where removals left gaps)
    and measured, in tokens, rounded up.
    """

    bound_tokens: Count | None
    measured_tokens: Count


class KeysClaim(Claim):
    """What has a key range, in hex."""

    keys: Annotated[list[Key], Field(min_length=2, max_length=2)]

    @property
    def key_range(self) -> KeyRange:
        """Half-open range of order keys."""
        return KeyRange(*(min(bound, KEY_SPACE) for bound in KeyRange.parse(self.keys)))


class SourceClaim(KeysClaim):
    """One strand of the mix: a source, the copies of some of its documents (copy 1), or an
    insert.
    """

    name: str
    copy_number: Annotated[int, Field(ge=0, le=1, alias="copy")]
    insert: bool
    definition: str
    licence: str
    non_commercial: bool
    asked_tokens: Count
    resolved_tokens: Count
    realised_tokens: Count
    documents: Count
    epochs: Count
    longest_tokens: Count
    cut: CutClaim | None
    refilled: dict[str, Count]
    deviation: DeviationClaim

    @property
    def label(self) -> str:
        """Names the strand in tables and messages."""
        return strand_label(self.name, self.copy_number)

    @property
    def dropped_tokens(self) -> int:
        """Tokens of the quota that removed documents left empty, if the mix shrinks. Negative in an
        edited manifest alone.
        """
        return self.resolved_tokens - self.realised_tokens


class HitClaim(Claim):
    """An item of an evaluation set that documents hold: at most `found` of its `total` n-grams in
    one of them.
    """

    item: str
    documents: Count
    found: Count
    total: Count


class SetClaim(Claim):
    """An evaluation set, what of it is looked for, and what was found."""

    name: str
    identity: Hash
    items: Count
    not_indexed: Count
    ngrams: Count
    hits: list[HitClaim]


class ContaminationClaim(Claim):
    """What evaluation sets found. documents: contaminated ones by source."""

    action: Literal["drop", "report"]
    sets: list[SetClaim]
    documents: dict[str, Count]


class ExcludedClaim(KeysClaim):
    """A source of another recipe whose documents were not taken."""

    recipe: str
    source: str
    definition: str


class InputClaim(Claim):
    """A file that was read."""

    path: str
    size: Count
    sha256: Hash


class HashClaims(Claim):
    """BLAKE3 of the chunks, the .idx and the tables' parts, and the roots over them."""

    chunks: list[Hash]
    bin: Hash
    idx: Hash
    documents_parts: list[Hash]
    documents: Hash
    provenance_parts: list[Hash]
    provenance: Hash


class SizeClaim(Claim):
    """How large the build was asked to be: nothing, a share of the recipe, or a number of
    tokens.
    """

    scale: Annotated[str, Field(pattern=r"^[0-9]{1,18}(/0*[1-9][0-9]{0,17})?$")] | None = None
    tokens: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None = None

    @property
    def size(self) -> Size:
        """As the quotas take it."""
        scale = None if self.scale is None else Fraction(self.scale)
        return Size(scale, None if self.tokens is None else int(self.tokens))


class PublishedSource(Claim):
    """What is published of a source."""

    documents: Count | None = None
    tokens: Count | None = None
    percent: str | None = None
    removed_percent: str | None = None
    copied_percent: str | None = None


class PublishedClaims(Claim):
    """What is published of the mix."""

    documents: Count | None = None
    tokens: Count | None = None
    removed_percent: str | None = None
    copied_percent: str | None = None
    sources: dict[str, PublishedSource] = Field(default_factory=dict)


class Claims(Claim):
    """All of a manifest that the audit reads."""

    name: str
    recipe: dict[str, Any]
    recipe_digest: str
    size: SizeClaim
    tokenizer: TokenizerClaim
    layout: Layout
    total_tokens: Count
    total_documents: Count
    eod_tokens: Count
    sources: Annotated[list[SourceClaim], Field(min_length=1, max_length=1 << 15)]
    removed: dict[str, dict[str, Count]]
    contamination: ContaminationClaim | dict[str, str]
    filters: Annotated[list[FilterClaim], Field(max_length=16)]
    near: NearClaim | None
    excluded: list[ExcludedClaim]
    published: PublishedClaims
    revisions: dict[str, str]
    inputs: dict[str, list[InputClaim]]
    hashes: HashClaims
    identity: Hash
    public: PublicClaim | None = None

    @property
    def shares(self) -> list[int]:
        """Tokens that each strand must have in the stream: its quota, of which under refill the
        copies of some of its documents are a part; under shrink what the manifest says is left of
        it.
        """
        if self.shrinks:
            return [source.realised_tokens for source in self.sources]
        copied = {
            source.name: source.resolved_tokens for source in self.sources if source.copy_number
        }
        return [
            max(
                source.resolved_tokens - (0 if source.copy_number else copied.get(source.name, 0)),
                0,
            )
            for source in self.sources
        ]

    @property
    def shrinks(self) -> bool:
        """Whether the recipe lets removed documents leave gaps."""
        return bool(self.recipe.get("removed") == "shrink")

    @property
    def gaps(self) -> bool:
        """Whether some did; then midpoints are those of the unfiltered quota, and no prefix bound
        is proven.
        """
        return self.shrinks and any(source.dropped_tokens for source in self.sources)

    @property
    def num_chunks(self) -> int:
        """Chunks that the layout demands."""
        return -(-self.total_tokens // self.layout.chunk_tokens)

    @property
    def num_slices(self) -> int:
        """Slices, and so parts of each table, that the layout demands."""
        return -(-self.total_tokens // self.layout.slice_tokens)


def read_claims(manifest: Manifest, where: str) -> Claims:
    """Give a manifest's content its types.

    Raises:
        ManifestError: says every field that is not what the format says.
    """
    try:
        claims = Claims.model_validate(manifest)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise ManifestError(
            f"{where}: {'; '.join(faults[:5])}; it was not written by annealmix, or edited"
        ) from None
    names = [source.label for source in claims.sources]
    if len(set(names)) != len(names) or len(
        {(source.name, source.copy_number) for source in claims.sources}
    ) != len(names):
        raise ManifestError(
            f"{where}: sources {names} are not distinct; it was not written by annealmix, or edited"
        )
    return claims
