"""What a manifest is made of: strict values, objects that say again exactly what they were read
from or made of, and those of its parts that say nothing of sources.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mixtures.keys import KEY_SPACE, KeyRange
from mixtures.stream.quotas import Size
from mixtures.trainers.names import Trainer
from mixtures.trainers.schedule import Schedule

MAX_COUNT = 1 << 52  # above any token count, and below where float64 would round a midpoint
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, lt=MAX_COUNT)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Number = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,13}$")]
Key = Annotated[str, Field(pattern=r"^(0|[1-9a-f][0-9a-f]{0,16})$")]


class Claim(BaseModel):
    """Part of a manifest: strict types, and no field that its format does not have, since no check
    could hold it against anything.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    def as_json(self) -> dict[str, Any]:
        """The object of the manifest: the fields that it was read with or made of, and no others,
        so that a field with a default stands there only if it was given.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class KeysClaim(Claim):
    """What has a key range."""

    keys: Annotated[list[Key], Field(min_length=2, max_length=2)]
    """[low, high) of the order keys, in hex."""

    @property
    def key_range(self) -> KeyRange:
        """The same in numbers, 0 to 2^64."""
        return KeyRange(*(min(bound, KEY_SPACE) for bound in KeyRange.parse(self.keys)))


class SizeClaim(Claim):
    """How large the build was asked to be: nothing, a share of the recipe, a number of tokens, or
    the steps of a training.
    """

    scale: Annotated[str, Field(pattern=r"^[0-9]{1,31}(/0*[1-9][0-9]{0,30})?$")] | None = None
    tokens: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None = None
    steps: _Number | None = None
    batch: _Number | None = None
    sequence: _Number | None = None
    trainer: Trainer | None = None

    @property
    def size(self) -> Size:
        """As the quotas take it."""
        scale = None if self.scale is None else Fraction(self.scale)
        schedule = None
        if self.steps and self.batch and self.sequence and self.trainer:
            numbers = int(self.steps), int(self.batch), int(self.sequence)
            schedule = Schedule(*numbers, self.trainer)
        return Size(scale, None if self.tokens is None else int(self.tokens), schedule)


class TokenizerClaim(Claim):
    """The tokenizer that made the ids."""

    name: str
    digest: str
    eod: str
    """The token that ends every document."""
    eod_id: Count
    bos: str | None
    """That begins every document, if one does."""
    bos_id: Count | None
    vocab_size: Count
    """Ids are below it."""
    special_tokens: Literal["text", "parse"]
    """What became of strings such as `<|endoftext|>` inside a document."""


class TokenizerOrigin(Claim):
    """Where the hub has the tokenizer; no mix depends on it."""

    repo: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
    revision: str
    """The commit, as far as it is known."""
    filename: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")]


class LayoutClaim(Claim):
    """How the bytes of the mix are cut (`pipeline.stages.mix_folder.Layout`)."""

    token_dtype: Literal["uint16", "int32"]
    chunk_tokens: Positive
    """Tokens that one hash covers."""
    slice_tokens: Positive
    """Tokens of the stream whose documents make one part of each table."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """A token as it is read back; unsigned, so that a negative id is seen as too large."""
        return np.dtype("<u2" if self.token_dtype == "uint16" else "<u4")


class PublishedFigures(Claim):
    """What a paper or card states, as far as it does; percents as printed."""

    documents: Count | None = None
    tokens: Count | None = None
    removed_percent: str | None = None
    """Of the documents, by filters."""
    copied_percent: str | None = None
    """Of the documents, by `copies: approved`."""


class PublishedSource(PublishedFigures):
    """What is published of a source."""

    percent: str | None = None
    """Of the mix's tokens."""


class PublishedClaims(PublishedFigures):
    """What is published of the mix."""

    sources: dict[str, PublishedSource] = Field(default_factory=dict)


class InputClaim(Claim):
    """A file that was read."""

    path: str
    size: Count
    """Bytes."""
    sha256: Hash


class HashClaims(Claim):
    """BLAKE3 of the chunks, the .idx and the tables' parts, and the roots over them
    (`mixtures.mix.tables.root_hash`).
    """

    chunks: list[Hash]
    bin: Hash
    idx: Hash
    documents_parts: list[Hash]
    documents: Hash
    provenance_parts: list[Hash]
    provenance: Hash


class PublicClaim(Claim):
    """Of a public mix (`mixtures.mix.public`)."""

    of: Hash
    """Identity of the mix that it was made of."""
    salt: Hash
    """Names the salt of its digests."""
