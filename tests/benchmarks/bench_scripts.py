"""Near-duplicates by script and edit rate against datatrove's MinHash: recall and precision of the
rule `words` (word 5-grams, 14 bands of 8 rows on both sides), in one run.

    python tests/benchmarks/bench_scripts.py --peer PYTHON [--documents 200]

PYTHON has datatrove with its word tokenizers (spaCy, jieba, sudachi, pythainlp, indic-nlp-library)
and faker. Texts are drawn from faker's words of each language, those often that come first, 300 of
them a document: joined by spaces, or by nothing where the script has none. Of each document one
copy has a share of its units replaced at random: words, or characters in scripts without spaces.
Recall: copies in their original's cluster. Precision: linked pairs of an original and a copy that
belong together, of all such pairs. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

UNSPACED = ("Chinese", "Japanese", "Thai")
RATES = (0.01, 0.05)
WORDS = """
import json, sys
from faker import Faker
found = {}
for name, locale in json.loads(sys.argv[1]).items():
    fake = Faker(locale)
    Faker.seed(1)
    words = (
        [word for _ in range(900) for word in fake.name().split()]
        if locale == "hi_IN"
        else fake.get_words_list()
    )
    found[name] = sorted(set(words))
json.dump(found, sys.stdout)
"""
LOCALES = {
    "English": ("en_US", "en"),
    "Russian": ("ru_RU", "ru"),
    "Arabic": ("ar_AA", "ar"),
    "Hindi": ("hi_IN", "hi"),
    "Chinese": ("zh_CN", "zh"),
    "Japanese": ("ja_JP", "ja"),
    "Thai": ("th_TH", "th"),
}
PEER = """
import json, os, struct, sys
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.utils.logging import logger
logger.remove()
source, folder, language = sys.argv[1:]
config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
texts = json.load(open(source))
signature = MinhashDedupSignature(folder + "/s", config=config, language=language)
list(signature.run((Document(text=text, id=str(n)) for n, text in enumerate(texts)), rank=0) or [])
for rank in range(14):
    MinhashDedupBuckets(folder + "/s", folder + "/b", config=config).run(rank=rank, world_size=14)
MinhashDedupCluster(folder + "/b", folder + "/c", config=config, save_cluster_id=True).run()
clusters = folder + "/c/000000.clusters"
raw = open(clusters, "rb").read() if os.path.exists(clusters) else b""
json.dump(list(struct.iter_unpack("<2I", raw)), sys.stdout)
"""


def texts_of(name: str, words: list[str], count: int, rate: float) -> list[str]:
    """Originals, then a copy of each."""
    draw = random.Random(f"{name} {rate}")
    weights = [1 / (rank + 5) for rank in range(len(words))]
    unspaced = name in UNSPACED
    originals, copies = [], []
    letters = sorted({letter for word in words for letter in word})
    for _ in range(count):
        units = draw.choices(words, weights, k=300)
        if unspaced:
            units = list("".join(units))
        changed = [
            draw.choice(letters if unspaced else words) if draw.random() < rate else unit
            for unit in units
        ]
        joint = "" if unspaced else " "
        originals.append(joint.join(units))
        copies.append(joint.join(changed))
    return [*originals, *copies]


def ours(texts: list[str]) -> list[tuple[int, int]]:
    """(document, cluster) of those that are not alone."""
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import signatures
    from pipeline.judges.annotators.folding import Batch
    from pipeline.stages.near.clusters import clusters
    from pipeline.stages.near.edges import edges

    rule = PRESETS["words"]
    made = signatures(Batch(texts), rule)
    documents = np.repeat(np.arange(len(texts), dtype=np.uint64), rule.bands)
    found = clusters(len(texts), [edges(made.bands.ravel(), documents)], 1 << 30)
    return list(zip(found.documents.tolist(), found.components.tolist(), strict=True))


def peers(texts: list[str], language: str, python: str) -> list[tuple[int, int]]:
    """The same of datatrove."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "texts.json"
        source.write_text(json.dumps(texts), encoding="utf-8")
        command = [python, "-c", PEER, str(source), folder, language]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [(document, cluster) for document, cluster in json.loads(answer)]


def judged(found: list[tuple[int, int]], count: int) -> str:
    """Recall and precision, as text."""
    cluster = dict(found)
    by_cluster: dict[int, list[int]] = {}
    for document, number in found:
        by_cluster.setdefault(number, []).append(document)
    right = sum(
        number in cluster and cluster.get(number + count) == cluster[number]
        for number in range(count)
    )
    linked = sum(
        sum(one < count for one in members) * sum(one >= count for one in members)
        for members in by_cluster.values()
    )
    return f"{right / count:.2f} {right / linked if linked else 1:.2f}"


def main() -> None:
    """Print a line for each script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--documents", type=int, default=200)
    options = parser.parse_args()
    locales = json.dumps({name: locale for name, (locale, _) in LOCALES.items()})
    command = [options.peer, "-c", WORDS, locales]
    words = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print("recall precision, annealmix | datatrove, at", *RATES)
    for name, (_, language) in LOCALES.items():
        cells = []
        for rate in RATES:
            texts = texts_of(name, words[name], options.documents, rate)
            try:
                peer = judged(peers(texts, language, options.peer), options.documents)
            except subprocess.CalledProcessError as error:
                peer = error.stderr.strip().splitlines()[-1][:60]
            cells.append(f"{judged(ours(texts), options.documents)} | {peer}")
        print(f"{name:10}", *cells, sep="   ", flush=True)


if __name__ == "__main__":
    main()
