"""A whole build against datatrove, against its tokenizer alone, and against a second mix of the
same store, in CPU seconds of whole processes, on distinct and on repeated text.

    python -m tests.benchmarks.bench_ingest [--megabytes 240] [--rounds 2] [--shared ../shared]
        [--text distinct repeated] [--without-datatrove] [--json FILE] [--docs]

The corpus is jsonl.zst of real documents: distinct as `tests.benchmarks.distinct` makes them, or
repeated with a distinct last line. On the same files, with one worker and one thread, in turn:

    build      annealmix build: read, hash, tokenize, store, select, write, seal (all of it counts)
    tokenizer  the build's engine alone, over texts that are in memory already
    second     annealmix build of another mix from the store that `build` left
    nothing    the same command again: what a command takes that finds its mix made
    datatrove  JsonlReader -> MegatronDocumentTokenizer, in the first round

Children count. The checkout's modules are compiled first, as those of an installed package are.
Nothing is asserted: machines are noisy; trust the ratios of medians. --docs writes the table into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import compileall
import datetime
import io
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import zstandard

from tests.benchmarks.distinct import base_texts, distinct_texts, repeated_texts

FILES = 8
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
CORPORA = {"distinct": distinct_texts, "repeated": repeated_texts}
RECIPE = """\
name: bench
budget: {{tokens: {tokens}}}
tokenizer: gpt-neox-20b
sources:
  dclm: {{use: dclm-baseline, weight: 1, keys: [{low}, {high}]}}
"""
TOKENIZER = """\
import io, json, resource, sys
from pathlib import Path
import zstandard
from mixtures.recipe.tokenizer.request import TokenizerRequest, define
from pipeline.tokens.tokenizer import Tokenizer

data, file = map(Path, sys.argv[1:3])
request = TokenizerRequest(file="x.json", name="x", eod="<|endoftext|>")
tokenizer = Tokenizer(file, define(request, file.read_bytes(), None))
texts = []
for path in sorted(data.rglob("*.zst")):
    lines = zstandard.ZstdDecompressor().stream_reader(path.open("rb"))
    texts += [json.loads(line)["text"] for line in io.TextIOWrapper(lines, "utf-8")]
before = resource.getrusage(resource.RUSAGE_SELF)
for at in range(0, len(texts), 512):
    tokenizer.encode(texts[at : at + 512])
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""
DATATROVE = """\
import sys
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer

if __name__ == "__main__":
    data, tokenizer, out = sys.argv[1:]
    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(data, compression="zstd", recursive=True),
            MegatronDocumentTokenizer(
                output_folder=out,
                tokenizer_name_or_path=tokenizer,
                eos_token="<|endoftext|>",
                save_filename="t",
            ),
        ],
        tasks=1, workers=1, logging_dir=out + "/logs",
    ).run()
"""


def make_corpus(texts: Iterable[str], folder: Path) -> float:
    """Write the corpus as FILES jsonl.zst files. Returns the megabytes of its text."""
    target = folder / "dclm-baseline" / "global-shard_01_of_10" / "local-shard_0_of_10"
    target.mkdir(parents=True)
    outs = [
        io.TextIOWrapper(
            zstandard.ZstdCompressor(3).stream_writer(
                (target / f"shard_{n:08d}_processed.jsonl.zst").open("wb")
            ),
            "utf-8",
        )
        for n in range(FILES)
    ]
    size = 0
    for number, text in enumerate(texts):
        outs[number % FILES].write(json.dumps({"text": text}) + "\n")
        size += len(text.encode())
    for out in outs:
        out.close()
    return size / 1e6


def run(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds of a command and its children, MB of the largest of them, and stdout."""
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(DOCS.parents[1]),
    }
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if started.returncode:
            sys.exit(f"{' '.join(command)}\nexit {started.returncode}\n{err.read()[-4000:]}")
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, out.read()


def build_command(folder: Path, mix: str, tokenizer: Path, workers: int = 1) -> list[str]:
    """The command that builds a mix of a folder with its recipe, data and store."""
    words = [sys.executable, "-m", "annealmix", "build", str(folder / f"{mix}.yaml")]
    words += ["--data", str(folder / "data"), "--workers", str(workers)]
    words += ["--store", str(folder / "store"), "--tokenizer", str(tokenizer)]
    return [*words, "--out", str(folder / mix)]


class Corpus:
    """One corpus while it is measured. seconds: of each command, a figure a round."""

    def __init__(self, folder: Path, megabytes: float, tokenizer: Path) -> None:
        self.folder, self.megabytes, self.tokenizer = folder, megabytes, tokenizer
        self.seconds: dict[str, list[float]] = {}
        self.peak = 0.0
        # nearly all that there is, and a second mix of the other half of the keys
        tokens = int(megabytes * 1e6 / 4.6)
        for name, share, low in (("first", 0.9, "0"), ("second", 0.4, "0.5")):
            recipe = RECIPE.format(tokens=int(tokens * share), low=low, high=1)
            (folder / f"{name}.yaml").write_text(recipe)
        (folder / "tokenizer.py").write_text(TOKENIZER)
        (folder / "datatrove.py").write_text(DATATROVE)

    def measure(self, *, datatrove: bool) -> None:
        """One round."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        data, tokenizer = str(self.folder / "data"), str(self.tokenizer)
        seconds, self.peak, _ = run(self.build("first"))
        self._note("build", seconds)
        alone = [sys.executable, str(self.folder / "tokenizer.py"), data, tokenizer]
        self._note("tokenizer", float(run(alone)[2]))
        self._note("second", run(self.build("second"))[0])
        self._note("nothing", run(self.build("second"))[0])
        for mix in ("first", "second"):
            shutil.rmtree(self.folder / mix)
        if datatrove:
            out = self.folder / "out"
            stock = [sys.executable, str(self.folder / "datatrove.py"), data, tokenizer, str(out)]
            self._note("datatrove", run(stock)[0])
            shutil.rmtree(out)

    def build(self, mix: str, workers: int = 1) -> list[str]:
        """The command that builds a mix."""
        return build_command(self.folder, mix, self.tokenizer, workers)

    def _note(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(round(seconds, 2))
        print(f"{self.folder.name} {name}: {seconds:.2f} CPU s", flush=True)


def table(found: dict[str, Corpus]) -> str:
    """The figures as a table of Markdown: medians, and ranges where there are several."""
    lines = [
        "| text | command | CPU seconds | MB of text a second | beside `build` |",
        "|---|---|---:|---:|---:|",
    ]
    for text, corpus in found.items():
        build = statistics.median(corpus.seconds["build"])
        for name, seconds in corpus.seconds.items():
            median = statistics.median(seconds)
            spread = f" ({min(seconds):.1f} to {max(seconds):.1f})" if len(seconds) > 1 else ""
            rate = f"{corpus.megabytes / median:.1f}" if name in _WHOLE else "-"
            lines.append(
                f"| {text}, {corpus.megabytes:.0f} MB | {name} | {median:.1f}{spread} | {rate} |"
                f" {100 * median / build:.1f}% |"
            )
    return "\n".join(lines) + "\n"


_WHOLE = ("build", "tokenizer", "datatrove")  # which go over all of the text


def write_docs(script: str, content: str) -> None:
    """Put a script's table between its marks in docs/benchmarks.md."""
    machine = f"{os.cpu_count()}-core {platform.machine()}"
    date = datetime.datetime.now(datetime.timezone.utc).date()
    said = f"Written by this script on {date}, on a {machine} machine.\n\n{content}"
    page, changed = re.subn(
        rf"(<!-- {script} -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{said}{found[2]}",
        DOCS.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert changed == 1, "docs/benchmarks.md has no such marks"
    DOCS.write_text(page, encoding="utf-8")


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--text", nargs="+", choices=CORPORA, default=list(CORPORA))
    shared = Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--without-datatrove", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    for package in ("annealmix", "mixtures", "pipeline", "recipes"):
        compileall.compile_dir(DOCS.parents[1] / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="annealmix-bench-") as name:
        base, found = base_texts(options.shared), {}
        for text in options.text:
            folder = Path(name) / text
            texts = CORPORA[text](base, options.megabytes * 1_000_000)
            found[text] = Corpus(folder, make_corpus(texts, folder / "data"), tokenizer)
        for number in range(options.rounds):
            for corpus in found.values():
                corpus.measure(datatrove=number == 0 and not options.without_datatrove)
    print(table(found))
    if options.json:
        figures = {
            text: {"megabytes": corpus.megabytes, "seconds": corpus.seconds, "peak_mb": corpus.peak}
            for text, corpus in found.items()
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        write_docs("bench_ingest", table(found))


if __name__ == "__main__":
    main()
