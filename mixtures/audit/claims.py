"""What a manifest says, with types: a crafted manifest is refused here, so that no check has to guard against one.

`mixtures.manifest.load` checks the outer fields and the digest; these models check everything below that the audit reads.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixtures.errors import ManifestError
from mixtures.keys import KEY_SPACE, KeyRange
from mixtures.manifest import Manifest
from mixtures.quotas import Size

MAX_COUNT = 1 << 52  # above any token count, and below where float64 would round a midpoint
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^(0|[1-9a-f][0-9a-f]{0,16})$")]


class _Claim(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Layout(_Claim):
    """Bytes of the mix: see `manifest.layout`."""

    token_dtype: Literal["uint16", "int32"]
    chunk_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]
    slice_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]

    @property
    def dtype(self) -> np.dtype[Any]:
        """A token as it is read back; unsigned, so that a negative id is seen as too large."""
        return np.dtype("<u2" if self.token_dtype == "uint16" else "<u4")


class TokenizerClaim(_Claim):
    """The tokenizer that made the ids."""

    name: str
    digest: str
    eod_id: Count
    vocab_size: Count
    special_tokens: Literal["text", "parse"]


class CutClaim(_Claim):
    """The document that ends a source's quota: its index in the source's sequence, tokens kept and tokens it had."""

    document: Count
    kept_tokens: Annotated[int, Field(ge=1, lt=MAX_COUNT)]
    num_tokens: Count


class DeviationClaim(_Claim):
    """Largest distance from the source's share at a prefix: proven and measured, in tokens, both rounded up."""

    bound_tokens: Count
    measured_tokens: Count


class SourceClaim(_Claim):
    """One source of the mix."""

    name: str
    definition: str
    licence: str
    non_commercial: bool
    keys: Annotated[list[Key], Field(min_length=2, max_length=2)]
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
    def key_range(self) -> KeyRange:
        """Half-open range of order keys."""
        return min(int(self.keys[0], 16), KEY_SPACE), min(int(self.keys[1], 16), KEY_SPACE)


class ExcludedClaim(_Claim):
    """A source of another recipe whose documents were not taken."""

    recipe: str
    source: str
    definition: str
    keys: Annotated[list[Key], Field(min_length=2, max_length=2)]

    @property
    def key_range(self) -> KeyRange:
        """Half-open range of order keys."""
        return min(int(self.keys[0], 16), KEY_SPACE), min(int(self.keys[1], 16), KEY_SPACE)


class InputClaim(_Claim):
    """A file that was read."""

    path: str


class HashClaims(_Claim):
    """BLAKE3 of the chunks, the .idx and the tables' parts, and the roots over them."""

    chunks: list[Hash]
    bin: Hash
    idx: Hash
    documents_parts: list[Hash]
    documents: Hash
    provenance_parts: list[Hash]
    provenance: Hash


class SizeClaim(_Claim):
    """How large the build was asked to be: nothing, a share of the recipe, or a number of tokens."""

    scale: Annotated[str, Field(pattern=r"^[0-9]{1,18}(/0*[1-9][0-9]{0,17})?$")] | None = None
    tokens: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None = None

    @property
    def size(self) -> Size:
        """As the quotas take it."""
        scale = None if self.scale is None else Fraction(self.scale)
        return Size(scale, None if self.tokens is None else int(self.tokens))


class PublishedSource(_Claim):
    """What is published of a source."""

    documents: Count | None = None
    tokens: Count | None = None
    percent: str | None = None


class PublishedClaims(_Claim):
    """What is published of the mix."""

    documents: Count | None = None
    tokens: Count | None = None
    sources: dict[str, PublishedSource] = Field(default_factory=dict)


class Claims(_Claim):
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
    excluded: list[ExcludedClaim]
    published: PublishedClaims
    inputs: dict[str, list[InputClaim]]
    hashes: HashClaims
    identity: Hash

    @property
    def quotas(self) -> list[int]:
        """Resolved tokens by source."""
        return [source.resolved_tokens for source in self.sources]

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
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False, include_input=False)]
        raise ManifestError(f"{where}: {'; '.join(faults[:5])}; it was not written by annealmix, or edited") from None
    names = [source.name for source in claims.sources]
    if len(set(names)) != len(names):
        raise ManifestError(f"{where}: sources {names} are not distinct; it was not written by annealmix, or edited")
    return claims
