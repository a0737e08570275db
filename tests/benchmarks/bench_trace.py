"""How long `annealmix trace` takes on a mix of ten million documents, the start of the command
included.

    python -m tests.benchmarks.bench_trace FOLDER [documents]

The mix's files are made in FOLDER as a build writes them (tokens.bin is a hole: no question reads a
token of it), then each question is asked as a command of its own, five times; printed are the
smallest and the median of the seconds, and the mean of the CPU seconds, which a busy machine does
not stretch.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mixtures.mix import indexed
from mixtures.mix import manifest as manifests
from mixtures.mix.files import part_path
from mixtures.mix.tables import TABLES, to_arrow
from pipeline.stages.mix_folder import parquet_form

_EMPTY = ("recipe", "size", "removed", "contamination", "published", "revisions")
DOCUMENTS, SLICE_TOKENS, TIMES = 10_000_000, 8 * (64 << 20) // 2, 5
SOURCES = ("dclm", "flan", "pes2o", "wiki", "stackexchange")
FILES, ROWS = 400, 30_000


def make(folder: Path, documents: int) -> None:
    """Write the files of a mix of documents of 20 to 1,000 tokens."""
    draw = np.random.default_rng(1)
    num_tokens = draw.integers(20, 1001, documents)
    first_token = np.cumsum(num_tokens) - num_tokens
    total = int(num_tokens.sum())
    folder.mkdir(parents=True)
    for name, size in (("tokens.bin", 2 * total), ("tokens.idx", indexed.file_size(documents))):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    with (folder / "tokens.idx").open("r+b") as file:
        file.write(indexed.header(documents, "uint16"))
        for offset, content in indexed.pieces(documents, 0, 0, num_tokens, 2):
            file.seek(offset)
            file.write(content)
    for table in TABLES:
        (folder / f"{table}.parquet").mkdir()
    edges = np.searchsorted(first_token, np.arange(0, total + SLICE_TOKENS, SLICE_TOKENS))
    for part, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        count = high - low
        columns: dict[str, Any] = {
            "position": np.arange(low, high, dtype=np.uint64),
            "first_token": first_token[low:high].astype(np.uint64),
            "num_tokens": num_tokens[low:high].astype(np.uint32),
            "source": np.array(SOURCES, object)[draw.integers(0, len(SOURCES), count)],
            "digest": draw.integers(0, 256, (count, 16), np.uint8),
            "epoch": np.zeros(count, np.uint16),
            "copy": np.zeros(count, np.uint16),
            "cut": np.zeros(count, np.bool_),
            "file": np.array(
                [f"global/part-{number:05d}.jsonl.zst" for number in range(FILES)], object
            )[draw.integers(0, FILES, count)],
            "row": draw.integers(0, ROWS, count).astype(np.uint64),
        }
        for name, schema in TABLES.items():
            path = part_path(folder, name, part)
            pq.write_table(to_arrow(schema, columns), path, **parquet_form(schema.names))
    (folder / manifests.MANIFEST).write_bytes(manifests.dump(_manifest(documents, total)))


def _manifest(documents: int, total: int) -> manifests.Manifest:
    empty: manifests.Manifest = {name: {} for name in _EMPTY}
    source = {
        "copy": 0,
        "insert": False,
        "definition": "d",
        "licence": "CC0",
        "non_commercial": False,
        "keys": ["0", "1"],
        "cut": None,
    }
    figures = dict.fromkeys(
        (
            "asked_tokens",
            "resolved_tokens",
            "realised_tokens",
            "documents",
            "epochs",
            "longest_tokens",
        ),
        1,
    )
    layout = {
        "token_dtype": "uint16",
        "chunk_tokens": SLICE_TOKENS // 8,
        "slice_tokens": SLICE_TOKENS,
    }
    hashes = {
        "chunks": [],
        "documents_parts": [],
        "provenance_parts": [],
        **dict.fromkeys(("bin", "idx", "documents", "provenance"), "0" * 64),
    }
    tokenizer = {
        "name": "t",
        "digest": "",
        "eod": "<eod>",
        "eod_id": 0,
        "bos": None,
        "bos_id": None,
    }
    tokenizer |= {"vocab_size": 9, "special_tokens": "text"}
    deviation = {"bound_tokens": 1, "measured_tokens": 1}
    files = [
        {"path": f"global/part-{number:05d}.jsonl.zst", "size": 1, "sha256": "0" * 64}
        for number in range(FILES)
    ]
    return manifests.sealed(
        {
            **empty,
            "format": manifests.MANIFEST_FORMAT,
            "name": "bench",
            "recipe_digest": "",
            "layout": layout,
            "tokenizer": tokenizer,
            "tokenizer_origin": None,
            "total_tokens": total,
            "total_documents": documents,
            "eod_tokens": documents,
            "bos_tokens": 0,
            "sources": [
                {**source, **figures, "name": name, "refilled": {}, "deviation": deviation}
                for name in SOURCES
            ],
            "filters": [],
            "near": None,
            "excluded": [],
            "inputs": {"d": files},
            "hashes": hashes,
        }
    )


def ask(folder: Path, *words: str) -> tuple[dict[str, Any], list[float]]:
    """Give a command several times. Returns its answer and the seconds of each."""
    command = [sys.executable, "-m", "annealmix", "trace", str(folder), *words, "--json"]
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        ended = subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begun)
    return json.loads(ended.stdout), seconds


def main() -> None:
    """Make the mix where it is not there yet, and ask."""
    folder, documents = (
        Path(sys.argv[1]) / "mix",
        (int(sys.argv[2]) if len(sys.argv) > 2 else DOCUMENTS),
    )
    if not folder.exists():
        make(folder, documents)
    total = manifests.load(folder)["total_tokens"]
    (place,) = ask(folder, "--position", str(documents // 2))[0]["places"]
    questions = {
        "first token": ("--token", "0"),
        "last token": ("--token", str(total - 1)),
        "position": ("--position", str(documents // 3)),
        "digest": ("--digest", place["digest"]),
        "file and row": (
            "--source",
            place["source"],
            "--file",
            place["file"],
            "--row",
            str(place["row"]),
        ),
        "sample of a step": ("--step", "700", "--sample", "5", "--trainer", "neox"),
        "step": ("--step", "700", "--trainer", "neox"),
        "500 steps": ("--checkpoint", "1000", "--interval", "500", "--trainer", "neox"),
    }
    for name, words in questions.items():
        before = _cpu_seconds()
        answer, seconds = ask(folder, *words)
        cpu = (_cpu_seconds() - before) / TIMES
        found = (
            f"{answer['documents'] if 'documents' in answer else len(answer['places']):,} of"
            f" {documents:,} documents"
        )
        print(
            f"{name:16s} {min(seconds):.3f} {statistics.median(seconds):.3f} s, CPU {cpu:.3f} s,"
            f" {found}"
        )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
