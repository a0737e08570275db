"""The linear classifier on real text: megabytes and documents a CPU second on one core, and the
share of each part.

    python tests/benchmarks/bench_classifier.py [--rounds 3] [--bits 18] [--shared ../shared]

Scores every text of the shared sample data with random weights (speed does not depend on their
values), whole documents and windows of 1,024 words in turn. Nothing is asserted: machines are
noisy; take the best round.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.judges.classifiers.hashed_ngrams import features
from pipeline.judges.classifiers.linear import LinearClassifier, LinearWeights, batches
from tests.benchmarks.distinct import shared_texts


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bits", type=int, default=18)
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    )
    options = parser.parse_args()
    texts = list(shared_texts(options.shared / "data"))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(
        f"{len(texts):,} documents, {megabytes:.1f} MB,"
        f" {sum(map(str.isascii, texts)) / len(texts):.0%} of them plain ASCII"
    )
    weights = np.random.default_rng(1).integers(
        -(1 << 20), 1 << 20, 1 << options.bits, dtype=np.int32
    )
    for _ in range(options.rounds):
        for window_words in (0, 1024):
            classifier = LinearClassifier(LinearWeights(weights, 0, window_words), "", "bench")
            began = process_time()
            scores = classifier.score(texts)
            seconds = process_time() - began
            print(
                f"2^{options.bits} buckets, windows of {window_words or 'all'} words:"
                f" {megabytes / seconds:.0f} MB/s, {len(texts) / seconds:,.0f} documents/s (sum of"
                f" scores {int(scores.sum(dtype=np.int64)):,})"
            )
        began = process_time()
        for start, stop in batches(texts):
            features(texts[start:stop], options.bits, 0, "bench")
        print(
            f"    of it hashing words and pairs alone: {megabytes / (process_time() - began):.0f}"
            " MB/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
