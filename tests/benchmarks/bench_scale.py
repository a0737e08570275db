"""Select and write of the annealing mix at growing scale, beside what `plan` estimates of them.

    python -m tests.benchmarks.bench_scale [--scales 0.01 0.02 0.04] [--folder DIR]

At each scale S the sources have S of the published documents, of the published mean length, in the
proportions, key ranges and order of annealing-50b; what belongs to pretraining-500b is excluded, as
there. The documents are made up (`tests.benchmarks.made_store`): reading is not measured, the rest
is real but for ids, of which each document has the end of one long one. So the ledgers have S of
720 million rows, 492 million of them excluded, and the mix has S of 50 billion tokens. Each stage
is done by one process of its own.

Prints for each scale CPU seconds, memory and disk, and what `plan` says of the same recipe by the
documents that its definitions say are published. What grows with the numbers of files, segments and
slices instead is in `bench_serial`. Nothing is asserted. Disk: 44 bytes a row of a ledger and 4
bytes a token of the mix, some 5 GB at 0.02.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

from mixtures.plan.plan import make_plan
from mixtures.plan.source_plan import published_supplies
from mixtures.recipe.load import load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Size
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.build.sources import sources
from pipeline.executors.local import LocalExecutor
from pipeline.executors.stage import freeze, stage_named
from pipeline.inputs.listing import DataFolders
from tests.benchmarks.made_store import made_reading, said, shared_tokens, write_files

TOKENS = 50_000_300_033
SOURCES = {
    # published documents (of flan and dclm of the whole supply), mean tokens, recipe
    "camel-biology": (20_000, 500, "weight: 0.02, keys: [0, 0.99], shortfall: {refill: dclm}"),
    "camel-chemistry": (20_000, 500, "weight: 0.02, keys: [0, 0.99], shortfall: {refill: dclm}"),
    "camel-physics": (20_000, 500, "weight: 0.02, keys: [0, 0.99], shortfall: {refill: dclm}"),
    "wiki": (6_171_220, 596, "weight: 7.37, keys: [0, 0.99], shortfall: {refill: dclm}"),
    "stackexchange": (2_478_341, 569, "weight: 2.82, keys: [0, 0.99], shortfall: {refill: dclm}"),
    "pes2o-abstracts": (
        *(30_569_017, 271),
        "corpus: pes2o, weight: 22.90, keys: [0, 0.99], shortfall: {refill: pes2o-papers}",
    ),
    "pes2o-papers": (8_242_162, 6_100, "corpus: pes2o, reserve: true, keys: [0, 0.99]"),
    "flan": (57_300_000, 294, "weight: 16.87, keys: [0, 0.99]"),
    "dclm": (615_200_000, 1_220, "weight: 50.02, keys: [0.8, 0.99]"),
}
AGAIN = {"flan": ("dclm", 0.01), "wiki": ("dclm", 0.01)}
"""Sources that have documents of another."""


def make(folder: Path, scale: float) -> Path:
    """Write files, definitions and recipes. Returns the recipe of the mix."""
    for name, (documents, mean_tokens, _) in SOURCES.items():
        write_files(folder / "data" / name, name, max(int(documents * scale), 1), mean_tokens)
        count = max(int(documents * scale), 1)
        definition = {
            "name": name,
            "format": "jsonl",
            "adapter": "text",
            "licence": "none",
            # whose tokens are without the EOD of each document
            "published": {"documents": count, "tokens": count * (mean_tokens - 1)},
        }
        (folder / f"{name}.yaml").write_text(json.dumps(definition))
    head = "name: {}\ntokenizer: gpt-neox-20b\nbudget: {{tokens: {}}}\nsources:\n"
    excluded = head.format("made-pretraining", int(10 * TOKENS * scale))
    excluded += "  dclm: {use: dclm.yaml, weight: 100, keys: [0, 0.8]}\n"
    (folder / "pretraining.yaml").write_text(excluded)
    mix = head.format("made-annealing", int(TOKENS * scale)) + "".join(
        f"  {name}: {{use: {name}.yaml, {asked}}}\n" for name, (_, _, asked) in SOURCES.items()
    )
    (folder / "annealing.yaml").write_text(f"{mix}exclude: [pretraining.yaml]\n")
    return folder / "annealing.yaml"


@contextmanager
def known_supply() -> Iterator[None]:
    """First ceilings from what files stand for while the body runs, not from their one line."""
    real: Any = sources.take_probe  # type: ignore[attr-defined]

    def take(definition: Any, quality: Any, files: Sequence[Any], size: Any) -> Any:
        found = [said(Path(file.url)) for file in files]
        tokens = sum(count * mean_tokens for _, _, count, mean_tokens in found)
        return SimpleNamespace(supply=lambda tokenizer: SimpleNamespace(tokens=tokens))

    sources.take_probe = take  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        sources.take_probe = real  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Cost:
    """What a stage took: CPU seconds; MB of memory at most, and without the pages of files that it
    mapped, which the system takes back when it needs them.
    """

    cpu: float
    memory: float
    own: float


@dataclass(frozen=True)
class Watched(LocalExecutor):
    """Does each stage but the made-up ingest in a process of its own, and notes what it takes."""

    costs: dict[str, Cost] = field(default_factory=dict)

    def execute(self, stage: Any, plan: Any, folder: Path) -> None:
        if stage.name == "ingest":
            LocalExecutor.execute(self, stage, plan, folder)
            return
        path, digest = freeze(folder, plan)
        command = [sys.executable, "-m", "tests.benchmarks.bench_scale"]
        command += ["--task", stage.name, str(path), digest]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        self.costs[stage.name] = Cost(**json.loads(child.stdout))


def do_stage(name: str, plan: str, digest: str) -> Cost:
    """Do all units of a frozen plan."""
    stage, own, ended = stage_named(name), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            own.append(_memory("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = process_time()
    deque(stage(Path(plan), digest).run(), 0)
    cpu = process_time() - begun
    ended.set()
    watcher.join()
    return Cost(cpu, _memory("VmHWM"), max(own))


def _memory(name: str) -> float:
    """MB, as the system knows them of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{name}:"))


def run(folder: Path, scale: float, tokenizer: Path) -> tuple[int, dict[str, tuple[float, float]]]:
    """Build, and plan the same.

    Returns:
        Documents of the mix; and by name figures that `plan` estimates, and what they were.
    """
    recipe, executor = load_recipe(str(make(folder, scale))), Watched(workers=1)
    request = BuildRequest(recipe, folder / "mix", folder / "store", executor=executor)
    request = replace(request, data=DataFolders(folder / "data"), tokenizer=tokenizer)
    with made_reading(shared_tokens, AGAIN), known_supply():
        manifest = build(request)
    select, write = executor.costs["select"], executor.costs["write"]
    found = {
        "select, CPU s": select.cpu,
        "write, CPU s": write.cpu,
        "select, MB of memory": select.memory,
        "write, MB of memory": write.memory,
        "select, MB without mapped files": select.own,
        "write, MB without mapped files": write.own,
        "store, MB": _disk(folder / "store"),
        "mix, MB": _disk(folder / "mix"),
    }
    estimated = planned(recipe)
    return manifest["total_documents"], {
        name: (estimated.get(name, 0), value) for name, value in found.items()
    }


def planned(recipe: LoadedRecipe) -> dict[str, float]:
    """What `plan` says, of the sizes that the definitions say are published."""
    cost = make_plan(recipe, Size(), published_supplies(recipe)).resources
    stages = cost.stages
    return {
        "select, CPU s": stages["select"].core_seconds or 0,
        "write, CPU s": stages["write"].core_seconds or 0,
        "select, MB of memory": stages["select"].worker_bytes / 1e6,
        "write, MB of memory": stages["write"].worker_bytes / 1e6,
        "store, MB": cost.store_bytes / 1e6,
        "mix, MB": cost.mix_bytes / 1e6,
    }


def _disk(folder: Path) -> float:
    """MB of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Build at each scale, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", type=float, nargs="+", default=[0.01, 0.02, 0.04])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(asdict(do_stage(*options.task))))
        return
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    rows = sum(documents for documents, _, _ in SOURCES.values())
    for scale in options.scales:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            documents, figures = run(Path(name), scale, tokenizer)
        print(f"{scale:g}: {documents:,} documents of {int(rows * scale):,} rows")
        for what, (estimate, found) in figures.items():
            said = f"{estimate:10,.1f} planned" if estimate else " " * 18
            print(f"  {what:30}{said}{found:10,.1f} found", flush=True)


if __name__ == "__main__":
    main()
