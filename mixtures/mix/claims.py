"""The manifest with types. What a build writes is made of these, and whoever reads a manifest reads
it through them, so that no check has to guard against a crafted one.

    MixClaims     what was asked, resolved and selected: known before a byte is written
    Description   the same with its strands: what a build is about to make
    Claims        a finished mix: also what was counted in its bytes, their hashes, identity and
                  mix id

What they are made of stands in `mixtures.mix.claim`, and what filters, near-duplicates and
evaluation sets did in `mixtures.mix.judged`. An example, of which `mixtures.mix.manifest` explains
identity and digest: manifests/sample.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, ValidationError

from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claim import (
    Claim,
    Count,
    Hash,
    HashClaims,
    InputClaim,
    KeysClaim,
    LayoutClaim,
    Positive,
    PublicClaim,
    PublishedClaims,
    SizeClaim,
    TokenizerClaim,
    TokenizerOrigin,
)
from mixtures.mix.judged.arms import ArmClaim, MaskClaim
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.judged.filters import FilterClaim
from mixtures.mix.judged.near import NearClaim
from mixtures.mix.tables import Columns, Texts
from mixtures.recipe.loaded import corpora_of
from mixtures.trainers.fit import TrainerFit
from mixtures.trainers.schedule import Schedule, mix_fit
from mixtures.words import strand_label


class SelectedClaim(KeysClaim):
    """One strand of the mix as it was selected: a source, the copies of some of its documents (copy
    1), or an insert.
    """

    model_config = ConfigDict(populate_by_name=True)  # a model has a method `copy`

    name: str
    copy_number: Annotated[int, Field(ge=0, le=1, alias="copy")]
    insert: bool
    definition: str
    licence: str
    non_commercial: bool
    asked_tokens: Count
    """By the recipe, at the size of the mix."""
    resolved_tokens: Count
    """After shortfalls: the quota."""
    documents: Count
    """Repeats counted."""
    epochs: Count
    longest_tokens: Count
    refilled: dict[str, Count]
    """Tokens that other sources gave instead, by their name."""
    rotation: Count | None = None
    """Of copies: which of them, in the order of epochs and keys, stands first
    (`mixtures.stream.rotation`).
    """

    @property
    def label(self) -> str:
        """Names the strand in tables and messages."""
        return strand_label(self.name, self.copy_number)


class CutClaim(Claim):
    """The document that ends a source's quota."""

    document: Count
    """Its index in the sequence of its strand, as the stream has it."""
    kept_tokens: Positive
    num_tokens: Count
    """That it had."""


class DeviationClaim(Claim):
    """Largest distance from the source's share at a prefix, in tokens, rounded up."""

    bound_tokens: Count | None
    """Proven; None where removals left gaps."""
    measured_tokens: Count


class SourceClaim(SelectedClaim):
    """One strand of the mix, with what was counted in the bytes."""

    realised_tokens: Count
    cut: CutClaim | None
    deviation: DeviationClaim

    @property
    def dropped_tokens(self) -> int:
        """Tokens of the quota that removed documents left empty, if the mix shrinks. Negative in an
        edited manifest alone.
        """
        return self.resolved_tokens - self.realised_tokens


class ExcludedClaim(KeysClaim):
    """A source of another recipe whose documents were not taken."""

    recipe: str
    source: str
    definition: str


class MixClaims(Claim):
    """What is known of a mix before its bytes are written."""

    format: int
    name: str
    recipe: dict[str, Any]
    """In its canonical form."""
    recipe_digest: str
    size: SizeClaim
    tokenizer: TokenizerClaim
    tokenizer_origin: TokenizerOrigin | None
    layout: LayoutClaim
    total_tokens: Count
    total_documents: Count
    removed: dict[str, dict[str, Count]]
    """Rows of each source by what became of them; `rows` is the sum of the others."""
    contamination: ContaminationClaim | Annotated[dict[str, str], Field(max_length=0)]
    """Empty without evaluation sets."""
    filters: Annotated[list[FilterClaim], Field(max_length=16)]
    near: NearClaim | None
    excluded: list[ExcludedClaim]
    published: PublishedClaims
    revisions: dict[str, str]
    """REPO@COMMIT of each definition that was read from the hub."""
    inputs: dict[str, list[InputClaim]]
    """By definition."""
    arm: ArmClaim | None = None
    """Of an aligned arm whose slots are filled."""
    mask: MaskClaim | None = None
    """Of one whose slots, or the terms in them, are masked."""

    @property
    def study(self) -> ArmClaim | MaskClaim | None:
        """What is said of an arm of a study, of either kind; None of another mix."""
        return self.arm or self.mask

    @property
    def masked(self) -> bool:
        """Whether what filters flag is in the mix, and masked."""
        return self.mask is not None

    def given(self, source: str) -> int:
        """Documents of a source that fill slots of an aligned arm."""
        return self.study.given(source) if self.study else 0


class Description(MixClaims):
    """A mix that is to be written."""

    sources: list[SelectedClaim]


class Claims(MixClaims):
    """A finished mix: all of its manifest."""

    eod_tokens: Count
    bos_tokens: Count
    """0 where no token begins documents."""
    sources: Annotated[list[SourceClaim], Field(min_length=1, max_length=1 << 15)]
    hashes: HashClaims
    identity: Hash
    """Of the stream."""
    mix_id: Hash
    """Of the stream, the recipe with its filters, and the tokenizer."""
    digest: str
    public: PublicClaim | None = None

    @property
    def base(self) -> str:
        """Identity of the mix that an arm of a study is aligned with; of another mix its own, or of
        a public one that of what it was made of.
        """
        if self.study:
            return self.study.base
        return self.public.of if self.public else self.identity

    @property
    def described(self) -> Description:
        """What was known of the mix before its bytes were written."""
        fields = set(SelectedClaim.model_fields)
        sources = [
            SelectedClaim.model_construct(
                fields & source.model_fields_set, **source.model_dump(include=fields)
            )
            for source in self.sources
        ]
        mine = self.model_fields_set & set(Description.model_fields)
        values = {name: getattr(self, name) for name in mine}
        return Description.model_construct(mine, **{**values, "sources": sources})

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
    def asked(self) -> list[SourceClaim]:
        """The strands that have a quota of the recipe: no copies, and no inserts."""
        return [one for one in self.sources if not (one.copy_number or one.insert)]

    @property
    def bare_cuts(self) -> int:
        """Documents of which a cut left EOD alone: they have no BOS."""
        return sum(
            source.cut is not None and source.cut.kept_tokens == 1 for source in self.sources
        )

    @property
    def corpora(self) -> dict[str, str]:
        """The corpus of each source that is a part of one, by the recipe."""
        return corpora_of(self.recipe)

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

    def strands_of(self, columns: Columns) -> npt.NDArray[np.int64]:
        """The number of each document's strand in `sources`, int64 [num_docs]; -1 where none is
        listed. columns: source and copy of a part.
        """
        listed = {
            (source.name, source.copy_number): number for number, source in enumerate(self.sources)
        }
        names = Texts.of(columns["source"])
        # no strand is copy 2 or more: all of those become the column that is -1
        known = [[listed.get((name, copy), -1) for copy in (0, 1, 2)] for name in names.names]
        numbers = np.array(known, np.int64).reshape(-1, 3)
        return numbers[names.codes, np.minimum(columns["copy"], 2)]

    @property
    def num_chunks(self) -> int:
        """Chunks that the layout demands."""
        return -(-self.total_tokens // self.layout.chunk_tokens)

    @property
    def num_slices(self) -> int:
        """Slices, and so parts of each table, that the layout demands."""
        return -(-self.total_tokens // self.layout.slice_tokens)

    def fit(self, num_tokens: int) -> TrainerFit | None:
        """How the mix fits the trainers; None without tokens.

        Args:
            num_tokens: that the manifest says, or that were counted.
        """
        if num_tokens < 1:
            return None
        quotas = sum(source.resolved_tokens for source in self.asked)
        return mix_fit(self.schedule, num_tokens, quotas if self.shrinks else None)

    @property
    def schedule(self) -> Schedule | None:
        """The steps that the mix is meant for."""
        return self.size.size.meant_schedule(self.recipe.get("budget"))


def read_claims(folder: Path) -> Claims:
    """Read the manifest of a mix folder: the one way in which a mix is taken for one.

    Raises:
        ManifestError: it is missing, damaged, of another format, edited after it was written, or
            says what no mix can be; names every field that is not what the format says.
    """
    return typed(manifests.load(folder), str(folder / manifests.MANIFEST))


def typed(manifest: manifests.Manifest, where: str) -> Claims:
    """Give a manifest's content its types.

    Args:
        where: names the manifest in messages.

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
    if len(set(names)) != len(names):
        raise ManifestError(
            f"{where}: sources {names} are not distinct; it was not written by annealmix, or edited"
        )
    for source in claims.sources:
        if source.copy_number and source.rotation is None:
            raise ManifestError(
                f"{where}: {source.label} does not say with which copy it begins: an older version"
                " built it, whose copies could stand beside their originals; build the mix again,"
                " or read it with the version that build.json names"
            )
        if not source.copy_number and source.rotation is not None:
            raise ManifestError(
                f"{where}: {source.label} has a rotation, which is of copies alone; it was not"
                " written by annealmix, or edited"
            )
    return claims
