"""What the builder does alone in the two large builds, at their real numbers of files, groups,
segments, key partitions and slices.

    python -m tests.benchmarks.bench_serial [annealing-50b pretraining-500b] [--rounds 1]
        [--tasks 8] [--profile FILE] [--folder DIR]

Nothing is extrapolated: files have the published sizes (they are holes) and the numbers of
`SOURCES`, the index has its real size (a hole, too), and the builder does with them what it does
with any; but documents are few, and tokens are one for `SHRINK` real ones, in slices that are as
much smaller. Reading is made up. An empty store a build; tasks are done in this process, and what
they take is counted apart.

Prints for each step the CPU seconds of the builder (median of the rounds, and the range), and its
share of a build that `WORKERS` share ideally by what `plan` estimates; and what it takes a process
to begin with a stage. Nothing is asserted. Disk: some 2 GB of small files.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from zlib import crc32

import numpy as np
from blake3 import blake3

from mixtures.keys import digest_columns, order_keys, sort_order
from mixtures.plan.plan import make_plan
from mixtures.plan.source_plan import published_supplies
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size
from pipeline.build import build, select, write
from pipeline.build.claims import seal
from pipeline.build.output import output
from pipeline.build.request import BuildRequest
from pipeline.build.sources import readings, sources
from pipeline.executors import local
from pipeline.executors.stage import Stage
from pipeline.inputs.listing import DataFolders
from pipeline.stages import ingest
from pipeline.stages.segments import Segment
from pipeline.stages.select import num_partitions
from pipeline.stages.write import CHUNK_BYTES
from pipeline.store.records import file_hash
from pipeline.store.store import Store
from pipeline.store.trust import Trust

SHRINK = 1 << 16
"""Real tokens that one stands for."""
SHORTER = 20
"""Of how many tokens of a document it keeps one."""
TEXT_BYTES, PACKED = 4.3, 3
"""Of a token, and in a byte of a file."""
WORKERS = 64
DCLM = (27_838, 750_300_000_000, 1_220)
SOURCES: dict[str, dict[str, tuple[tuple[int, int, int], str]]] = {
    # files, tokens, mean tokens of a document; recipe. DCLM has as many files as the data set that
    # it was made from, dolmino's sources as many as the hub lists.
    "pretraining-500b": {"dclm": (DCLM, "weight: 100, keys: [0, 0.8]")},
    "annealing-50b": {
        "camel-biology": ((1, 10_000_000, 500), "weight: 0.02, keys: [0, 0.99]"),
        "camel-chemistry": ((1, 10_000_000, 500), "weight: 0.02, keys: [0, 0.99]"),
        "camel-physics": ((1, 10_000_000, 500), "weight: 0.02, keys: [0, 0.99]"),
        "wiki": ((2, 3_680_000_000, 596), "weight: 7.37, keys: [0, 0.99]"),
        "stackexchange": ((26, 1_410_000_000, 569), "weight: 2.82, keys: [0, 0.99]"),
        "pes2o-abstracts": ((26, 8_260_000_000, 271), "weight: 22.90, keys: [0, 0.99]"),
        "pes2o-papers": ((26, 50_340_000_000, 6_100), "reserve: true, keys: [0, 0.99]"),
        "flan": ((209, 16_864_000_000, 294), "weight: 16.87, keys: [0, 0.99]"),
        "dclm": (DCLM, "weight: 50.02, keys: [0.8, 0.99]"),
    },
}
REFILLED = {"pes2o-abstracts": "pes2o-papers", "flan": "", "dclm": "", "pes2o-papers": ""}
"""By whom a source's shortfall is made up, where it is not DCLM."""
DOCUMENTS = {"pretraining-500b": 409_935_486, "annealing-50b": 88_961_637}
TOKENS = {"pretraining-500b": 499_998_787_585, "annealing-50b": 50_000_300_033}
STEPS: dict[str, list[tuple[Any, str]]] = {
    "list files, hold them against the store": [
        (readings, "survey"),
        (readings, "refuse_shared_files"),
    ],
    "plan the ingest": [(readings, "ingest_units"), (readings.Readings, "_plan")],
    "what was read": [(readings, "report_rows"), (readings, "refuse_bad_rows")],
    "ceilings": [(readings, "set_first_ceilings")],
    "plan the selection": [(build, "select")],
    "hold the store against its records": [(Trust, "verify")],
    "quotas": [(select, "read_eligible"), (select, "_quotas")],
    "describe the mix": [(write, "describe"), (write, "_plan"), (write, "short_key")],
    "seal": [(seal, "seal"), (write, "note"), (output, "publish"), (write, "prepare_folder")],
    "freeze plans": [(local, "freeze")],
    "sweep the store": [(Store, "sweep")],
}


@dataclass
class Clock:
    """CPU seconds of this process by step; what a step calls that is one itself is not its own."""

    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _open: list[str] = field(default_factory=lambda: ["the rest"])
    _since: float = field(default_factory=time.process_time)

    @property
    def alone(self) -> float:
        """Of all steps that are the builder's own."""
        return sum(took for step, took in self.seconds.items() if not step.startswith("("))

    def _note(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the body as a step."""
        self._note()
        self._open.append(name)
        self.counts[name] = self.counts.get(name, 0) + 1
        try:
            yield
        finally:
            self._note()
            self._open.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function as a step."""

        def step(*arguments: Any, **named: Any) -> Any:
            with self.step(name):
                return function(*arguments, **named)

        return step


def make(folder: Path, recipe: str) -> Path:
    """Write files, definitions and recipes. Returns the recipe of the mix."""
    head = "name: {}\ntokenizer: gpt-neox-20b\nbudget: {{tokens: {}}}\nsources:\n"
    for name, (supply, _) in SOURCES[recipe].items():
        data = folder / "data" / name
        data.mkdir(parents=True, exist_ok=True)
        files, tokens, _ = supply
        for number in range(files):
            part = (
                data / f"global-shard_{number % 10:02d}_of_10" / f"local-shard_{number // 10 % 10}"
            )
            part.mkdir(parents=True, exist_ok=True)
            with (part / f"{number:08d}.jsonl").open("wb") as file:
                file.truncate(int(tokens * TEXT_BYTES / PACKED / files))
        definition = {"name": name, "format": "jsonl", "adapter": "text", "licence": "none"}
        (folder / f"{name}.yaml").write_text(json.dumps(definition))
    lines = [head.format(f"made-{recipe}", TOKENS[recipe] // SHRINK)]
    for name, (_, asked) in SOURCES[recipe].items():
        refill = REFILLED.get(name, "dclm") if len(SOURCES[recipe]) > 1 else ""
        more = f", shortfall: {{refill: {refill}}}" if refill else ""
        more += ", corpus: pes2o" if name.startswith("pes2o") else ""
        lines.append(f"  {name}: {{use: {name}.yaml, {asked}{more}}}\n")
    if recipe == "annealing-50b":
        excluded = head.format("made-pretraining", TOKENS["pretraining-500b"] // SHRINK)
        excluded += "  dclm: {use: dclm.yaml, weight: 100, keys: [0, 0.8]}\n"
        (folder / "pretraining.yaml").write_text(excluded)
        lines.append("exclude: [pretraining.yaml]\n")
    (folder / "mix.yaml").write_text("".join(lines))
    return folder / "mix.yaml"


def _read(self: Any) -> None:
    """In place of a group's reading: as many segments as its text fills, of few documents."""
    files, source = self.unit.files, self.definition.name
    mean = max(
        next(made[source][0][2] for made in SOURCES.values() if source in made) // SHORTER, 2
    )
    num_bytes = sum(file.size for file in files) * PACKED
    segments = max(round(num_bytes / self.unit.segment_bytes), 1)
    documents = max(int(num_bytes / TEXT_BYTES / SHRINK / mean), segments)
    draw = np.random.default_rng(crc32(files[0].path.encode()) ^ crc32(source.encode()))
    for number in range(segments):
        count = documents * (number + 1) // segments - documents * number // segments
        digests = digest_columns(draw.bytes(16 * count))
        num_tokens = draw.integers(2, 2 * mean - 1, count)
        keys, rows = order_keys(digests), np.arange(count, dtype=np.uint32)
        file_numbers = np.full(count, number % len(files), np.uint32)
        order = sort_order(keys, digests, file_numbers, rows)
        columns = {"order_key": keys, "digest": digests, "file": file_numbers, "row": rows}
        tokens = np.ones(4 * mean, np.uint16)
        tokens[-1] = 0
        segment = Segment(
            {name: values[order] for name, values in columns.items()},
            num_tokens[order],
            len(tokens) - num_tokens[order],
            tokens,
            order,
        )
        if self.new_ledger:
            segment.write_ledger(self.new_ledger.path, number)
        self.segments.append(count)
        for planned, writer, written in zip(
            self.ranges, self.token_folders, self.token_segments, strict=True
        ):
            written.append(segment.write_tokens(writer.path, number, planned))
        self.counts.update(rows=count, documents=count)
    self.inputs += [replace(file, sha256=sha256(file.path.encode()).hexdigest()) for file in files]


def _probe(definition: Any, quality: Any, files: Sequence[Any], size: Any) -> Any:
    tokens = int(sum(file.size for file in files) * PACKED / TEXT_BYTES / SHRINK)
    return SimpleNamespace(supply=lambda tokenizer: SimpleNamespace(tokens=tokens))


def run(folder: Path, recipe: str, tasks: int, tokenizer: Path) -> Clock:
    """Build once. Returns what each step took; those in brackets are none of the builder's own."""
    for made in ("store", "mix"):
        shutil.rmtree(folder / made, ignore_errors=True)
    request = BuildRequest(
        load_recipe(str(folder / "mix.yaml")),
        folder / "mix",
        folder / "store",
        data=DataFolders(folder / "data"),
        tokenizer=tokenizer,
        executor=local.LocalExecutor(workers=1, tasks=tasks),
        chunk_bytes=CHUNK_BYTES // SHRINK,
    )
    clock = Clock()
    with ExitStack() as stack:

        def put(owner: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(owner, name, value))

        put(os, "fsync", lambda handle: None)  # a disk's time is no work of the processor
        put(ingest._GroupReading, "read", _read)
        put(sources, "take_probe", _probe)
        put(readings, "num_partitions", lambda count: num_partitions(count * SHRINK // SHORTER))
        for step, functions in STEPS.items():
            for owner, name in functions:
                put(owner, name, clock.timed(step, getattr(owner, name)))
        put(local.LocalTask, "__call__", clock.timed("(units)", local.LocalTask.__call__))
        for name, what in (("read_plan", "reads its plan"), ("_check", "checks what it reads")):
            step = f"(a process {what})"
            put(Stage, name, clock.timed(step, getattr(Stage, name)))
        with clock.step("the rest"):
            build.build(request)
    index = folder / "index"
    with index.open("wb") as file:
        file.truncate(20 * DOCUMENTS[recipe])
    with clock.step("seal"):
        file_hash(index, blake3.AUTO)
    print(counted(folder), flush=True)
    return clock


def counted(folder: Path) -> str:
    """How much of everything there was."""
    store = folder / "store"
    figures = {
        "files": len(list(folder.glob("data/*/*/*/*"))),
        "groups": len(list(store.glob("sources/*/*/ledger"))),
        "segments": len(list(store.glob("sources/*/*/ledger/*.order_key"))),
        "key partitions": len(list(store.glob("select/*/p*"))),
        "slices": len(list((folder / "mix").glob("documents.parquet/part-*"))),
    }
    return ", ".join(f"{count:,} {name}" for name, count in figures.items())


def main() -> None:
    """Build each recipe so many times, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", default=["annealing-50b", "pretraining-500b"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--profile", type=Path, help="write a profile of the last round there")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    options = parser.parse_args()
    tokenizer = options.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            make(Path(name), recipe)
            clocks = []
            for _ in range(options.rounds):
                profile = cProfile.Profile()
                if options.profile:
                    profile.enable()
                clocks.append(run(Path(name), recipe, options.tasks, tokenizer))
                profile.disable()
                if options.profile:
                    profile.dump_stats(options.profile)
        show(recipe, clocks)


def show(recipe: str, clocks: Sequence[Clock]) -> None:
    """Print what each step took, the median of the builds."""
    loaded = load_recipe(recipe)
    cost = make_plan(loaded, Size(), published_supplies(loaded)).resources
    alone = [clock.alone for clock in clocks]
    ideal = cost.core_seconds / WORKERS + statistics.median(alone)
    print(f"{recipe}: {cost.core_seconds:,} CPU s to share, ideally {ideal:,.0f} s")
    steps = {step: [clock.seconds[step] for clock in clocks] for step in clocks[0].seconds}
    for step, found in {**steps, "all that the builder does alone": alone}.items():
        middle = statistics.median(found)
        share = "" if step.startswith("(") else f"{100 * middle / ideal:6.2f}%"
        times = f"{clocks[0].counts[step]:,} times" if step in clocks[0].counts else ""
        spread = f"({min(found):.2f} to {max(found):.2f})"
        print(f"  {step:42}{middle:8.2f} CPU s {spread:16}{share} {times}")


if __name__ == "__main__":
    main()
