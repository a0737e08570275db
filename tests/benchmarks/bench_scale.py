"""Select, write and seal of the annealing mix at growing scale, beside what `plan` estimates.

    python tests/benchmarks/bench_scale.py [--scales 0.01 0.02 0.04] [--workers 1] [--folder DIR]

At each scale S the sources have S of the published documents, of the published mean length, in the
proportions, key ranges and order of annealing-50b; what belongs to pretraining-500b is excluded, as
there. The documents are made up (`tests.benchmarks.made_store`): reading is not measured, the rest
is real but for ids, of which each document has the end of one long one. So the ledgers have S of
720 million rows, 492 million of them excluded, and the mix has S of 50 billion tokens.

Prints for each scale documents, CPU seconds, microseconds a document, memory, and from the largest
two the slope: what 1.0 would take. `alone` is all that the builder does itself, between the stages
that workers share: its steps stand below it, and their shares of an ideal build by 64 workers are
printed last. Nothing is asserted. Disk: 44 bytes a row of a ledger and 4
bytes a token of the mix, some 5 GB at 0.02.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mixtures.recipe.load import load_recipe
from pipeline.build import select, write
from pipeline.build.build import build
from pipeline.build.claims import seal
from pipeline.build.request import BuildRequest
from pipeline.build.sources import readings, sources
from pipeline.inputs.listing import DataFolders
from tests.benchmarks.bench_stages import Cost, Timed, measured
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
STEPS = {
    "survey": readings,
    "inputs_of": select,
    "read_eligible": select,
    "describe": write,
    "seal": seal,
}
"""Functions of the builder, by the module that calls them, that go over documents, files or
slices."""
INGEST_SECONDS = 50e9 * 4.6 / 23.1e6
"""CPU seconds in which 50 billion tokens are ingested (docs/benchmarks.md: 23.1 MB of text a CPU
second in a whole build)."""
WORKERS = 64
AGAIN = {"flan": ("dclm", 0.01), "wiki": ("dclm", 0.01)}
"""Sources that have documents of another."""


def make(folder: Path, scale: float) -> Path:
    """Write files, definitions and recipes. Returns the recipe of the mix."""
    for name, (documents, mean_tokens, _) in SOURCES.items():
        write_files(folder / "data" / name, name, max(int(documents * scale), 1), mean_tokens)
        definition = {"name": name, "format": "jsonl", "adapter": "text", "licence": "none"}
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


@contextmanager
def timed_steps(costs: dict[str, Cost]) -> Iterator[None]:
    """Note what steps of the builder itself take while the body runs."""
    real = {name: getattr(module, name) for name, module in STEPS.items()}

    def timed(name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            results: list[Any] = []
            cost = measured(lambda: results.append(real[name](*arguments, **named)))
            before = costs.get(name, Cost(0, 0, 0))
            costs[name] = Cost(before.cpu + cost.cpu, before.wall + cost.wall, cost.peak)
            return results[0]

        return step

    for name, module in STEPS.items():
        setattr(module, name, timed(name))
    try:
        yield
    finally:
        for name, module in STEPS.items():
            setattr(module, name, real[name])


def run(folder: Path, scale: float, workers: int, tokenizer: Path) -> tuple[int, dict[str, Cost]]:
    """Documents of the mix, and what each stage took; what ingest took says nothing."""
    recipe, executor = load_recipe(str(make(folder, scale))), Timed(workers=workers)
    request = BuildRequest(recipe, folder / "mix", folder / "store", executor=executor)
    request = replace(request, data=DataFolders(folder / "data"), tokenizer=tokenizer)
    steps: dict[str, Cost] = {}
    with made_reading(shared_tokens, AGAIN), known_supply(), timed_steps(steps):
        whole = measured(lambda: build(request))
    documents = int(json.loads((folder / "mix" / "manifest.json").read_bytes())["total_documents"])
    shared = executor.costs.values()
    alone = Cost(
        whole.cpu - sum(cost.cpu for cost in shared),
        whole.wall - sum(cost.wall for cost in shared),
        whole.peak,
    )
    executor.costs.pop("ingest")
    return documents, {**executor.costs, "alone": alone, **steps}


def main() -> None:
    """Build at each scale, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", type=float, nargs="+", default=[0.01, 0.02, 0.04])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    options = parser.parse_args()
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    found: list[tuple[float, int, dict[str, Cost]]] = []
    for scale in options.scales:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            documents, costs = run(Path(name), scale, options.workers, tokenizer)
            shutil.rmtree(Path(name) / "store")
        found.append((scale, documents, costs))
        rows = sum(documents for documents, _, _ in SOURCES.values())
        print(f"{scale:g}: {documents:,} documents of {int(rows * scale):,} rows", flush=True)
        for stage, cost in costs.items():
            print(
                f"  {stage:15}{cost.cpu:9.2f} CPU s{1e6 * cost.cpu / documents:7.2f} us a document"
                f"{cost.peak:8,.0f} MB",
                flush=True,
            )
    if len(found) > 1:
        (low, _, before), (high, _, after) = found[-2:]
        print("at 1.0, by the slope of the last two:")
        whole = {
            stage: cost.cpu + (cost.cpu - before[stage].cpu) / (high - low) * (1 - high)
            for stage, cost in after.items()
        }
        shared = INGEST_SECONDS + whole["select"] + whole["write"]
        ideal = shared / WORKERS + whole["alone"]
        for stage, seconds in whole.items():
            share = f"{100 * seconds / ideal:9.2f}%" if stage not in ("select", "write") else ""
            print(f"  {stage:15}{seconds:9.1f} CPU s{share}")
        print(f"  {WORKERS} workers and the builder, ideally: {ideal:,.0f} s")


if __name__ == "__main__":
    main()
