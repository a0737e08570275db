"""What two mixes share and what only one of them has: documents by digest, whatever their sources
are called.

    tables of A and B -> partitions of digests, one at a time -> one row a document -> joined ->
    only in A, only in B, in both
    documents in both -> marked where they stand in A and B   -> both streams walked side by side:
        the same order?

A document is counted once however often it stands in a mix; its tokens are those of all its places.
Memory: what one partition holds (some 280 bytes a document, BLOCK_DOCUMENTS of both mixes together)
and a byte a document of each mix. Both tables are read once for each partition, and once before
that to be held against their manifests: an edited table proves nothing.

Two mixes of 4 million documents took 30 s of processor time and 1.6 GB (2026-11-22, a 2-core x86-64
machine).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from mixtures.audit.documents import KEY, MixDocuments, by_digest
from mixtures.audit.recipe import require_recipe
from mixtures.audit.stream import Progress
from mixtures.errors import ManifestError
from mixtures.keys import digest_columns
from mixtures.mix.manifest import MANIFEST

BLOCK_DOCUMENTS = 8_000_000

COLUMNS = ("num_tokens", "digest", "copy", "cut")

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SharedOrder:
    """Whether what both mixes have stands in the same order."""

    places: int
    """Compared: the k-th of a document in A with its k-th in B."""
    differs: tuple[int, int] | None
    """Positions in A and in B of the first two that are not of the same document; None if the order
    is the same.
    """


def open_documents(mix: MixDocuments) -> MixDocuments:
    """The mix, when its documents are proven to be those of its manifest.

    Raises:
        ManifestError: they are not, or cannot be read.
    """
    if mix.bare:
        raise ManifestError(
            f"{mix.folder}: has a manifest but no documents; name the folder of a finished mix"
        )
    require_recipe(mix.claims, str(mix.folder / MANIFEST))
    if mix.fault:
        raise ManifestError(f"{mix.fault}; `annealmix audit {mix.folder}` says what else is off")
    if mix.num_rows != mix.claims.total_documents:
        raise ManifestError(
            f"{mix.folder}: {mix.num_rows:,} documents in its table, the manifest says"
            f" {mix.claims.total_documents:,}; `annealmix audit {mix.folder}` says what else is off"
        )
    return mix


class Comparison:
    """Two mixes compared.

    Args:
        one, two: mixes A and B, as `open_documents` gives them. block_documents: of both together
            in a partition, about.
    """

    def __init__(
        self, one: MixDocuments, two: MixDocuments, block_documents: int = BLOCK_DOCUMENTS
    ) -> None:
        self.mixes = (one, two)
        documents = sum(mix.claims.total_documents for mix in self.mixes)
        self.bits = max(-(-documents // block_documents) - 1, 0).bit_length()
        self._marks: tuple[Marks, Marks] = (
            np.zeros(one.claims.total_documents, np.bool_),
            np.zeros(two.claims.total_documents, np.bool_),
        )

    def partitions(self, progress: Progress | None = None) -> Iterator[pl.DataFrame]:
        """The documents of both mixes, one row each, in the order of their digests: partition by
        partition, to be gone through once.

        Columns: high, low (the digest), and of each mix, ending in _a and _b and null where it has
        no such document: source (code of the first strand that has it), places, tokens (of all
        places), longest (tokens of a place), copies, inserted, cut (places of those kinds).

        Args:
            progress: called with (partitions done, of how many).

        A frame has [num_docs of the partition] rows, no two of one digest.
        """
        count = 1 << self.bits
        for number in range(count):
            places = [self._places(mix, number) for mix in self.mixes]
            one, two = (
                _by_document(mix, rows) for mix, rows in zip(self.mixes, places, strict=True)
            )
            joined = one.join(two, on=KEY, how="full", coalesce=True, suffix="_b").sort(KEY)
            joined = joined.rename({name: f"{name}_a" for name in one.columns if name not in KEY})
            common = joined.select(*KEY, pl.min_horizontal("places_a", "places_b").alias("common"))
            common = common.filter(
                joined["places_a"].is_not_null() & joined["places_b"].is_not_null()
            )
            for rows, marks in zip(places, self._marks, strict=True):
                _mark(rows, common, marks)
            yield joined
            if progress is not None:
                progress(number + 1, count)

    def order(self) -> SharedOrder:
        """Whether the common documents stand in the same order. To be asked when all partitions
        were gone through.
        """
        streams = [
            self._stream(mix, marks) for mix, marks in zip(self.mixes, self._marks, strict=True)
        ]
        places = int(self._marks[0].sum())
        return SharedOrder(places, _first_difference(*streams))

    def _places(self, mix: MixDocuments, number: int) -> pl.DataFrame:
        """The places of the documents of a partition in a mix, in stream order.

        Columns: [num_places of the partition].
        """
        frames, first = [], 0
        for columns in mix.coded_parts(*COLUMNS):
            digest = digest_columns(columns.pop("digest"))
            rows = (  # the top bits number the partition; a shift by all 64 is not defined
                np.flatnonzero(digest[:, 0] >> np.uint64(64 - self.bits) == number)
                if self.bits
                else np.arange(len(digest))
            )
            others = {name: values[rows] for name, values in columns.items()}
            frames.append(by_digest(digest[rows], position=rows + first, **others))
            first += len(digest)
        return pl.concat(frames)

    def _stream(
        self, mix: MixDocuments, marks: Marks
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]]:
        """(positions, digests) of the marked places in stream order, part by part.

        positions: int64 [num_marked]; digests: uint64 [num_marked, 2].
        """
        first = 0
        for columns in mix.parts("digest"):
            here = np.flatnonzero(marks[first : first + len(columns["digest"])])
            yield here + first, digest_columns(columns["digest"][here])
            first += len(columns["digest"])


def _by_document(mix: MixDocuments, places: pl.DataFrame) -> pl.DataFrame:
    """One row a document of its places.

    places: [num_places]. Returns: [num_docs].
    """
    inserts = [code for code, source in enumerate(mix.claims.sources) if source.insert]
    return places.group_by(KEY).agg(
        # of a document and its copies the document, of a source and an insert the source
        pl.col("source").min(),
        pl.len().alias("places"),
        pl.col("num_tokens").cast(pl.UInt64).sum().alias("tokens"),
        pl.col("num_tokens").max().alias("longest"),
        (pl.col("copy") > 0).sum().alias("copies"),
        pl.col("source").is_in(inserts).sum().alias("inserted"),
        pl.col("cut").sum().alias("cut"),
    )


def _mark(places: pl.DataFrame, common: pl.DataFrame, marks: Marks) -> None:
    """Mark where documents stand that both mixes have, each as often as both have it.

    places: [num_places], in stream order. common: [num_common]. marks: bool [documents of the
    mix], by position.
    """
    shared = places.select(*KEY, "position").join(
        common, on=KEY, how="inner", maintain_order="left"
    )
    if len(shared) > len(common):  # some stand more than once
        shared = shared.with_columns(pl.int_range(pl.len()).over(KEY).alias("turn")).filter(
            pl.col("turn") < pl.col("common")
        )
    marks[shared["position"].to_numpy()] = True


def _first_difference(
    one: Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]],
    two: Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]],
) -> tuple[int, int] | None:
    """Positions of the first two documents that differ in two streams of equal length.

    one, two: pieces of positions int64 [n] and digests uint64 [n, 2].
    """
    empty = np.empty(0, np.int64), np.empty((0, 2), np.uint64)
    streams, held = (one, two), [empty, empty]
    while True:
        # pieces end at other documents in each stream, so the rest of the longer one waits
        for side, stream in enumerate(streams):
            while not len(held[side][0]):
                if (piece := next(stream, None)) is None:
                    return None
                held[side] = piece
        count = min(len(at) for at, _ in held)
        (at_one, digests_one), (at_two, digests_two) = held
        wrong = np.flatnonzero((digests_one[:count] != digests_two[:count]).any(axis=1))
        if len(wrong):
            return int(at_one[wrong[0]]), int(at_two[wrong[0]])
        held = [(at[count:], digests[count:]) for at, digests in held]
