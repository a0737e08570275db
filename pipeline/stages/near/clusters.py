"""From edges to clusters and drops: the one reduction of near-duplicate search, in bounded memory.

Union-find over one column of parents, all documents in memory at once, the edges one partition at a
time: up to 2^32 documents 5 bytes a document (410M: 2.1 GB, 615M: 3.1 GB) and 8 bytes one that is
not alone, so at most 13 (5.3 GB, 8.0 GB); and 16 bytes an edge of the largest partition. What may
need more than is allowed is refused before anything is read. The result is the same in any order of
the edges, since a root is the first document of its cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import sort_order
from mixtures.rules.near import survivors
from pipeline.stages.near.edges import Edges
from pipeline.stages.near.spill import (
    DocumentsRecord,
    PartitionedRecord,
    part,
    publish,
    publish_partitions,
    read_published,
)

U64 = npt.NDArray[np.uint64]
BYTES_A_DOCUMENT = 13  # a parent 4, a mark 1, and in the result, if it is not alone, 8
BYTES_A_DOCUMENT_ABOVE = 25  # above 2^32 documents
LARGEST = 10  # clusters whose sizes are told


@dataclass(frozen=True)
class Clusters:
    """documents: [num_clustered], unsigned, ascending, those that are not alone. components: the
    first document of each one's cluster.
    """

    documents: npt.NDArray[np.unsignedinteger]
    components: npt.NDArray[np.unsignedinteger]

    def sizes(self) -> tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.int64]]:
        """The first document and the size of each cluster, unsigned and int64 [num_clusters],
        largest first, then by first document.
        """
        firsts, sizes = np.unique(self.components, return_counts=True)
        order = np.lexsort((firsts, -sizes))
        return firsts[order], sizes[order]


class ClustersRecord(DocumentsRecord):
    """The done-record of the clusters among some documents."""

    clusters: int
    clustered: int
    """Documents in them."""
    sizes: dict[str, int]
    """{power of two: clusters of that size to below the next}."""
    largest: list[int]
    """Sizes of the largest, descending."""


def reduction_bytes(documents: int) -> int:
    """The most memory that the reduction takes, but for the edges of one partition."""
    return documents * (BYTES_A_DOCUMENT if documents <= 1 << 32 else BYTES_A_DOCUMENT_ABOVE)


def check_memory(documents: int, memory_bytes: int) -> None:
    """Refuse what would not fit.

    Raises:
        RecipeError: the reduction needs more memory than there is.
    """
    needed = reduction_bytes(documents)
    if needed > memory_bytes:
        raise RecipeError(
            f"near-duplicates among {documents:,} documents need {needed:,} bytes of memory in one"
            f" process, {memory_bytes:,} are allowed; give it more, or search sources or key ranges"
            " apart"
        )


def clusters(documents: int, partitions: Iterable[Edges], memory_bytes: int) -> Clusters:
    """Join what edges link, directly or through others.

    Args:
        documents: how many there are; partitions: the edges, uint64 [num_edges] twice, in any order
            and any number of pieces.

    Raises:
        RecipeError: see `check_memory`. ManifestError: an edge leads to a document that there is
            not.
    """
    from pipeline.judges.annotators import band_kernels as kernels

    check_memory(documents, memory_bytes)
    parents: npt.NDArray[Any] = np.arange(
        documents, dtype=np.uint32 if documents <= 1 << 32 else np.uint64
    )
    for first, linked in partitions:
        highest = int(max(first.max(initial=0), linked.max(initial=0)))
        if len(first) and highest >= documents:
            raise ManifestError(
                f"edges lead to document {highest:,} of {documents:,}: they are of another search;"
                " delete them"
            )
        kernels.join(parents, np.asarray(first, np.uint64), np.asarray(linked, np.uint64))
    clustered = np.zeros(documents, np.bool_)
    kernels.flatten(parents, clustered)
    members, components = (np.empty(np.count_nonzero(clustered), parents.dtype) for _ in range(2))
    kernels.gather(parents, clustered, members, components)
    return Clusters(members, components)


def write_clusters(folder: Path, clustered: Clusters, documents: int) -> None:
    """Publish the clusters among so many documents, with figures of them in the record."""
    publish(
        folder,
        {"document": clustered.documents, "component": clustered.components},
        summary(clustered, documents),
    )


def summary(clustered: Clusters, documents: int) -> ClustersRecord:
    """Figures of the clusters among so many documents."""
    _, sizes = clustered.sizes()
    counts = np.bincount(np.frexp(sizes)[1])  # frexp: exact below 2^53
    return ClustersRecord(
        documents=documents,
        clusters=len(sizes),
        clustered=len(clustered.documents),
        sizes={
            str(1 << (exponent - 1)): int(count)
            for exponent, count in enumerate(counts.tolist())
            if count
        },
        largest=sizes[:LARGEST].tolist(),
    )


def read_clusters(folder: Path) -> Clusters:
    """Published clusters.

    Raises:
        ManifestError: the folder is missing, damaged or truncated.
    """
    return Clusters(*read_published(folder, ("document", "component")))


@dataclass(frozen=True)
class Drops:
    """Documents that give way: order_key uint64 [n], digest uint64 [n, 2], both ascending; the
    digest and source of what stays instead.
    """

    order_key: U64
    digest: U64
    survivor: U64
    survivor_source: npt.NDArray[np.uint32]


def drops(
    found: Clusters, sources: npt.NDArray[np.unsignedinteger], order_key: U64, digest: U64
) -> Drops:
    """Who gives way to whom (`mixtures.rules.near.survivors`).

    A text that stays in one place is dropped nowhere else: copies of the survivor are exact
    deduplication's business. Memory: about 60 bytes a clustered document beside the arguments;
    components may be given in several shares, since they do not touch.

    Args:
        sources: [num_clustered], place of each clustered document's source in the recipe;
            order_key, digest: of the same documents.
    """
    stays = survivors(found.components, sources, order_key, digest)
    gone = np.flatnonzero((digest != digest[stays]).any(axis=1))
    gone = gone[sort_order(order_key[gone], digest[gone])]
    again = (digest[gone[1:]] == digest[gone[:-1]]).all(axis=1)
    gone = gone[np.concatenate(([True], ~again))] if len(gone) else gone
    return Drops(
        order_key[gone], digest[gone], digest[stays[gone]], sources[stays[gone]].astype(np.uint32)
    )


_DROPS = ("order_key", "digest", "survivor", "survivor_source")


def write_drops(folder: Path, found: Drops, partitions: int) -> None:
    """Publish drops by partition of the order key, so that who selects a partition reads no
    other.
    """
    columns = {name: getattr(found, name) for name in _DROPS}
    publish_partitions(
        folder,
        found.order_key,
        columns,
        partitions,
        DocumentsRecord(documents=len(found.order_key)),
    )


def read_drops(folder: Path, partitions: int, partition: int) -> Drops:
    """The drops of one partition.

    Raises:
        ManifestError: the folder is missing, damaged, truncated, or was written for another number
            of partitions.
    """
    columns = read_published(folder, _DROPS, part(partition))
    if (stored := PartitionedRecord.read(folder).partitions) != partitions:
        raise ManifestError(
            f"{folder}: has {stored} partitions, {partitions} are asked; delete it and build again"
        )
    return Drops(*columns)


def drop_rows(found: Drops, order_key: U64, digest: U64) -> npt.NDArray[np.int64]:
    """The row in `found` of each document, -1 for those that are not dropped: int64 [n]. Documents
    may be in any order.

    Args:
        order_key: uint64 [n]. digest: uint64 [n, 2].
    """
    rows = np.full(len(order_key), -1, np.int64)
    low, high = (np.searchsorted(found.order_key, order_key, side) for side in ("left", "right"))
    for step in range(
        int((high - low).max(initial=0))
    ):  # once, but for digests that share a key by chance
        asked = np.flatnonzero(low + step < high)
        places = low[asked] + step
        equal = (found.digest[places] == digest[asked]).all(axis=1)
        rows[asked[equal]] = places[equal]
    return rows
