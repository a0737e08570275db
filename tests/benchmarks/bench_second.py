"""A second mix of some 0.7 billion tokens from a store of 1.7 billion, beside the first that filled
the store and beside `cp` of what it writes.

    python -m tests.benchmarks.bench_second FOLDER [--megabytes 7600] [--rounds 3]
        [--shared ../shared] [--docs]

FOLDER gets distinct text (`tests.benchmarks.distinct`, jsonl.zst), the store, and what the first
build took, each if it is not there yet: a quarter of an hour of one core, and some 10 GB of disk,
6 of which stay. Each round builds the second mix, of other keys and another budget, from the store
without its selections; `nothing` is the same command again. CPU seconds of whole commands, one
worker and one thread, children included. Nothing is asserted. --docs writes the table into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from pathlib import Path

from tests.benchmarks.bench_ingest import RECIPE, build_command, make_corpus, run, write_docs
from tests.benchmarks.distinct import base_texts, distinct_texts

BYTES_A_TOKEN = 4.6
FIRST, SECOND = (0.9, "0"), (0.42, "0.4")
"""Share of all tokens, and the first key."""


class Figures:
    """What each command took: CPU seconds, seconds of wall, MB of its largest process."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[float, float, float]]] = {}

    def note(self, name: str, command: list[str]) -> None:
        """Run a command, and note what it took."""
        begun = time.perf_counter()
        cpu, peak, _ = run(command)
        self.of.setdefault(name, []).append((cpu, time.perf_counter() - begun, peak))
        print(f"{name}: {cpu:.2f} CPU s, {self.of[name][-1][1]:.1f} s, {peak:,.0f} MB", flush=True)

    def table(self) -> str:
        """As Markdown: medians, and of CPU seconds the range where there are several."""
        first = self.of["first"][0][0]
        lines = [
            "| command | CPU seconds | beside the first | wall seconds | largest process |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, found in self.of.items():
            cpu, wall, peak = ([item[at] for item in found] for at in range(3))
            median = statistics.median(cpu)
            spread = f" ({min(cpu):.1f} to {max(cpu):.1f})" if len(cpu) > 1 else ""
            lines.append(
                f"| {name} | {median:.1f}{spread} | {100 * median / first:.1f}% |"
                f" {statistics.median(wall):.1f} | {max(peak):,.0f} MB |"
            )
        return "\n".join(lines) + "\n"


def prepare(folder: Path, megabytes: int, shared: Path) -> None:
    """Write the corpus and the recipes, if they are not there."""
    if not (folder / "data").exists():
        texts = distinct_texts(base_texts(shared), megabytes * 1_000_000)
        make_corpus(texts, folder / "data")
    tokens = megabytes * 1e6 / BYTES_A_TOKEN
    for name, (share, low) in {"first": FIRST, "second": SECOND}.items():
        recipe = RECIPE.format(tokens=int(tokens * share), low=low, high=1)
        (folder / f"{name}.yaml").write_text(recipe)


def main() -> None:
    """Make what is missing, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, default=7600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    folder, figures = options.folder.resolve(), Figures()
    prepare(folder, options.megabytes, options.shared)
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    known = folder / "first.json"
    if not known.exists():
        figures.note("first", build_command(folder, "first", tokenizer))
        shutil.rmtree(folder / "first")
        known.write_text(json.dumps(figures.of["first"]))
    figures.of["first"] = [tuple(item) for item in json.loads(known.read_bytes())]
    for _ in range(options.rounds):
        for left in (folder / "second", folder / "store" / "select"):
            shutil.rmtree(left, ignore_errors=True)
        figures.note("second", build_command(folder, "second", tokenizer))
        figures.note("nothing", build_command(folder, "second", tokenizer))
        copy = folder / "copy.bin"
        figures.note("cp tokens.bin", ["cp", str(folder / "second" / "tokens.bin"), str(copy)])
        os.unlink(copy)
    print(figures.table())
    if options.docs:
        write_docs("bench_second", figures.table())


if __name__ == "__main__":
    main()
