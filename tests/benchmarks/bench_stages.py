"""What selecting, writing, sealing and auditing take beside `cp` of the same tokens.

    python tests/benchmarks/bench_stages.py [FOLDER] [--documents 2300000] [--mean-tokens 560]
        [--excluded 0] [--select-only] [--workers 1] [--rounds 1] [--shared ../shared]

FOLDER (else a temporary one) gets a store of made-up documents (`tests.benchmarks.made_store`) of
four sources, of which the last has some of the first's again, and so many rows of a recipe that is
excluded, which has some of them, too. The build and the audit are real. Disk: 100 bytes a document,
2 a token and, unless it is only selected, 50 a document and 4 a token more; 32 a row excluded.

Each round builds the mix from the store with nothing selected, and prints CPU seconds (children
included), seconds of wall, and the memory of the largest process so far: of the stages `select` and
`write`, of the whole build in this process, of the command `annealmix audit`, and of `cp
tokens.bin`; or of `select` alone. Nothing is asserted: machines are noisy; trust the ratios.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixtures.recipe.load import load_recipe
from pipeline.build.build import build, judge
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from tests.benchmarks.made_store import made_reading, own_tokens, write_files

SHARES = {"a": 6, "b": 2, "c": 1, "d": 1}  # of the documents


@dataclass
class Cost:
    """What something took. cpu, wall: seconds; peak: MB of the largest process, as known so far."""

    cpu: float
    wall: float
    peak: float


def measured(work: Callable[[], object]) -> Cost:
    """Do it; children count once they have ended."""
    begun, before = time.perf_counter(), _cpu()
    work()
    peak = max(resource.getrusage(who).ru_maxrss for who in _WHO) / 1024
    return Cost(_cpu() - before, time.perf_counter() - begun, peak)


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in _WHO)


@dataclass(frozen=True)
class Timed(LocalExecutor):
    """The local executor, which notes what each stage takes."""

    costs: dict[str, Cost] = field(default_factory=dict)

    def execute(self, stage: Any, plan: Any, folder: Path) -> None:
        cost = measured(lambda: LocalExecutor.execute(self, stage, plan, folder))
        if before := self.costs.get(stage.name):  # a source was short, and read further
            cost = Cost(before.cpu + cost.cpu, before.wall + cost.wall, cost.peak)
        self.costs[stage.name] = cost


def make(
    folder: Path, documents: int, mean_tokens: int, tokenizer: Path, excluded: int = 0
) -> None:
    """Write the files that stand for the sources, the recipe, and the store."""
    whole = sum(SHARES.values())
    for source, share in SHARES.items():
        write_files(folder / "data" / source, source, documents * share // whole, mean_tokens)
    sources = "".join(
        f"  {name}: {{data: data/{name}, text: text, all: true}}\n" for name in "abcd"
    )
    head = "name: {}\ntokenizer: gpt-neox-20b\nsources:\n"
    recipe = head.format("bench") + sources
    if excluded:
        write_files(folder / "data" / "x", "x", excluded, mean_tokens)
        other = head.format("excluded") + "  x: {data: data/x, text: text, all: true}\n"
        (folder / "excluded.yaml").write_text(other)
        recipe += "exclude: [excluded.yaml]\n"
    (folder / "bench.yaml").write_text(recipe)
    with made_reading(own_tokens, {"d": ("a", 0.02), "x": ("a", 0.02)}):
        request = _request(folder, folder / "mix", LocalExecutor(workers=1))
        judge(replace(request, tokenizer=tokenizer), set())


def _request(folder: Path, out: Path, executor: LocalExecutor) -> BuildRequest:
    return BuildRequest(
        load_recipe(str(folder / "bench.yaml")), out, folder / "store", executor=executor
    )


def main() -> None:
    """Make the store where there is none, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--documents", type=int, default=2_300_000)
    parser.add_argument("--mean-tokens", type=int, default=560)
    parser.add_argument("--excluded", type=int, default=0)
    parser.add_argument("--select-only", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "store").exists():
            tokenizer = args.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
            make(folder, args.documents, args.mean_tokens, tokenizer, args.excluded)
        for _ in range(args.rounds):
            for path in (folder / "mix", folder / "store" / "select"):
                shutil.rmtree(path, ignore_errors=True)
            executor = Timed(workers=args.workers)
            if args.select_only:
                judge(_request(folder, folder / "mix", executor), set())
                show(executor.costs)
            else:
                measure(folder, executor)


def measure(folder: Path, executor: Timed) -> None:
    """Build, audit and copy once, and print what each took."""
    out, copy = folder / "mix", folder / "copy.bin"
    whole = measured(lambda: build(_request(folder, out, executor)))
    audit = [str(Path(sys.executable).with_name("annealmix")), "audit", str(out)]
    audited = measured(lambda: subprocess.run(audit, check=True, capture_output=True))
    copied = measured(lambda: subprocess.run(["cp", out / "tokens.bin", copy], check=True))
    copy.unlink()
    costs = {**executor.costs, "build": whole, "audit": audited, "cp": copied}
    print(f"{(out / 'tokens.bin').stat().st_size:,} bytes of tokens")
    show(costs)


def show(costs: dict[str, Cost]) -> None:
    """Print what each took."""
    for name, cost in costs.items():
        print(f"{name:8}{cost.cpu:8.2f} CPU s{cost.wall:8.2f} s{cost.peak:8,.0f} MB")


if __name__ == "__main__":
    main()
