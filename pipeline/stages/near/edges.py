"""From band keys to edges between documents: candidates share a key; verified ones have the Jaccard
similarity that the rule asks.

Keys are spilled by partition, so each partition's edges are found on their own, in parallel, and a
partition holds all documents of its keys. Each document of a bucket is linked to the bucket's
first, which is enough to join them and keeps a bucket of a million copies of a boilerplate at a
million edges. Memory and disk: see the constants below.

Verification looks at these links. So in a bucket whose first document is like none of the others,
two others that are alike go unlinked there; they meet again in the other bands that they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError, RecipeError
from mixtures.rules.near import NearRule
from pipeline.judges.annotators.kernel_arrays import Signatures
from pipeline.stages.near.spill import (
    PartitionedRecord,
    part,
    publish,
    publish_partitions,
    read_published,
)
from pipeline.store.records import Record

U64 = npt.NDArray[np.uint64]
BYTES_A_KEY = 12  # on disk: key 8, row 4. 14 bands: 69 GB for 410M documents, 103 GB for 615M
BYTES_A_SORTED_KEY = 48  # in memory, for the keys of one partition
MAX_PARTITIONS = 1 << 16
Edges = tuple[U64, U64]
"""documents, linked: uint64 [num_edges] each, ascending by both, without repeats; documents <
linked throughout.
"""


def num_partitions(documents: int, rule: NearRule, memory_bytes: int) -> int:
    """Key partitions, a power of two, each of which is sorted in that much memory. It changes no
    result.

    Raises:
        RecipeError: the memory is too little for 2^16 partitions.
    """
    needed, count = documents * rule.bands * BYTES_A_SORTED_KEY, 1
    while count < MAX_PARTITIONS and needed > count * memory_bytes:
        count *= 2
    if needed > count * memory_bytes:
        raise RecipeError(
            f"near-duplicates among {documents:,} documents of {rule.bands} bands sort {needed:,}"
            f" bytes; {memory_bytes:,} bytes of memory a worker would need more than"
            f" {MAX_PARTITIONS:,} partitions: give a worker at least"
            f" {-(-needed // MAX_PARTITIONS):,}"
        )
    return count


class BandsRecord(PartitionedRecord):
    """The done-record of the band keys of a batch of documents."""

    rule: str
    """`NearRule.signature_identity`."""
    exempt: int
    """Documents that are too short to have keys."""


class EdgesRecord(Record):
    """The done-record of the edges of a partition."""

    edges: int


def write_bands(folder: Path, signatures: Signatures, rule: NearRule, partitions: int) -> None:
    """Publish the band keys of a batch of documents (a segment), by partition. Exempt documents are
    counted, and have no keys.
    """
    rows = np.flatnonzero(~signatures.exempt)
    keys = signatures.bands[rows].ravel()
    record = BandsRecord(
        rule=rule.signature_identity(),
        documents=len(signatures.exempt),
        exempt=int(signatures.exempt.sum()),
    )
    publish_partitions(
        folder,
        keys,
        {"band_key": keys, "band_row": np.repeat(rows, rule.bands)},
        partitions,
        record,
    )


def read_bands(folders: Sequence[Path], rule: NearRule, partitions: int, partition: int) -> Edges:
    """The keys of a partition and the document of each: uint64 [num_keys] each. Documents count
    through the folders in their order.

    Raises:
        ManifestError: a folder is missing, damaged, or was made by another rule or for other
            partitions.
    """
    keys, documents, first = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], 0
    for folder in folders:
        key, row = read_published(folder, ("band_key", "band_row"), part(partition))
        record = BandsRecord.read(folder)
        if (record.rule, record.partitions) != (rule.signature_identity(), partitions):
            raise ManifestError(
                f"{folder}: band keys of another rule or for {record.partitions} partitions;"
                " delete it and build again"
            )
        keys.append(key)
        documents.append(row.astype(np.uint64) + np.uint64(first))
        first += record.documents
    return np.concatenate(keys), np.concatenate(documents)


def edges(keys: U64, documents: npt.NDArray[np.unsignedinteger]) -> Edges:
    """Link each document of a bucket to the bucket's smallest. The order of the rows makes no
    difference.

    Args:
        keys: uint64 [num_keys]. documents: [num_keys], the document of each key; a document may
            have a key twice.
    """
    rows = _perhaps_shared(keys)
    order = rows[np.argsort(keys[rows])]
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    shared = np.concatenate((same, [False])) | np.concatenate(([False], same))
    if not len(rows) or not shared.any():
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    ordered, linked = ordered[shared], documents[order[shared]].astype(np.uint64)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    firsts = np.repeat(np.minimum.reduceat(linked, starts), np.diff(starts, append=len(linked)))
    return _distinct(firsts, linked)


def _perhaps_shared(keys: U64) -> npt.NDArray[np.intp]:
    """Rows whose key, of uint64 [num_keys], may stand in another row: all that do, and at most one
    in eight of the others.

    Most keys are alone. Sorting values is several times as fast as sorting rows, so values say
    which keys are to be looked at.
    """
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    repeated = (
        repeated[np.concatenate(([True], repeated[1:] != repeated[:-1]))]
        if len(repeated)
        else repeated
    )
    marks = np.zeros(1 << (8 * len(repeated)).bit_length(), np.bool_)
    mask = np.uint64(len(marks) - 1)
    marks[(repeated & mask).astype(np.int64)] = True
    return np.flatnonzero(marks[(keys & mask).astype(np.int64)])


def _distinct(documents: U64, linked: U64) -> Edges:
    """Edges, uint64 [num_links] twice, without repeats and without a document's edge to itself,
    ascending.
    """
    apart = documents != linked
    documents, linked = documents[apart], linked[apart]
    order = np.lexsort((linked, documents))
    documents, linked = documents[order], linked[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (documents[1:] != documents[:-1]) | (linked[1:] != linked[:-1])
    return documents[new], linked[new]


def jaccard(left: U64, right: U64) -> tuple[int, int]:
    """How many shingles two documents share and have together, of their ascending, distinct hashes
    (`shingle_sets`): uint64 [num_left], uint64 [num_right].
    """
    from pipeline.judges.annotators import band_kernels as kernels

    shared = kernels.shared_count(left, right)
    return shared, len(left) + len(right) - shared


def verified(found: Edges, shingles: Mapping[int, U64], rule: NearRule) -> Edges:
    """The edges whose documents have the Jaccard similarity of the rule, decided in whole numbers.

    Shingles are compared by 64-bit hashes: of two documents of 100,000 shingles each, one pair
    differs unseen with a chance of 10^-9.

    Args:
        shingles: of each document at an end of an edge, as
            `pipeline.judges.annotators.bands.shingle_sets` gives them.
    """
    pairs = zip(found[0].tolist(), found[1].tolist(), strict=True)
    kept = np.array(
        [rule.accepts(*jaccard(shingles[one], shingles[other])) for one, other in pairs], np.bool_
    )
    return found[0][kept], found[1][kept]


def write_edges(folder: Path, found: Edges) -> None:
    """Publish the edges of one partition."""
    publish(folder, {"document": found[0], "linked": found[1]}, EdgesRecord(edges=len(found[0])))


def read_edges(folder: Path) -> Edges:
    """The edges of one partition.

    Raises:
        ManifestError: the folder is missing, damaged or truncated.
    """
    documents, linked = read_published(folder, ("document", "linked"))
    return documents, linked
