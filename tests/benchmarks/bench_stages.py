"""What selecting, writing, sealing and auditing take beside `cp` of the same tokens.

    python tests/benchmarks/bench_stages.py [FOLDER] [--documents 2300000] [--mean-tokens 560]
        [--workers 1] [--rounds 1] [--shared ../shared]

FOLDER (else a temporary one) gets a token store of made-up documents: random digests, lengths and
ids of four sources, of which the last has some of the first's documents again. Reading is not what
is measured, so the store is written by the real ingest in which that alone is replaced: a file of
one line stands for up to PER_FILE documents. All else is the real build and the real audit.

Each round builds the mix from the store with nothing selected, and prints CPU seconds (children
included), seconds of wall, and the memory of the largest process so far: of the stages `select` and
`write`, of the whole build in this process, of the command `annealmix audit`, and of `cp
tokens.bin`. Nothing is asserted: machines are noisy; trust the ratios.
"""

from __future__ import annotations

import argparse
import json
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

import numpy as np
import numpy.typing as npt

from mixtures.keys import digest_columns, order_keys, sort_order
from mixtures.recipe.load import load_recipe
from pipeline.build.build import BuildRequest, build
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.readers import DocumentReader
from pipeline.stages import ingest
from pipeline.stages.segments import Segment

PER_FILE, FILES_OF = 250_000, {"a": 6, "b": 2, "c": 1, "d": 1}  # shares of the documents
SHARED = 0.02  # of the last source's documents, that are the first's
VOCABULARY = 50_277
EOD = 0


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
        self.costs[stage.name] = cost


def drawn_digests(source: str, number: int, documents: int) -> npt.NDArray[np.uint64]:
    """Digests of a file's documents, uint64 [num_docs, 2]; some of the last source's are those of
    the first.
    """
    draw = np.random.default_rng([ord(source[0]), number])
    digests = digest_columns(draw.bytes(16 * documents))
    if source == "d":
        shared = int(SHARED * documents)
        digests[:shared] = drawn_digests("a", 0, documents)[:shared]
    return digests


def _read(self: Any, mean_tokens: int) -> None:
    """In place of a group's reading: a segment a file."""
    for index, file in enumerate(self.unit.files):
        source, number, documents = json.loads(Path(file.url).read_text())["text"].split()
        count = int(documents)
        digests = drawn_digests(source, int(number), count)
        draw = np.random.default_rng([1, ord(source[0]), int(number)])
        lengths = np.clip(draw.lognormal(np.log(mean_tokens) - 0.5, 1.0, count), 2, 100_000)
        num_tokens: npt.NDArray[np.int64] = lengths.astype(np.int64)
        ends: npt.NDArray[np.int64] = np.cumsum(num_tokens)
        tokens = draw.integers(1, VOCABULARY, int(ends[-1]), np.uint16)
        tokens[ends - 1] = EOD
        keys = order_keys(digests)
        files, rows = np.full(count, index, np.uint32), np.arange(count, dtype=np.uint32)
        order = sort_order(keys, digests, files, rows)
        columns: dict[str, npt.NDArray[Any]] = {
            "order_key": keys,
            "digest": digests,
            "file": files,
            "row": rows,
        }
        segment = Segment(
            {name: values[order] for name, values in columns.items()},
            num_tokens[order],
            (ends - num_tokens)[order],
            tokens,
            order,
        )
        segment_number = len(self.segments)
        segment.write_ledger(self.new_ledger.path, segment_number)
        self.segments.append(count)
        for planned, writer, written in zip(
            self.ranges, self.token_folders, self.token_segments, strict=True
        ):
            written.append(segment.write_tokens(writer.path, segment_number, planned))
        reader = DocumentReader(file, self.definition, quality=self.quality)
        list(reader)
        self.inputs.append(replace(file, size=reader.size, sha256=reader.sha256))
        self.counts.update(rows=count, documents=count)


def make(folder: Path, documents: int, mean_tokens: int, tokenizer: Path) -> None:
    """Write the files that stand for the sources, the recipe, and the store."""
    per_file = min(PER_FILE, documents // sum(FILES_OF.values()))
    files = documents / per_file / sum(FILES_OF.values())
    for source, share in FILES_OF.items():
        (folder / "data" / source).mkdir(parents=True)
        for number in range(max(round(share * files), 1)):
            line = json.dumps({"text": f"{source} {number} {per_file}"})
            (folder / "data" / source / f"{number:04d}.jsonl").write_text(line + "\n")
    sources = "".join(
        f"  {name}: {{data: data/{name}, text: text, all: true}}\n" for name in "abcd"
    )
    recipe = f"name: bench\ntokenizer: gpt-neox-20b\nsources:\n{sources}"
    (folder / "bench.yaml").write_text(recipe)
    real = ingest._GroupReading.read
    ingest._GroupReading.read = lambda self: _read(self, mean_tokens)  # type: ignore[method-assign]
    try:
        request = _request(folder, folder / "first", LocalExecutor(workers=1))
        build(replace(request, tokenizer=tokenizer))
    finally:
        ingest._GroupReading.read = real  # type: ignore[method-assign]
    shutil.rmtree(folder / "first")


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
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "store").exists():
            tokenizer = args.shared.resolve() / "tokenizers" / "gpt-neox-20b.json"
            make(folder, args.documents, args.mean_tokens, tokenizer)
        for _ in range(args.rounds):
            measure(folder, args.workers)


def measure(folder: Path, workers: int) -> None:
    """Build, audit and copy once, and print what each took."""
    out, copy, executor = folder / "mix", folder / "copy.bin", Timed(workers=workers)
    for path in (out, folder / "store" / "select"):
        shutil.rmtree(path, ignore_errors=True)
    whole = measured(lambda: build(_request(folder, out, executor)))
    audit = [str(Path(sys.executable).with_name("annealmix")), "audit", str(out)]
    audited = measured(lambda: subprocess.run(audit, check=True, capture_output=True))
    copied = measured(lambda: subprocess.run(["cp", out / "tokens.bin", copy], check=True))
    copy.unlink()
    costs = {**executor.costs, "build": whole, "audit": audited, "cp": copied}
    print(f"{(out / 'tokens.bin').stat().st_size:,} bytes of tokens, {workers} workers")
    for name, cost in costs.items():
        print(f"{name:8}{cost.cpu:8.2f} CPU s{cost.wall:8.2f} s{cost.peak:8,.0f} MB")


if __name__ == "__main__":
    main()
