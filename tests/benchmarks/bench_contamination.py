"""Decontamination against datatrove's filter and the naive rule: megabytes of text a CPU second, in
one run, A B A B.

    python tests/benchmarks/bench_contamination.py [--rounds 3] [--shared ../shared]

Text: every text of the shared sample data once, since texts that come again are quicker; as it is,
then with an item planted into every hundredth document, then into every document. Sets: the shared
samples of five evaluation sets, 13-grams. In turn:

    ours        pipeline.judges.annotators.contamination.ContaminationIndex(sets).annotate: counts
                and items
    datatrove   NGramsDecontFilter.filter, n-grams of 13 of its own words (spaCy), queries too; on
                few documents. Its indexer wants
                lighteval for whatever is indexed, so its index is written by its own hashing of the
                same texts. Left out where spaCy is not installed
    naive       mixtures.rules.benchmark.contamination_naive, on few documents

The best round of each counts: the machine's other work only ever adds. Nothing is asserted; trust
the ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mixtures.rules.benchmark import Benchmark, EvaluationSet, LoadedBenchmark
from pipeline.judges.annotators.contamination import ContaminationIndex
from pipeline.judges.annotators.evaluation_sets import read_benchmark
from tests.benchmarks.distinct import shared_texts
from tests.mixtures.rules.naive import contamination_naive

SETS = {
    "hellaswag": "hellaswag.jsonl",
    "lambada": "lambada_openai_test.jsonl",
    "mmlu": "mmlu.jsonl",
    "piqa": "piqa_validation.jsonl",
    "wmdp": "wmdp_bio_SCHEMA_STANDIN.jsonl",
}
FEW = 400  # documents for datatrove's filter
FEWEST = 3  # for the naive rule


def open_sets(folder: Path) -> list[EvaluationSet]:
    """The shared samples of evaluation sets."""
    made = []
    for name, file in SETS.items():
        pin = {"path": file, "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()}
        rule = Benchmark.model_validate(
            {"name": name, "files": [pin], "format": "jsonl", "columns": name}
        )
        made.append(read_benchmark(LoadedBenchmark(rule, folder, name)))
    return made


def datatrove_filter(sets: Sequence[EvaluationSet], folder: Path) -> Callable[[str], bool]:
    """Whether datatrove calls a text contaminated."""
    from datatrove.data import Document
    from datatrove.pipeline.decont import (
        NGramsDecontConfig,
        NGramsDecontFilter,
        NGramsDecontIndexer,
    )

    peer = NGramsDecontFilter(str(folder), NGramsDecontConfig(n_grams=13, find_query_ngrams=True))
    of_bytes = peer.hash_func
    peer.hash_func = lambda text: of_bytes(text.encode())  # xxhash 4 hashes no strings
    for one in sets:
        hashes = {
            value
            for item in one.items
            for text in item.texts
            for value in NGramsDecontIndexer.compute_hashes(peer, text)
        }
        np.array(sorted(hashes), peer.config.hash_config.np_descr).tofile(
            folder / f"{one.definition.name}.index.hashes"
        )
    return lambda text: peer.filter(Document(text=text, id="")) is not True


def planted(texts: Sequence[str], sets: Sequence[EvaluationSet], every: int) -> list[str]:
    """The texts, and the whole of an item behind each `every`th; none if 0."""
    draw = random.Random(5)
    items = [item for one in sets for item in one.items]
    return [
        f"{text}\n{draw.choice(items).texts[-1]}" if every and not at % every else text
        for at, text in enumerate(texts)
    ]


def compare(
    texts: Sequence[str],
    index: ContaminationIndex,
    peer: Callable[[str], bool] | None,
    naive: Callable[[str], object],
    rounds: int,
) -> None:
    """Time all ways in turn and print megabytes a second of the best round, and the ratios."""
    few, fewest = (texts[:: max(1, len(texts) // number)][:number] for number in (FEW, FEWEST))
    ways: dict[str, tuple[Sequence[str], Callable[[], object]]] = {
        "ours": (texts, lambda: index.annotate(texts))
    }
    if peer is not None:
        ways["datatrove"] = few, lambda: [peer(text) for text in few]
    ways["naive"] = fewest, lambda: [naive(text) for text in fewest]
    rate = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, (some, way) in ways.items():
            started = time.process_time()
            way()
            rate[name] = max(rate[name], megabytes(some) / (time.process_time() - started))
    annotation = index.annotate(texts)
    print(
        f"{megabytes(texts):.0f} MB, {len(texts):,} documents,"
        f" {100 * (annotation.counts > 0).mean():.2f}% contaminated, ",
        end="",
    )
    print(f"{len(annotation.items):,} matches")
    for name, value in rate.items():
        print(f"  {name:10s}{value:9.3f} MB/s  ours is {rate['ours'] / value:,.0f} times that")
    if peer is not None:
        ours = index.count(few) > 0
        theirs = np.array([peer(text) for text in few])
        print(
            f"  of {len(few)} documents both call {(ours & theirs).sum()} contaminated, ours alone"
            f" {(ours & ~theirs).sum()}, ",
            end="",
        )
        print(f"datatrove alone {(theirs & ~ours).sum()}", flush=True)


def megabytes(texts: Sequence[str]) -> float:
    """Size of the texts in UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def main() -> None:
    """Run the comparison on clean, on lightly and on wholly contaminated text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    )
    options = parser.parse_args()
    sets = open_sets(options.shared / "data" / "bench")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    index = ContaminationIndex(sets)
    print(f"{len(index):,} n-grams, made in {time.process_time() - started:.2f} CPU s, ", end="")
    print(
        f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} MiB more"
        " memory at the peak"
    )
    texts = list(dict.fromkeys(shared_texts(options.shared / "data")))
    with tempfile.TemporaryDirectory() as folder:
        peer = datatrove_filter(sets, Path(folder)) if importlib.util.find_spec("spacy") else None
        if peer is None:
            print("datatrove is left out: spaCy is not installed")
        for every in (0, 100, 1):
            compare(
                planted(texts, sets, every),
                index,
                peer,
                lambda text: contamination_naive(text, sets),
                options.rounds,
            )


if __name__ == "__main__":
    main()
