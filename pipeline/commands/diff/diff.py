"""`annealmix diff A B`: what two mixes share, what only one of them has and why, and what differs
in what they were asked to be.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from mixtures.audit.documents import KEY, MixDocuments
from mixtures.diff.compare import Comparison, open_documents
from mixtures.diff.figures import OTHERWISE, SIDES, DiffFigures, Reasons
from mixtures.diff.reasons import WhyNot
from mixtures.diff.settings import Setting, differing_settings
from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims
from pipeline import report
from pipeline.commands.destination import refuse_place
from pipeline.commands.diff.listing import DocumentList, document_list

if TYPE_CHECKING:
    from pipeline.lookup.reasons import StoreReasons


@dataclass(frozen=True)
class ScoresOfBoth:
    """Scores that a filter of a mix gave to documents that one mix alone has."""

    side: str
    """Of the mix whose filter it is."""
    label: str
    above: int
    """The threshold, in millionths."""
    edges: list[int]
    """Millionths."""
    counts: dict[str, list[int]]
    """By the side that has the documents: how many between two edges, [num_edges - 1]."""


@dataclass(frozen=True)
class MixDiff:
    """Two mixes compared."""

    paths: tuple[Path, Path]
    """Of A and B."""
    claims: tuple[Claims, Claims]
    settings: list[Setting]
    figures: DiffFigures
    stored: bool
    """Whether the store was asked for reasons."""
    scores: list[ScoresOfBoth]
    """Of each filter with a classifier; none without a store."""

    @property
    def identical(self) -> bool:
        """Whether they are the same tokens, documents and order."""
        return self.claims[0].identity == self.claims[1].identity

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        mixes = {
            side: {
                "path": str(path),
                "name": mix.name,
                "identity": mix.identity,
                "mix_id": mix.mix_id,
                "documents_and_repeats": mix.total_documents,
                "tokens": mix.total_tokens,
            }
            for side, path, mix in zip(SIDES, self.paths, self.claims, strict=True)
        }
        return {
            **mixes,
            "identical": self.identical,
            "settings": [asdict(setting) for setting in self.settings],
            **self.figures.as_json(),
            "scores": [asdict(scores) for scores in self.scores],
        }


def diff(one: Path, two: Path, store: Path | None = None, listing: Path | None = None) -> MixDiff:
    """Compare two mix folders.

    Args:
        store: of both mixes; says why where their manifests leave several reasons. listing: file to
            write the differing documents to.

    Raises:
        ManifestError: a mix is damaged or edited, or the store is not the one that they were made
            from.
        RecipeError: there is no store, the list cannot be made there, or digests of a public mix
            mean nothing to the other.
    """
    for mix in (one, two):
        if listing:
            refuse_place(listing, mix)
    with document_list(listing) if listing else nullcontext() as documents:
        mixes = open_documents(MixDocuments(one)), open_documents(MixDocuments(two))
        if why_not := mixes[0].incomparable(mixes[1]):
            raise RecipeError(f"diff: {why_not}")
        comparing, (a, b) = _Comparing(*mixes, store, documents), (mix.claims for mix in mixes)
        return MixDiff(
            paths=(one, two),
            claims=(a, b),
            settings=differing_settings(a, b),
            figures=comparing.run(),
            stored=store is not None,
            scores=comparing.scores(),
        )


class _Comparing:
    """One comparison while it is made."""

    def __init__(
        self,
        one: MixDocuments,
        two: MixDocuments,
        store: Path | None,
        documents: DocumentList | None,
    ) -> None:
        self.comparison, self.documents = Comparison(one, two), documents
        self.figures = DiffFigures.of(one, two)
        self.why = {"a": WhyNot(one, two), "b": WhyNot(two, one)}
        self.stored = {side: _stored(why, store) for side, why in self.why.items()} if store else {}
        self.digests = {side: [np.empty((0, 2), np.uint64)] for side in SIDES}
        """Of documents of one mix alone, uint64 [num_docs, 2] of each partition; with a store."""

    def run(self) -> DiffFigures:
        """Go through all partitions, and list what differs."""
        with report.counted("compare documents") as progress:
            for documents in self.comparison.partitions(progress):
                for side, other in (("a", "b"), ("b", "a")):
                    self._add_only(side, documents.filter(pl.col(f"places_{other}").is_null()))
                shared = documents.filter(
                    pl.col("places_a").is_not_null() & pl.col("places_b").is_not_null()
                )
                otherwise = self.figures.add_shared(shared)
                if self.documents:
                    self._list_shared(self.documents, otherwise)
        self.figures.order = self.comparison.order()
        return self.figures

    def scores(self) -> list[ScoresOfBoth]:
        """Scores of what one mix alone has, by each filter of either that scores; to be asked after
        `run`. None without the store.
        """
        if not self.stored:
            return []
        from pipeline.lookup.scores import SCORE_EDGES, score_counts, scoring

        only = {side: np.concatenate(digests) for side, digests in self.digests.items()}
        found = []
        for side, other in (("a", "b"), ("b", "a")):
            mix = self.stored[other].mix  # what says why a document of the other is not in it
            for number, above, item in scoring(mix):
                counts = {
                    one: score_counts(mix, number, digests).tolist()
                    for one, digests in only.items()
                }
                found.append(ScoresOfBoth(side, item.rule.label, above, list(SCORE_EDGES), counts))
        return found

    def _add_only(self, side: str, documents: pl.DataFrame) -> None:
        """Count documents of one mix alone, [num_docs of them]."""
        names = ("source", "places", "tokens", "longest")
        only = documents.select(*KEY, *(pl.col(f"{name}_{side}").alias(name) for name in names))
        source, digest = only["source"].to_numpy(), only.select(KEY).to_numpy()
        reasons: Reasons = self.why[side].reasons(source, digest)
        if self.stored:
            reasons = self.stored[side].exact(source, digest, reasons)
            self.digests[side].append(digest)
        self.figures.add_only(side, only, reasons)
        if self.documents:
            self.documents.add(
                digest, self._names(side, source), side, reasons, only["tokens"].to_numpy()
            )

    def _list_shared(self, documents: DocumentList, otherwise: pl.DataFrame) -> None:
        """List documents of both that stand otherwise, [num_docs]."""
        differs = otherwise.select(OTHERWISE).to_numpy()
        reasons = np.array([", ".join(np.array(OTHERWISE)[row]) for row in differs], object)
        digest = otherwise.select(KEY).to_numpy()
        documents.add(
            digest,
            self._names("a", otherwise["source_a"].to_numpy()),
            "both",
            reasons,
            otherwise["tokens_a"].to_numpy(),
        )

    def _names(self, side: str, source: npt.NDArray[np.integer]) -> npt.NDArray[np.object_]:
        """Names of sources by code, both [num_docs]."""
        return np.array([self.figures.name(side, code) for code in source.tolist()], object)


def _stored(why: WhyNot, store: Path) -> StoreReasons:
    from pipeline.commands.trace.arm import open_fates
    from pipeline.lookup.reasons import StoreReasons

    other = why.other
    return StoreReasons(why, open_fates(other.folder, other.claims, store))
