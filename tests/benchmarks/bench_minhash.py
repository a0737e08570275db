"""Near-duplicate search against datatrove's MinHash: recall on planted duplicates, precision of
verified pairs, speed, in one run.

    python tests/benchmarks/bench_minhash.py [--documents 6000] [--rounds 3] [--synthetic 100000]
    [--shared ../shared] [--peer PYTHON]

Documents: the first 400 words of real texts of 80 words or more of the shared sample data, none of
which is in a cluster by itself. Planted: of each, one copy, of the kinds in turn, those oftener of
which a small sample says little

    exact         the same bytes
    case          upper case, punctuation changed, no-break spaces
    edits-1       1% of the words replaced at random; likewise edits-5 and edits-10
    prefix        the first 80% of its words
    boilerplate   the text between a header and a footer that all such copies share, of a tenth of
                  its words

Recall of a kind: the copies that end in their original's cluster. Both sides have the same
documents and parameters (word 5-grams, 14 bands of 8 rows), but other permutations, so recall
differs by chance: of 2,000 copies that are found with a chance of 0.4, by 0.016 (`expected` is the
formula's recall, from the similarities of the copies as our rule sees them). datatrove needs
`datatrove[processing]` and spaCy: PYTHON is an interpreter that has them (default: this one); where
it has not, its side is skipped and said to be. It runs MinhashDedupSignature, -Buckets and -Cluster
in one process; times are CPU seconds.

Decisions are also timed from synthetic signatures of many documents, the same for both sides: one
document in four agrees in a band with an earlier one. Both sides begin with signature files, as
their signature stages leave them, and end with files of what is dropped; ours hash each file when
it is written and when it is read.

Nothing is asserted; trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

KINDS = ("exact", "case", "edits-1", "edits-5", "edits-10", "prefix", "boilerplate")
TURNS = (
    "edits-5",
    "edits-10",
    "edits-5",
    "prefix",
    "edits-1",
    "edits-5",
    "case",
    "edits-5",
    "prefix",
    "boilerplate",
    "edits-1",
    "exact",
)
VERIFY = Decimal("0.8")
CALL_DOCUMENTS = 2_000

# What the peer's interpreter runs: it imports nothing of ours.
PEER = """
import json, struct, sys, time, os
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.utils.logging import logger
logger.remove()
source, folder = sys.argv[1:]
config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
def decide():
    start = time.process_time()
    for rank in range(14):
        buckets = MinhashDedupBuckets(folder + "/signatures", folder + "/buckets", config=config)
        buckets.run(rank=rank, world_size=14)
    MinhashDedupCluster(
        folder + "/buckets", folder + "/clusters", config=config, save_cluster_id=True
    ).run()
    return time.process_time() - start
if os.path.isdir(source):
    os.rename(source, folder + "/signatures")
    json.dump({"clusters": [], "decisions": decide()}, sys.stdout)
    sys.exit()
texts = json.load(open(source))
signature = MinhashDedupSignature(folder + "/signatures", config=config, language="en")
list(signature.run([Document(text="warm up the word tokenizer please", id="w")], rank=0) or [])
times = [time.process_time()]
list(signature.run((Document(text=text, id=str(n)) for n, text in enumerate(texts)), rank=0) or [])
times.append(time.process_time())
taken = decide()
raw = open(folder + "/clusters/000000.clusters", "rb").read()
answer = {"clusters": list(struct.iter_unpack("<2I", raw)), "decisions": taken}
json.dump({**answer, "signatures": times[1] - times[0]}, sys.stdout)
"""


def altered(text: str, kind: str, draw: random.Random, vocabulary: Sequence[str]) -> str:
    """A near-copy of a text."""
    if kind == "exact":
        return text
    if kind == "case":
        return text.upper().replace(" ", "\u00a0").replace(",", ";").replace(".", " ...")
    words = text.split(" ")
    if kind == "prefix":
        return " ".join(words[: len(words) * 4 // 5])
    if kind == "boilerplate":
        frame = vocabulary[: max(2, len(words) // 10)]
        return " ".join([*frame[: len(frame) // 2], *words, *frame[len(frame) // 2 :]])
    share = int(kind.removeprefix("edits-")) / 100
    return " ".join(draw.choice(vocabulary) if draw.random() < share else word for word in words)


def planted(shared: Path, documents: int) -> tuple[list[str], list[tuple[str, int, int]]]:
    """Texts, and (kind, original, copy) of what was planted, by place in the texts. Originals are
    no near-copies of one another.
    """
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import signatures
    from pipeline.judges.annotators.folding import Batch
    from pipeline.stages.near.clusters import clusters
    from pipeline.stages.near.edges import edges
    from tests.benchmarks.distinct import shared_texts

    draw = random.Random(11)
    found = [
        " ".join(text.split(" ")[:400])
        for text in dict.fromkeys(shared_texts(shared / "data"))
        if len(text.split(" ")) >= 80
    ]
    keys = signatures(Batch(found), PRESETS["words"]).bands
    links = edges(keys.ravel(), np.repeat(np.arange(len(found), dtype=np.uint32), keys.shape[1]))
    clustered = clusters(len(found), [links], 1 << 30)
    alone = sorted(set(range(len(found))) - set(clustered.documents.tolist()))
    texts = [found[number] for number in draw.sample(alone, min(documents, len(alone)))]
    documents = len(texts)
    vocabulary = draw.sample(sorted({word for text in texts[:200] for word in text.split()}), 3000)
    copies = []
    for number, text in enumerate(texts[:documents]):
        kind = TURNS[number % len(TURNS)]
        copies.append((kind, number, altered(text, kind, draw, vocabulary)))
    order = list(range(2 * documents))
    draw.shuffle(order)
    mixed = [""] * len(order)
    for place, text in zip(order, [*texts, *(text for _, _, text in copies)], strict=True):
        mixed[place] = text
    return mixed, [
        (kind, order[number], order[documents + at]) for at, (kind, number, _) in enumerate(copies)
    ]


def best(rounds: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of the fastest of several rounds, and the result."""
    taken, result = [], None
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        taken.append(time.process_time() - start)
    return min(taken), result


def recall(labels: dict[int, int], plants: Sequence[tuple[str, int, int]]) -> dict[str, float]:
    """Share of the copies of each kind that are in their original's cluster."""
    return {
        kind: float(
            np.mean(
                [labels.get(a, -1) == labels.get(b, -2) for other, a, b in plants if other == kind]
            )
        )
        for kind in KINDS
    }


def spilled(bands: Any, folder: Path) -> None:
    """Publish band keys, as the signature stage ends on both sides."""
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.kernel_arrays import Signatures
    from pipeline.stages.near.edges import write_bands

    shutil.rmtree(folder, ignore_errors=True)
    write_bands(
        folder,
        Signatures(bands, np.zeros(len(bands), np.bool_), np.zeros((len(bands), 2), np.uint64)),
        PRESETS["words"],
        2,
    )


def decided(bands: Path, digests: Any, keys: Any, folder: Path) -> dict[int, int]:
    """From published band keys to drops, through files. Returns the cluster of each document that
    is not alone.
    """
    from mixtures.rules.near import PRESETS
    from pipeline.stages.near.clusters import (
        clusters,
        drops,
        read_clusters,
        write_clusters,
        write_drops,
    )
    from pipeline.stages.near.edges import edges, read_bands, read_edges, write_edges

    with tempfile.TemporaryDirectory(dir=folder) as place:
        here = Path(place)
        for part in range(2):
            write_edges(
                here / f"edges-{part}", edges(*read_bands([bands], PRESETS["words"], 2, part))
            )
        parts = [read_edges(here / f"edges-{part}") for part in range(2)]
        write_clusters(here / "clusters", clusters(len(keys), parts, 1 << 30), len(keys))
        found = read_clusters(here / "clusters")
        rows = found.documents.astype(np.int64)
        write_drops(
            here / "drops",
            drops(found, np.zeros(len(rows), np.uint32), keys[rows], digests[rows]),
            2,
        )
        return dict(zip(found.documents.tolist(), found.components.tolist(), strict=True))


def ours(texts: list[str], rounds: int, folder: Path) -> dict[str, Any]:
    """Our side of the real documents."""
    from mixtures.keys import digest_columns, order_keys, text_digest
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import signatures
    from pipeline.judges.annotators.folding import Batch

    digests = digest_columns(b"".join(text_digest(text) for text in texts))
    keys = order_keys(digests)

    def sign() -> Any:
        return np.concatenate(
            [
                signatures(Batch(texts[at : at + CALL_DOCUMENTS]), PRESETS["words"]).bands
                for at in range(0, len(texts), CALL_DOCUMENTS)
            ]
        )

    sign()  # compiles
    kernel, bands = best(rounds, sign)
    spilling, _ = best(rounds, lambda: spilled(bands, folder / "bands"))
    decided(folder / "bands", digests, keys, folder)  # compiles
    deciding, labels = best(rounds, lambda: decided(folder / "bands", digests, keys, folder))
    return {
        "kernel": kernel,
        "signatures": kernel + spilling,
        "decisions": deciding,
        "labels": labels,
        "bands": bands,
    }


def synthetic(documents: int, rounds: int, python: str, folder: Path) -> tuple[float, float]:
    """CPU seconds from the signatures of many documents to decisions, ours and datatrove's."""
    draw = np.random.default_rng(4)
    sigs = draw.integers(0, (1 << 61) - 1, (documents, 14, 8), dtype=np.uint64)
    for later in range(3, documents, 4):  # agrees in one band with some document before it
        band = later % 14
        sigs[later, band] = sigs[int(draw.integers(later)), band]
    bands = (sigs * np.uint64(0x9E3779B97F4A7C15)).sum(axis=2, dtype=np.uint64) ^ np.arange(
        14, dtype=np.uint64
    )
    digests = draw.integers(0, 1 << 63, (documents, 2), dtype=np.uint64)
    spilled(bands, folder / "many")
    taken, _ = best(rounds, lambda: decided(folder / "many", digests, digests[:, 0], folder))
    layout = np.dtype([*((f"s{row}", "<u8") for row in range(8)), ("doc", "<u4")])
    for band in range(14):
        table = np.empty(documents, layout)
        for row in range(8):
            table[f"s{row}"] = sigs[:, band, row]
        table["doc"] = np.arange(documents)
        place = folder / "synthetic" / f"bucket_{band:03d}"
        place.mkdir(parents=True)
        (place / "00000.minhash.sig").write_bytes(np.sort(table).tobytes())
    (folder / "other").mkdir()
    return taken, float(asked(python, folder / "synthetic", folder / "other")["decisions"])


def expected(texts: list[str], plants: Sequence[tuple[str, int, int]]) -> dict[str, float]:
    """Recall of each kind by the formula of banding, from the copies' own Jaccard similarities."""
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import shingle_sets
    from pipeline.stages.near.edges import jaccard

    rule, odds = PRESETS["words"], dict[str, list[float]]()
    sets = shingle_sets(texts, rule)
    for kind, one, other in plants:
        shared, together = jaccard(sets[one], sets[other])
        odds.setdefault(kind, []).append(rule.probability(shared / together))
    return {kind: float(np.mean(found)) for kind, found in odds.items()}


def precision(texts: list[str], bands: Any) -> tuple[int, int, int]:
    """Verified pairs, those of them whose shingles as text have the similarity that is asked, and
    all candidates.
    """
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import shingle_sets
    from pipeline.stages.near.edges import edges, verified
    from tests.mixtures.rules.naive import shingle_set_naive

    rule = PRESETS["words"].model_copy(update={"verify": VERIFY})
    candidates = edges(
        bands.ravel(), np.repeat(np.arange(len(texts), dtype=np.uint32), bands.shape[1])
    )
    pairs = verified(candidates, dict(enumerate(shingle_sets(texts, rule))), rule)
    right = 0
    for one, other in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        left, found = (
            shingle_set_naive(texts[number], rule.unit, rule.shingle) for number in (one, other)
        )
        right += rule.accepts(len(left & found), len(left | found))
    return len(pairs[0]), right, len(candidates[0])


def asked(python: str, source: Path, folder: Path) -> dict[str, Any]:
    """What the peer's interpreter says of texts or signatures."""
    done = subprocess.run(
        [python, "-c", PEER, str(source), str(folder)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.rindex('{"clusters"') :])
    return found


def has_peer(python: str) -> bool:
    """Whether an interpreter can run datatrove's MinHash."""
    command = [python, "-c", "import spacy, datatrove.pipeline.dedup.minhash"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Print a table of recall and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--synthetic", type=int, default=100_000)
    parser.add_argument(
        "--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared"
    )
    parser.add_argument("--peer", default=sys.executable)
    options = parser.parse_args()
    texts, plants = planted(options.shared, options.documents)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, {len(plants):,} planted copies")
    theirs: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        mine = ours(texts, options.rounds, place)
        sides = {"expected": expected(texts, plants), "annealmix": recall(mine["labels"], plants)}
        if has_peer(options.peer):
            (place / "texts.json").write_text(json.dumps(texts))
            theirs = asked(options.peer, place / "texts.json", place / "peer")
            sides["datatrove"] = recall(dict(theirs["clusters"]), plants)
            many = synthetic(options.synthetic, options.rounds, options.peer, place)
        else:
            print("datatrove: SKIPPED, --peer has no datatrove[processing] with spaCy")
    print(f"{'recall':12}{'copies':>12}" + "".join(f"{side:>12}" for side in sides))
    for kind in KINDS:
        count = sum(other == kind for other, _, _ in plants)
        print(f"{kind:12}{count:12,}" + "".join(f"{side[kind]:12.3f}" for side in sides.values()))
    pairs, right, candidates = precision(texts, mine["bands"])
    print(
        f"verified at {VERIFY}: {right:,} of {pairs:,} pairs are right; {candidates:,} candidates"
    )
    speeds = (
        f"{megabytes / mine['kernel']:.1f} MB/s, {megabytes / mine['signatures']:.1f} with their"
        " files"
    )
    print(f"annealmix: signatures {speeds}, decisions {mine['decisions']:.3f} s")
    if theirs is not None:
        print(
            f"datatrove: signatures {megabytes / theirs['signatures']:.2f} MB/s, decisions"
            f" {theirs['decisions']:.3f} s"
        )
        ratios = {stage: theirs[stage] / mine[stage] for stage in ("signatures", "decisions")}
        print(
            f"times as fast: signatures {ratios['signatures']:.0f}, decisions"
            f" {ratios['decisions']:.0f}"
        )
        print(
            f"decisions of {options.synthetic:,}: {many[0]:.2f} s and {many[1]:.1f} s,"
            f" {many[1] / many[0]:.0f} times as fast"
        )


if __name__ == "__main__":
    main()
