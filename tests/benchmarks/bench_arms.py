"""How many slots of a study find a donor of their own length, and how long sharing them out takes.

    python -m tests.benchmarks.bench_arms [DOCUMENTS]

Synthetic lengths, as those of web text: log-normal, a median of 400 tokens and a sigma of 1.1, at
least 2. Half of the documents are the base; of these and of the others a filter flags 8.6%,
whatever their length. What it flags of the base are the slots, what it does not flag of the others
donors.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from mixtures.stream.arms.donors import EXACT, KINDS, assign
from mixtures.stream.placebo import add_lengths

FLAGGED = 0.086


def main(documents: int) -> None:
    """Print the figures."""
    draw = np.random.default_rng(1)
    lengths = np.maximum(draw.lognormal(np.log(400), 1.1, documents), 2).astype(np.int64)
    flagged = draw.random(documents) < FLAGGED
    base = np.arange(documents) < documents // 2
    slots, unused = lengths[base & flagged], lengths[~base & ~flagged]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    donors: dict[int, int] = {}
    add_lengths(donors, unused)
    pieces = assign(slots, donors)
    seconds = time.perf_counter() - begun
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    kinds = np.full(len(slots), -1)
    kinds[pieces.slot] = pieces.kind
    print(f"{documents:,} documents, {len(slots):,} slots of {int(slots.sum()):,} tokens")
    for number, kind in enumerate(KINDS):
        print(f"{kind:>7}: {(kinds == number).mean():.4%} of the slots")
    cut = pieces.kept < pieces.length
    print(f"in cut donors: {pieces.kept[cut].sum() / slots.sum():.4%} of the tokens")
    print(f"with a donor of their length: {(kinds == EXACT).mean():.4%}")
    print(f"{seconds:.2f} s, {more / 1024:,.0f} MB more; unfilled {pieces.unfilled:,} tokens")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000)
