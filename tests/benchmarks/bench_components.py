"""From band keys to clusters at scale, alone: CPU seconds and memory of one process.

    python -m tests.benchmarks.bench_components [--documents 20_000_000] [--memory 1_000_000_000]

Band keys are made up, of the rule `words` (14 bands): every fourth document shares one key with the
document three before it, and nothing else is alike. So it is known that there are as many clusters
of two as such pairs, and the run fails if others come out. Partitions are as many as that much
memory asks for (`num_partitions`); each is sorted on its own, as a worker does, and its edges are
kept for the one reduction. Files are left out: 12 bytes a key are written and read by stages.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from mixtures.rules.near import PRESETS
from pipeline.stages.near.clusters import clusters, reduction_bytes
from pipeline.stages.near.edges import Edges, edges, num_partitions

BANDS = PRESETS["words"].bands
EVERY, BEFORE = (
    4,
    3,
)  # a copy's place among so many documents, and how far before it its original is
_MIX = np.uint64(0x9E3779B97F4A7C15)


def made(documents: int, partitions: int, partition: int) -> Edges:
    """The keys of a partition and the document of each, uint64 [num_keys] each."""
    keys, rows = [], []
    for band in range(BANDS):
        here = np.arange((partition - band) % partitions, documents, partitions, dtype=np.uint64)
        copied = (here // np.uint64(EVERY)) % np.uint64(BANDS) == band
        copies = copied & (here % np.uint64(EVERY) == BEFORE)
        here = here[~copies]
        originals = here[copied[~copies] & (here % np.uint64(EVERY) == 0)]
        originals = originals[originals + np.uint64(BEFORE) < documents]
        rows += [here, originals + np.uint64(BEFORE)]
        keys += [(whose * np.uint64(BANDS) + np.uint64(band)) * _MIX for whose in (here, originals)]
    return np.concatenate(keys), np.concatenate(rows)


def main() -> None:
    """Print what edges and clusters take."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=20_000_000)
    parser.add_argument("--memory", type=int, default=1_000_000_000)
    options = parser.parse_args()
    documents = options.documents
    clusters(2, [edges(*made(2, 1, 0))], 1 << 20)  # loads the kernels
    partitions = num_partitions(documents, PRESETS["words"], options.memory)
    found, taken, num_keys = [], 0.0, 0
    for partition in range(partitions):
        keys, rows = made(documents, partitions, partition)
        start = time.process_time()
        found.append(edges(keys, rows))
        taken += time.process_time() - start
        num_keys += len(keys)
    start = time.process_time()
    result = clusters(documents, found, reduction_bytes(documents))
    joined = time.process_time() - start
    pairs = (documents - BEFORE - 1) // EVERY + 1
    if num_keys != BANDS * documents or (
        len(result.documents),
        len(np.unique(result.components)),
    ) != (
        2 * pairs,
        pairs,
    ):
        sys.exit(f"{len(result.documents):,} documents in clusters, not {2 * pairs:,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{documents:,} documents, {num_keys:,} keys in {partitions} partitions, {pairs:,} pairs")
    for name, seconds in (("edges", taken), ("clusters", joined)):
        print(f"  {name:9s}{seconds:7.1f} CPU s, {1e6 * seconds / documents:.2f} µs a document")
    print(f"  memory   {peak:7,.0f} MB at the most, edges of all partitions among it")


if __name__ == "__main__":
    main()
