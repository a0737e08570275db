"""A build with near-duplicates, a blocklist and evaluation sets, against the same build without
them, its tokenizer alone, and datatrove's stock blocks that do as much, in CPU seconds of whole
processes.

    python -m tests.benchmarks.bench_everything [--megabytes 24] [--rounds 2] [--shared ../shared]
        [--peer PYTHON] [--peer-megabytes 2] [--docs]

Real documents, each once, as jsonl.zst; one worker and one thread; in turn:

    everything  annealmix build with `near: words`, the filter control-lists, and MMLU and HellaSwag
                to decontaminate by: read, hash, tokenize, note, search, select, write, seal
    plain       the same without the three
    tokenizer   the build's engine alone, over texts that are in memory already
    datatrove   JsonlReader -> MinhashDedupSignature, then JsonlReader -> RegexFilter of the same
                terms -> NGramsDecontFilter of the same sets -> MegatronDocumentTokenizer, on the
                first few megabytes, in the first round; buckets and clusters are left out

datatrove's blocks need spaCy: PYTHON is an interpreter that has it (default: this one); without it
they are left out, and said to be. Nothing is asserted: trust the ratios. --docs writes the table
into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.bench_ingest import TOKENIZER, make_corpus, run, write_docs
from tests.benchmarks.distinct import base_texts, distinct_texts

SETS = ("mmlu", "hellaswag")
RECIPE = """\
name: bench
budget: {{tokens: {tokens}}}
tokenizer: gpt-neox-20b
sources:
  dclm: {{use: dclm-baseline, weight: 1}}
"""
EVERYTHING = "near: words\nfilters: [control-lists]\ndecontaminate:\n  sets:\n" + "".join(
    f"    - {{name: {name}, files: [{name}.jsonl], format: jsonl, columns: {name}}}\n"
    for name in SETS
)
DATATROVE = """\
import json, re, sys
from pathlib import Path
import numpy as np
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import RegexFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer

if __name__ == "__main__":
    data, tokenizer, items, terms, out = sys.argv[1:]
    Path(out, "index").mkdir(parents=True)
    decont = NGramsDecontFilter(
        f"{out}/index", NGramsDecontConfig(n_grams=13, find_query_ngrams=True)
    )
    of_bytes = decont.hash_func
    encoded = lambda text: of_bytes(text.encode())  # xxhash 4 hashes no strings
    decont.hash_func = encoded
    hashes = {
        one for text in json.load(open(items))
        for one in NGramsDecontIndexer.compute_hashes(decont, text)
    }
    hashes = np.array(sorted(hashes), decont.config.hash_config.np_descr)
    hashes.tofile(f"{out}/index/x.index.hashes")
    terms = "|".join(map(re.escape, json.load(open(terms))))
    reader = lambda: JsonlReader(data, compression="zstd", recursive=True)
    rule = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    minhash = MinhashDedupSignature(f"{out}/signatures", config=rule, language="en")
    minhash._hash_func = encoded
    ids = MegatronDocumentTokenizer(
        output_folder=f"{out}/ids",
        tokenizer_name_or_path=tokenizer,
        eos_token="<|endoftext|>",
        save_filename="t",
    )
    blocked = RegexFilter(rf"(?i)\\b(?:{terms})\\b")
    for number, steps in enumerate(([reader(), minhash], [reader(), blocked, decont, ids])):
        LocalPipelineExecutor(
            pipeline=steps, tasks=1, workers=1, logging_dir=f"{out}/logs{number}"
        ).run()
"""


class Bench:
    """What is measured. seconds: of each command, a figure a round; megabytes: of its text."""

    def __init__(self, folder: Path, shared: Path, megabytes: float, peer_megabytes: float) -> None:
        self.folder, self.tokenizer = folder, shared / "tokenizers" / "gpt-neox-20b.json"
        texts = list(distinct_texts(base_texts(shared), int(megabytes * 1e6)))
        size = make_corpus(texts, folder / "data")
        few = list(distinct_texts(texts, int(peer_megabytes * 1e6)))
        self.megabytes = {"everything": size, "plain": size, "tokenizer": size}
        self.megabytes["datatrove"] = make_corpus(few, folder / "few")
        self.seconds: dict[str, list[float]] = {}
        recipe = RECIPE.format(tokens=int(size * 1e6 / 6))
        (folder / "plain.yaml").write_text(recipe)
        (folder / "everything.yaml").write_text(recipe + EVERYTHING)
        for name in SETS:
            shutil.copyfile(
                next((shared / "data" / "bench").glob(f"{name}*")), folder / f"{name}.jsonl"
            )
        (folder / "tokenizer.py").write_text(TOKENIZER)
        (folder / "stock.py").write_text(DATATROVE)
        self._write_peers_input()

    def _write_peers_input(self) -> None:
        from mixtures.recipe.load import load_recipe
        from mixtures.rules.filter_files import load_terms
        from pipeline.judges.annotators.evaluation_sets import read_benchmark

        recipe = load_recipe(str(self.folder / "everything.yaml"))
        bundle = recipe.filters[0].brought
        terms = load_terms(bundle.definition.blocklist, bundle.folder)
        items = [
            text
            for loaded in recipe.benchmarks
            for item in read_benchmark(loaded).items
            for text in item.texts
        ]
        (self.folder / "terms.json").write_text(json.dumps(list(terms)))
        (self.folder / "items.json").write_text(json.dumps(items))

    def measure(self, peer: str | None) -> None:
        """One round; with datatrove's blocks in the interpreter `peer`, if there is one."""
        for name in ("everything", "plain"):
            place = self.folder / "made"
            words = [sys.executable, "-m", "annealmix", "build", str(self.folder / f"{name}.yaml")]
            words += ["--data", str(self.folder / "data"), "--workers", "1"]
            words += ["--store", str(place / "store"), "--tokenizer", str(self.tokenizer)]
            self._note(name, run([*words, "--out", str(place / "mix")])[0])
            shutil.rmtree(place)
        script, data = str(self.folder / "tokenizer.py"), str(self.folder / "data")
        self._note("tokenizer", float(run([sys.executable, script, data, str(self.tokenizer)])[2]))
        if peer:
            names = ("few", "items.json", "terms.json", "out")
            data, items, terms, out = (str(self.folder / name) for name in names)
            script = str(self.folder / "stock.py")
            command = [peer, script, data, str(self.tokenizer), items, terms, out]
            self._note("datatrove", run(command)[0])

    def _note(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        print(f"{name}: {seconds:.2f} CPU s", flush=True)

    def table(self) -> str:
        """Medians, as a table of Markdown."""
        medians = {name: statistics.median(found) for name, found in self.seconds.items()}
        rates = {name: self.megabytes[name] / median for name, median in medians.items()}
        lines = [
            "| command | MB of text | CPU seconds | MB a CPU second | rate of `everything` to it |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, found in self.seconds.items():
            spread = f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""
            lines.append(
                f"| {name} | {self.megabytes[name]:.1f} | {medians[name]:.1f}{spread} |"
                f" {rates[name]:.2f} | {rates['everything'] / rates[name]:.2f} |"
            )
        return "\n".join(lines) + "\n"


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    shared = Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--peer-megabytes", type=float, default=2)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    asked = [options.peer, "-c", "import spacy, datatrove.pipeline.dedup.minhash"]
    peer = options.peer
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        print("datatrove is left out: its blocks need spaCy; --peer names an interpreter with it")
        peer = None
    with tempfile.TemporaryDirectory(prefix="annealmix-bench-") as name:
        sizes = options.megabytes, options.peer_megabytes
        bench = Bench(Path(name), options.shared.resolve(), *sizes)
        for number in range(options.rounds):
            bench.measure(peer if number == 0 else None)
    print(bench.table())
    if options.docs:
        write_docs("bench_everything", bench.table())


if __name__ == "__main__":
    main()
