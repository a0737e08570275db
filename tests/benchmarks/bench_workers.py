"""A whole build by one worker and by several, in turn: wall and CPU seconds of all processes.

    python -m tests.benchmarks.bench_workers [--megabytes 240] [--rounds 3] [--workers 1 2]
        [--shared ../shared] [--docs]

The corpus is that of `tests.benchmarks.bench_ingest`, distinct text; each build begins with no
store. Wall seconds mean something only where nothing else runs. Nothing is asserted; --docs writes
the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.benchmarks.bench_ingest import Corpus, make_corpus, run, write_docs
from tests.benchmarks.distinct import base_texts, distinct_texts

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
Figures = dict[int, list[tuple[float, float]]]
"""Wall and CPU seconds of each round, by workers."""


def measure(corpus: Corpus, workers: list[int], rounds: int) -> Figures:
    """Build with each number of workers in turn."""
    found: Figures = {count: [] for count in workers}
    for _ in range(rounds):
        for count in workers:
            begin_anew(corpus)
            begun, before = time.perf_counter(), _ended_cpu()
            run(corpus.build("first", count))
            wall, cpu = time.perf_counter() - begun, _ended_cpu() - before
            found[count].append((wall, cpu))
            print(f"{count} workers: {wall:.2f} s of wall, {cpu:.2f} CPU s", flush=True)
    return found


def begin_anew(corpus: Corpus) -> None:
    """Delete what an earlier build left."""
    for name in ("store", "first"):
        shutil.rmtree(corpus.folder / name, ignore_errors=True)


def adopt() -> None:
    """Be the parent of processes whose own has ended (Linux): a build does not wait for the server
    that its workers are forked from, and their time would be nobody's.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _ended_cpu() -> float:
    """CPU seconds of all processes below this one, once they have ended."""
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(found: Figures, megabytes: float) -> str:
    """The figures as a table of Markdown: medians, and ranges."""
    lines = [
        "| workers | wall seconds | CPU seconds | MB of text a second | times as fast |",
        "|---:|---:|---:|---:|---:|",
    ]
    first = statistics.median(wall for wall, _ in next(iter(found.values())))
    for count, figures in found.items():
        walls, cpus = zip(*figures, strict=True)
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        lines.append(
            f"| {count} | {wall:.2f} ({min(walls):.2f} to {max(walls):.2f}) | {cpu:.2f} |"
            f" {megabytes / wall:.0f} | {first / wall:.2f} |"
        )
    return "\n".join(lines) + "\n"


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Options that a benchmark of whole builds has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    shared = Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--docs", action="store_true")
    return parser


@contextmanager
def distinct_corpus(shared: Path, megabytes: int) -> Iterator[Corpus]:
    """Distinct text in a folder of its own."""
    tokenizer = shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    with tempfile.TemporaryDirectory(prefix="annealmix-bench-") as name:
        folder = Path(name)
        texts = distinct_texts(base_texts(shared), megabytes * 1_000_000)
        yield Corpus(folder, make_corpus(texts, folder / "data"), tokenizer)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = options_of(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    adopt()
    with distinct_corpus(options.shared, options.megabytes) as corpus:
        found = measure(corpus, options.workers, options.rounds)
    print(table(found, corpus.megabytes))
    if options.docs:
        write_docs("bench_workers", table(found, corpus.megabytes))


if __name__ == "__main__":
    main()
