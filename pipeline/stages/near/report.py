"""What is told of clusters: the largest, by source, and how alike some of their documents are.

    outline        cluster, document, linked: of each of the largest clusters its survivor and some
                   of the others, evenly spread; its record says whose the clusters are
    sampled        these documents, as candidates are listed (`pipeline.stages.near.shingles`)
    report         the record alone: how many shingles each pair shares and has together

A rule says which documents are candidates, not that they are alike: the true similarity of some of
them shows whether it fits the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.keys import sort_order
from pipeline.stages.near.clusters import LARGEST, Clusters
from pipeline.stages.near.edges import jaccard
from pipeline.stages.near.shingles import read_shingles, write_candidates
from pipeline.stages.near.spill import publish, read_published
from pipeline.store.records import FolderWriter, Frozen, Record, is_done

PAIRS = 5  # documents of a cluster that are compared with its survivor


class LargeCluster(Frozen):
    """One of the largest clusters. sources: {place in the plan: its documents}; survivor: digest
    (hex) of the document that stays.
    """

    documents: int
    sources: dict[str, int]
    survivor: str


class OutlineRecord(Record):
    """The done-record of an outline.

    competing: {place of a source in the plan: its documents that were compared}. most: of each
        source, its documents in the cluster that holds most of them. largest: by size, then by
        first document.
    """

    competing: dict[str, int]
    most: dict[str, int]
    largest: tuple[LargeCluster, ...]


class ReportRecord(Record):
    """The done-record of a report. pairs: [cluster, shingles that are shared, shingles of
    either].
    """

    pairs: tuple[tuple[int, int, int], ...]


def write_outline(
    folder: Path,
    found: Clusters,
    columns: tuple[npt.NDArray[Any], npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    documents: Sequence[Path],
) -> None:
    """Publish the outline of the clusters.

    Args:
        columns: source [num_clustered], order_key uint64 [num_clustered] and digest uint64
            [num_clustered, 2] of the clustered documents. documents: folders of the competing
            documents.
    """
    if is_done(folder):
        return
    source, order_key, digest = columns
    competing = np.zeros(int(source.max(initial=0)) + 1, np.int64)
    for path in documents:
        (places,) = read_published(path, ("source",))
        counts = np.bincount(places, minlength=len(competing))
        counts[: len(competing)] += competing
        competing = counts
    most = np.zeros(len(competing), np.int64)
    pairs, counts = np.unique(
        found.components.astype(np.uint64) * np.uint64(len(competing)) + source.astype(np.uint64),
        return_counts=True,
    )
    np.maximum.at(most, (pairs % np.uint64(len(competing))).astype(np.int64), counts)
    firsts, sizes = found.sizes()
    largest, clusters, ends = [], [], []
    for number, first in enumerate(firsts[:LARGEST].tolist()):
        rows = np.flatnonzero(found.components == first)
        rows = rows[sort_order(order_key[rows], digest[rows])]
        rows = rows[np.argsort(source[rows], kind="stable")]
        by_source = np.bincount(source[rows])
        largest.append(
            LargeCluster(
                documents=int(sizes[number]),
                sources={str(at): int(by_source[at]) for at in np.flatnonzero(by_source)},
                survivor=digest[rows[0]].astype(">u8").tobytes().hex(),
            )
        )
        count = min(PAIRS, len(rows) - 1)
        chosen = rows[1 + np.arange(count) * (len(rows) - 1) // count]
        clusters += [number] * count
        ends += [(found.documents[rows[0]], found.documents[row]) for row in chosen]
    edges = np.array(ends, np.uint64).reshape(-1, 2)
    record = OutlineRecord(competing=_named(competing), most=_named(most), largest=tuple(largest))
    publish(
        folder,
        {
            "component": np.array(clusters, np.uint64),
            "document": edges[:, 0],
            "linked": edges[:, 1],
        },
        record,
    )


def _named(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    return {str(place): count for place, count in enumerate(counts.tolist()) if count}


def write_sampled(folder: Path, outline: Path, documents: Sequence[Path]) -> None:
    """Publish the documents of an outline as candidates that are to be read."""
    if not is_done(folder):
        one, other = read_published(outline, ("document", "linked"))
        write_candidates(folder, [(one, other)], documents)


def write_report(folder: Path, outline: Path, shingles: Sequence[Path]) -> None:
    """Publish how alike the pairs of an outline are. shingles: folders of the documents' sets."""
    if is_done(folder):
        return
    cluster, one, other = read_published(outline, ("component", "document", "linked"))
    sets = read_shingles(shingles, (one, other)) if len(one) else {}
    pairs = tuple(
        (int(number), *jaccard(sets[int(left)], sets[int(right)]))
        for number, left, right in zip(cluster, one, other, strict=True)
    )
    with FolderWriter(folder) as writer:
        writer.publish(ReportRecord(pairs=pairs).as_json())
