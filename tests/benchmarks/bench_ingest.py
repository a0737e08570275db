"""Ingest against datatrove, and a second mix against the first, in CPU seconds of whole processes.

    python tests/benchmarks/bench_ingest.py [--megabytes 240] [--rounds 1] [--shared ../shared]

Makes a corpus of real documents (every text of the shared sample data, repeated with a distinct
last line, as jsonl.zst) and runs in turn, on the same files, with one worker:

    A  annealmix build: read, hash, tokenize, store, select, write, seal (all of it counts)
    B  datatrove: JsonlReader -> MegatronDocumentTokenizer
    C  annealmix build of another mix from the store that A left

and prints megabytes of text a CPU second for A and B, B / A, and C / A. Nothing is asserted:
machines are noisy; trust the ratios.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import zstandard

FILES = 8
RECIPE = """\
name: bench
budget: {{tokens: {tokens}}}
tokenizer: gpt-neox-20b
sources:
  dclm: {{use: dclm-baseline, weight: 1, keys: [{low}, {high}]}}
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


def shared_texts(data: Path) -> Iterator[str]:
    """Every training text of the shared sample data, in a fixed order."""
    for path in sorted(data.rglob("*")):
        if path.name.endswith(".json.gz"):
            with gzip.open(path) as lines:
                yield from (json.loads(line)["text"] for line in lines)
        elif path.suffix == ".parquet":
            yield from pq.read_table(path, columns=["text"]).column("text").to_pylist()
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                rows = [json.loads(archive.read(name)) for name in sorted(archive.namelist())]
            yield from (f"{row['message_1']}\n\n{row['message_2']}" for row in rows)


def make_corpus(shared: Path, folder: Path, megabytes: int) -> int:
    """Write the corpus as FILES jsonl.zst files. Returns the bytes of its text."""
    texts = list(shared_texts(shared / "data"))
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
    size = number = 0
    while size < megabytes * 1_000_000:
        text = f"{texts[number % len(texts)]}\n\nCopy {number // len(texts)}."
        outs[number % FILES].write(json.dumps({"text": text}) + "\n")
        size, number = size + len(text.encode()), number + 1
    for out in outs:
        out.close()
    return size


def cpu_seconds(command: list[str]) -> tuple[float, float]:
    """Run a command. Returns CPU seconds of it and its children, and wall-independent peak memory
    in MB of the largest process.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}\n{done.stderr[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        after.ru_maxrss / 1000,
    )


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    )
    parser.add_argument("--without-datatrove", action="store_true")
    options = parser.parse_args()
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    with tempfile.TemporaryDirectory(prefix="annealmix-bench-") as name:
        folder = Path(name)
        size = make_corpus(options.shared, folder / "data", options.megabytes) / 1e6
        (folder / "baseline.py").write_text(DATATROVE)
        tokens = int(
            size * 1e6 / 4.6
        )  # nearly all that there is, and a second mix of the other half of the keys
        (folder / "first.yaml").write_text(RECIPE.format(tokens=int(tokens * 0.9), low=0, high=1))
        (folder / "second.yaml").write_text(
            RECIPE.format(tokens=int(tokens * 0.4), low="0.5", high=1)
        )
        print(f"corpus: {size:.0f} MB of text in {FILES} files")
        for _ in range(options.rounds):
            shutil.rmtree(folder / "store", ignore_errors=True)
            seconds = {}
            for mix in ("first", "second"):
                command = [
                    sys.executable,
                    "-m",
                    "annealmix",
                    "build",
                    str(folder / f"{mix}.yaml"),
                    "--data",
                    str(folder / "data"),
                    "--workers",
                    "1",
                ]
                command += [
                    "--store",
                    str(folder / "store"),
                    "--tokenizer",
                    str(tokenizer),
                    "--out",
                    str(folder / mix),
                ]
                seconds[mix], memory = cpu_seconds(command)
                shutil.rmtree(folder / "first", ignore_errors=True)
                print(
                    f"annealmix {mix} mix: {seconds[mix]:.1f} CPU s, {size / seconds[mix]:.1f}"
                    f" MB/s, largest process {memory:.0f} MB",
                    flush=True,
                )
            start_up, _ = cpu_seconds(
                command
            )  # the mix is there already: imports, recipe, look at the store, no stage
            shutil.rmtree(folder / "second")
            print(
                f"second mix / first mix: {100 * seconds['second'] / seconds['first']:.1f}% of the"
                " CPU time of the whole commands"
            )
            steady = {mix: value - start_up for mix, value in seconds.items()}
            print(
                f"start-up of a command: {start_up:.1f} CPU s; without it"
                f" {100 * steady['second'] / steady['first']:.1f}%",
                flush=True,
            )
            if not options.without_datatrove:
                command = [
                    sys.executable,
                    str(folder / "baseline.py"),
                    str(folder / "data"),
                    str(tokenizer),
                    str(folder / "out"),
                ]
                datatrove, memory = cpu_seconds(command)
                shutil.rmtree(folder / "out")
                print(
                    f"datatrove: {datatrove:.1f} CPU s, {size / datatrove:.2f} MB/s; "
                    f"annealmix is {datatrove / seconds['first']:.1f} times as fast",
                    flush=True,
                )


if __name__ == "__main__":
    main()
