"""Which tokens of a masked mix are targets, as trainers read it: a byte a token for OLMo-core, and
for GPT-NeoX a second .bin of int32, the token's own id or -100, with an .idx of the same documents.
Unsigned 16 bits would make a valid id of -100.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.mix.claims import Claims
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.indexed import header, open_indexed, pieces
from mixtures.trainers.names import Trainer

Int64s = npt.NDArray[np.int64]
IGNORED = -100
BLOCK_TOKENS = 1 << 24


def write_labels(
    mix: Path, claims: Claims, trainer: Trainer, prefix: str, runs: tuple[Int64s, Int64s]
) -> None:
    """Write PREFIX.npy (olmo-core) or PREFIX.bin and PREFIX.idx (neox). runs: starts and lengths,
    int64 [num_runs] each.
    """
    starts, lengths = runs
    targets = _targets(claims.total_tokens, starts, starts + lengths)
    if trainer == "olmo-core":
        _write(Path(f"{prefix}.npy"), (block.view(np.uint8) for _, block in targets))
        return
    pair = open_indexed(mix / TOKENS, mix / INDEX)
    _write(
        Path(f"{prefix}.bin"),
        (
            np.where(block, pair.tokens[low : low + len(block)].astype(np.int32), IGNORED)
            for low, block in targets
        ),
    )
    index = bytearray(header(claims.total_documents, "int32"))
    for _, content in pieces(
        claims.total_documents, 0, 0, np.asarray(pair.sizes, np.int64), np.dtype("<i4").itemsize
    ):
        index += content
    _write(Path(f"{prefix}.idx"), iter([np.frombuffer(bytes(index), np.uint8)]))


def _targets(
    num_tokens: int, starts: Int64s, ends: Int64s
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Block by block, its first token and which of its tokens are targets, bool [num_of_block].
    starts, ends: int64 [num_runs], ascending.
    """
    for low in range(0, num_tokens, BLOCK_TOKENS):
        high = min(low + BLOCK_TOKENS, num_tokens)
        first, last = np.searchsorted(ends, low, "right"), np.searchsorted(starts, high)
        # +1 where a run begins, -1 behind where it ends; runs do not overlap
        edges = np.zeros(high - low + 1, np.int8)
        np.add.at(edges, np.maximum(starts[first:last], low) - low, 1)
        np.add.at(edges, np.minimum(ends[first:last], high) - low, -1)
        yield low, np.cumsum(edges[:-1]) == 0


def _write(path: Path, blocks: Iterator[npt.NDArray[Any]]) -> None:
    with path.open("xb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block).data.cast("B"))
        file.flush()
        os.fsync(file.fileno())
