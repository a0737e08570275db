"""A whole build by one node of a Slurm cluster and by two, in turn: wall seconds from the command
to the end of its last job.

    python -m tests.benchmarks.bench_slurm [--megabytes 240] [--rounds 3] [--shared ../shared]
        [--docs]

The corpus is that of `tests.benchmarks.bench_workers`; each build begins with no store. The cluster
is that of `make test-slurm`, whose nodes are this machine: a node does one task at a time, and a
stage is dealt out to two tasks, which one node does one after the other. Wall seconds mean
something only where nothing else runs, on two cores or more. Nothing is asserted; --docs writes the
table into docs/benchmarks.md.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from pipeline.executors.slurm.chain import FINISHED, QUEUED, Chain
from tests.benchmarks.bench_ingest import Corpus, run, write_docs
from tests.benchmarks.bench_workers import begin_anew, distinct_corpus, options_of
from tests.slurm.cluster import missing, running

PROFILE = "cpus: {cores}\nmemory: 2G\ntasks: 2\noptions: {{{left_out}}}\n"
POLL_SECONDS = 0.05


def build(corpus: Corpus, nodes: int) -> float:
    """Give a build to so many nodes. Returns its wall seconds."""
    begin_anew(corpus)
    profile = corpus.folder / "profile.yaml"
    left_out = "exclude: n2" if nodes == 1 else ""
    profile.write_text(PROFILE.format(cores=os.cpu_count(), left_out=left_out))
    begun = time.perf_counter()
    run([*_without_workers(corpus), "--executor", "slurm", "--profile", str(profile)])
    chain = Chain.of(corpus.folder / "store", corpus.folder / "first")
    while (record := chain.record) is None or record.state == QUEUED:
        time.sleep(POLL_SECONDS)
    if record.state != FINISHED:
        sys.exit(record.message)
    return time.perf_counter() - begun


def _without_workers(corpus: Corpus) -> list[str]:
    words = corpus.build("first")
    at = words.index("--workers")
    return words[:at] + words[at + 2 :]


def table(found: dict[int, list[float]], megabytes: float) -> str:
    """The figures as a table of Markdown: medians, and ranges."""
    lines = [
        "| nodes | wall seconds | MB of text a second | times as fast |",
        "|---:|---:|---:|---:|",
    ]
    first = statistics.median(found[1])
    for nodes, walls in found.items():
        wall = statistics.median(walls)
        lines.append(
            f"| {nodes} | {wall:.2f} ({min(walls):.2f} to {max(walls):.2f}) |"
            f" {megabytes / wall:.0f} | {first / wall:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the rounds and print the figures."""
    options = options_of(__doc__).parse_args()
    if reason := missing(options.shared):
        print(f"cannot run: {reason}")
        return 2
    found: dict[int, list[float]] = {1: [], 2: []}
    with (
        distinct_corpus(options.shared, options.megabytes) as corpus,
        running(options.shared, max_array_size=1001),  # Slurm's default
    ):
        for _ in range(options.rounds):
            for nodes, walls in found.items():
                walls.append(build(corpus, nodes))
                print(f"{nodes} nodes: {walls[-1]:.2f} s of wall", flush=True)
    print(table(found, corpus.megabytes))
    if options.docs:
        write_docs("bench_slurm", table(found, corpus.megabytes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
