"""`annealmix plan --calibrate`: how fast this machine does what a build does, kept for later plans.

Each kernel does a few seconds' share of a stage on text that is made up. That is not the text of a
mix, so what counts is how a kernel compares with itself on the machine of the default rates: those,
which were measured on real text, are scaled by that.

    $ANNEALMIX_CACHE, else ~/.cache/annealmix
      calibration.json    {CPU model, cores, version of annealmix: {date, kernels: {kernel: work in
                          a CPU second of one core}}}
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from mixtures.errors import InputError
from mixtures.plan.cost import DEFAULT_RATES, Rates
from pipeline.places.places import default_cache

# Work in a CPU second of the machine of DEFAULT_RATES: bytes, but of `sort` keys.
REFERENCE = {
    "read": 76_000_000,
    "tokenize": 69_000_000,
    "blocklist": 71_000_000,
    "words": 107_000_000,
    "characters": 27_000_000,
    "sort": 2_900_000,
    "write": 625_000_000,
}
_KERNEL_OF = {"near": "sort", "select": "sort"}  # of a rate, where it has another name
TEXT_BYTES, SORTED_KEYS, WRITTEN_BYTES = 4_000_000, 1_000_000, 64 << 20
ROUNDS = 3  # the best counts: other work of the machine only ever adds


def calibration_file() -> Path:
    """Where calibrations are kept."""
    return default_cache() / "calibration.json"


def load_rates() -> Rates:
    """The rates of this machine, if it was calibrated, else the default ones.

    Raises:
        InputError: the file is damaged.
    """
    known = _known().get(_machine())
    return _rates(known) if known else DEFAULT_RATES


def calibrate() -> Rates:
    """Time the kernels, and keep the result. Takes some seconds; the first time on a machine some
    more, for compiling.
    """
    from pipeline.store.records import write_whole

    with tempfile.TemporaryDirectory(prefix="annealmix-calibration-") as folder:
        kernels = {name: _best(amount, kernel) for name, amount, kernel in _kernels(Path(folder))}
    calibration = {"date": datetime.now(timezone.utc).date().isoformat(), "kernels": kernels}
    file = calibration_file()
    try:
        known = _known()
    except InputError:  # it is written anew
        known = {}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        file, json.dumps({**known, _machine(): calibration}, indent=1, sort_keys=True).encode()
    )
    return _rates(calibration)


def _known() -> dict[str, Any]:
    file = calibration_file()
    if not file.exists():
        return {}
    try:
        known = json.loads(file.read_bytes())
        for calibration in known.values():
            _rates(calibration)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{file}: not what `annealmix plan --calibrate` writes; calibrate again, or delete it"
        ) from None
    return dict(known)


def _rates(calibration: dict[str, Any]) -> Rates:
    kernels = {name: int(calibration["kernels"][name]) for name in REFERENCE}
    if min(kernels.values()) <= 0:
        raise ValueError("a rate is not above 0")
    basis = f"calibrated on this machine, {str(calibration['date'])[:10]}"
    scaled = {}
    for name in Rates.__dataclass_fields__.keys() - {"basis"}:
        kernel = _KERNEL_OF.get(name, name)
        rate = getattr(DEFAULT_RATES, name) * kernels[kernel] // REFERENCE[kernel]
        scaled[name] = max(rate, 1)
    return replace(DEFAULT_RATES, **scaled, basis=basis)


def _machine() -> str:
    """Names the machine: what another speed must be expected of."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
            model,
        )
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, annealmix {version('annealmix')}"


def _best(amount: int, kernel: Callable[[], object]) -> int:
    """Work of a kernel in a CPU second."""
    kernel()  # compiles, loads, warms up
    seconds = []
    for _ in range(ROUNDS):
        began = process_time()
        kernel()
        seconds.append(process_time() - began)
    return max(int(amount / max(min(seconds), 1e-6)), 1)


def _kernels(folder: Path) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Name, amount of work and body of each kernel."""
    from blake3 import blake3

    from mixtures.keys import sort_order
    from mixtures.recipe.load import load_tokenizer_definition
    from mixtures.rules.filter_files import load_filter, load_terms
    from mixtures.rules.near import PRESETS
    from pipeline.judges.annotators.bands import signatures
    from pipeline.judges.annotators.blocklist import Blocklist
    from pipeline.judges.annotators.folding import Batch
    from pipeline.tokens.find import find_tokenizer
    from pipeline.tokens.tokenizer import Tokenizer

    texts = made_texts(TEXT_BYTES)
    file = folder / "texts.jsonl.gz"
    file.write_bytes(
        gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode(), 6)
    )
    yield "read", TEXT_BYTES, lambda: _read(folder)
    definition = load_tokenizer_definition("sample")
    tokenizer = Tokenizer(find_tokenizer(definition), definition)
    yield "tokenize", TEXT_BYTES, lambda: tokenizer.encode(texts)
    pinned = load_filter("control-lists")
    blocklist = Blocklist(
        load_terms(pinned.definition.blocklist, pinned.folder), pinned.definition.blocklist.mode
    )
    yield "blocklist", TEXT_BYTES, lambda: blocklist.count(texts)

    def sign(rule: str) -> None:
        signatures(Batch(texts), PRESETS[rule])

    for rule in ("words", "characters"):
        yield rule, TEXT_BYTES, partial(sign, rule)
    keys = np.random.default_rng(1).integers(0, 1 << 63, SORTED_KEYS, np.int64).astype(np.uint64)
    digests = np.stack([keys, keys], axis=1)
    yield "sort", SORTED_KEYS, lambda: digests[sort_order(keys, digests)]
    content = np.arange(WRITTEN_BYTES // 8, dtype=np.uint64)

    def write() -> None:
        content.tofile(folder / "tokens")
        blake3((folder / "tokens").read_bytes()).digest()

    yield "write", WRITTEN_BYTES, write


def _read(folder: Path) -> None:
    """Read the file as an ingest does that tokenizes nothing."""
    from mixtures.recipe.source_definition import SourceDefinition
    from pipeline.inputs.listing import list_files
    from pipeline.inputs.readers import DocumentReader
    from pipeline.judges.annotators.reading import SegmentAnnotations
    from pipeline.stages.segments import SegmentBuilder

    fields = {"name": "calibration", "format": "jsonl.gz", "adapter": "text", "licence": "none"}
    definition = SourceDefinition.model_validate(fields)
    builder = SegmentBuilder([], None, SegmentAnnotations([], []))
    for file in list_files(definition, folder):
        for row, text in DocumentReader(file, definition):
            builder.add(0, row, text)
    builder.finish()


def made_texts(num_bytes: int) -> list[str]:
    """Documents of 50 to 800 words, some of which are frequent and most rare; the same ones every
    time.
    """
    draw = np.random.default_rng(7)
    letters = draw.integers(97, 123, (20_000, 12), np.uint8)
    words = [
        row[:length].tobytes().decode()
        for row, length in zip(letters, draw.integers(1, 12, len(letters)), strict=True)
    ]
    texts, size = list[str](), 0
    while size < num_bytes:
        ranks = np.minimum(draw.zipf(1.3, int(draw.integers(50, 800))), len(words)) - 1
        texts.append(" ".join(words[rank] for rank in ranks))
        size += len(texts[-1]) + 1
    return texts
