"""A token store of made-up documents: random digests, lengths and ids, at any scale.

A file of one line stands for many documents. The store is written by the real ingest, in which
reading alone is replaced, so what comes after it is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from mixtures.keys import digest_columns, order_keys, sort_order
from pipeline.inputs.readers import DocumentReader
from pipeline.stages import ingest
from pipeline.stages.segments import Segment

PER_FILE = 250_000
VOCABULARY = 50_277
EOD = 0
LONGEST = 100_000

Int64s = npt.NDArray[np.int64]
TokensOf = Callable[[np.random.Generator, Int64s], tuple[npt.NDArray[np.uint16], Int64s]]
"""(generator, tokens of each document, int64 [num_docs]) -> ids, uint16 [num_ids], and where in
them each document begins, int64 [num_docs].
"""


def own_tokens(
    draw: np.random.Generator, num_tokens: Int64s
) -> tuple[npt.NDArray[np.uint16], Int64s]:
    """Random ids of each document's own, as `TokensOf`."""
    ends: Int64s = np.cumsum(num_tokens)
    tokens = draw.integers(1, VOCABULARY, int(ends[-1]), np.uint16)
    tokens[ends - 1] = EOD
    return tokens, ends - num_tokens


def shared_tokens(
    draw: np.random.Generator, num_tokens: Int64s
) -> tuple[npt.NDArray[np.uint16], Int64s]:
    """Ids that cost nothing, as `TokensOf`: each document is the end of one long one."""
    tokens = draw.integers(1, VOCABULARY, LONGEST, np.uint16)
    tokens[-1] = EOD
    return tokens, LONGEST - num_tokens


def write_files(folder: Path, source: str, documents: int, mean_tokens: int) -> None:
    """The files that stand for a source's documents."""
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, documents, PER_FILE)):
        count = min(PER_FILE, documents - first)
        line = json.dumps({"text": f"{source} {number} {count} {mean_tokens}"})
        (folder / f"{number:05d}.jsonl").write_text(line + "\n")


def said(file: Path) -> tuple[str, int, int, int]:
    """Source, number, documents and mean tokens of a document, of a file that stands for them."""
    source, *numbers = json.loads(file.read_text())["text"].split()
    number, count, mean_tokens = map(int, numbers)
    return source, number, count, mean_tokens


@contextmanager
def made_reading(tokens_of: TokensOf, shared: Mapping[str, tuple[str, float]]) -> Iterator[None]:
    """Files stand for documents while the body runs.

    Args:
        shared: by source, of which other one the first documents of each of its files are, and
            their share.
    """
    real = ingest._GroupReading.read

    def read(self: Any) -> None:
        _read(self, tokens_of, shared)

    ingest._GroupReading.read = read  # type: ignore[method-assign]
    try:
        yield
    finally:
        ingest._GroupReading.read = real  # type: ignore[method-assign]


def _digests(source: str, number: int, documents: int) -> npt.NDArray[np.uint64]:
    """Digests of a file's documents, uint64 [num_docs, 2]."""
    draw = np.random.default_rng([crc32(source.encode()), number])
    return digest_columns(draw.bytes(16 * documents))


def _read(self: Any, tokens_of: TokensOf, shared: Mapping[str, tuple[str, float]]) -> None:
    """In place of a group's reading: a segment a file."""
    for index, file in enumerate(self.unit.files):
        source, number, count, mean_tokens = said(Path(file.url))
        digests = _digests(source, number, count)
        other, share = shared.get(source, (source, 0.0))
        again = int(share * count)
        digests[:again] = _digests(other, 0, PER_FILE)[:again]
        draw = np.random.default_rng([1, crc32(source.encode()), number])
        lengths = np.clip(draw.lognormal(np.log(mean_tokens) - 0.5, 1.0, count), 2, LONGEST)
        num_tokens: Int64s = lengths.astype(np.int64)
        tokens, starts = tokens_of(draw, num_tokens)
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
            starts[order],
            tokens,
            order,
        )
        segment_number = len(self.segments)
        if self.new_ledger:
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
