"""How fast `annealmix.open_mix` reads a mix of ten million documents: records in order and at
random, and a trainer's step.

    python -m tests.benchmarks.bench_open_mix FOLDER [documents]

The mix is that of `bench_trace`, made in FOLDER where it is not there yet; its tokens.bin is a
hole. A step is of the default batch, 2,048 sequences of 2,048 tokens.
"""

from __future__ import annotations

import random
import sys
import time
from itertools import islice
from pathlib import Path

from annealmix import open_mix
from tests.benchmarks.bench_trace import DOCUMENTS, make

RECORDS = 500_000


def main() -> None:
    """Make the mix where it is not there yet, and read it."""
    folder = Path(sys.argv[1]) / "mix"
    if not folder.exists():
        make(folder, int(sys.argv[2]) if len(sys.argv) > 2 else DOCUMENTS)
    begun = time.perf_counter()
    mix = open_mix(folder)
    print(f"open {_since(begun):.3f} s: {mix!r}")

    begun = time.perf_counter()
    count = sum(1 for _ in islice(mix, RECORDS))
    print(f"in order: {count / _since(begun):,.0f} records/s")

    positions = random.Random(1).choices(range(len(mix)), k=RECORDS)
    for name in ("cold", "again"):
        begun = time.perf_counter()
        for position in positions:
            mix[position]
        print(f"at random, {name}: {RECORDS / _since(begun):,.0f} records/s")

    for trainer in ("neox", "megatron", "file-order"):
        for number in (700, 701):
            begun = time.perf_counter()
            step = mix.step(number, trainer=trainer)
            print(f"step {number} of {trainer}: {_since(begun):.3f} s, {step.inputs.size:,} tokens")


def _since(begun: float) -> float:
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
