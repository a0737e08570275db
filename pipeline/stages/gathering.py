"""What a select stage reads of the store: columns of documents of some sources in a stretch of
keys, joined over all segments.

The columns `segment` and `token_file` count the plan's ledger segments and token files, as
`ledger_segments` and `token_files` list them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.keys import KeyRange
from pipeline.inputs.build_source import SelectedSegment, SelectedSource
from pipeline.store.columns import prefix, read_column

Arrays = dict[str, npt.NDArray[Any]]


def token_files(sources: Sequence[SelectedSource]) -> list[Path]:
    """All token files that a plan may read, in the order that the column `token_file` counts."""
    return [
        tokens.folder / f"{prefix(segment.segment)}tokens"
        for source in sources
        for segment in source.segments
        for tokens in segment.tokens
    ]


def ledger_segments(sources: Sequence[SelectedSource]) -> list[tuple[Path, int]]:
    """All ledger segments of a plan, (folder, segment), in the order that the column `segment`
    counts.
    """
    return [(segment.ledger, segment.segment) for source in sources for segment in source.segments]


_GATHERED = {
    "source": np.uint16,
    "order_key": np.uint64,
    "digest": np.uint64,
    "file_rank": np.uint32,
    "row": np.uint32,
    "segment": np.uint32,
    "ledger_row": np.uint32,
    "num_tokens": np.uint32,
    "offset": np.uint64,
    "token_file": np.uint32,
}


def gathered(
    sources: Sequence[SelectedSource], keys: KeyRange, domain: set[int], counts: Sequence[str]
) -> Arrays:
    """Columns of all documents of some sources in a key partition and in their source's key range.

    Args:
        domain: numbers of the sources. counts: columns that annotators wrote; number i becomes
            `count{i}`, 0 where nothing judges.
    """
    pieces = list(_pieces(sources, keys, domain, counts))
    gathered: Arrays = {}
    for name, dtype in {
        **_GATHERED,
        **{f"count{index}": np.uint32 for index in range(len(counts))},
    }.items():
        empty = np.empty((0, 2) if name == "digest" else 0, dtype)
        # what is joined is let go, so that all of it is held twice never
        gathered[name] = np.concatenate(
            [empty, *(piece.pop(name).astype(dtype, copy=False) for piece in pieces)]
        )
    return gathered


def _pieces(
    sources: Sequence[SelectedSource],
    partition: KeyRange,
    domain: set[int],
    counts: Sequence[str],
) -> Iterator[Arrays]:
    segments = token_file = 0
    for number, source in enumerate(sources):
        keys = source.keys.common(partition)
        for segment in source.segments:
            if number in domain and keys.width > 0:
                judged = keys.common(KeyRange(0, source.ceiling))
                piece = _piece(segment, keys, token_file) | _counts(segment, keys, judged, counts)
                documents = len(piece["order_key"])
                yield {
                    **piece,
                    "source": np.full(documents, number),
                    "segment": np.full(documents, segments),
                }
            segments += 1
            token_file += len(segment.tokens)


def _piece(segment: SelectedSegment, keys: KeyRange, first_token_file: int) -> Arrays:
    """One segment's documents in a key range; num_tokens is 0 where they are not tokenized.

    Copies: what is mapped holds a descriptor, and there may be more segments than those.
    """
    folder, head = segment.ledger, prefix(segment.segment)
    ledger_keys = read_column(folder, "order_key", head)
    rows = keys.rows(ledger_keys)
    num_tokens, offset, token_file = (
        np.zeros(rows.stop - rows.start, dtype) for dtype in (np.uint32, np.uint64, np.uint32)
    )
    for index, tokens in enumerate(segment.tokens):
        here, there = common_rows(ledger_keys, keys, tokens.keys)
        num_tokens[here] = read_column(tokens.folder, "num_tokens", head)[there]
        offset[here] = read_column(tokens.folder, "offset", head)[there]
        token_file[here] = first_token_file + index
    ranks = np.asarray(segment.file_ranks, np.uint32)
    return {
        "order_key": np.array(ledger_keys[rows]),
        "digest": np.array(read_column(folder, "digest", head)[rows]),
        "file_rank": ranks[read_column(folder, "file", head)[rows]],
        "row": np.array(read_column(folder, "row", head)[rows]),
        "ledger_row": np.arange(rows.start, rows.stop),
        "num_tokens": num_tokens,
        "offset": offset,
        "token_file": token_file,
    }


def common_rows(
    ledger_keys: npt.NDArray[np.uint64], keys: KeyRange, stored: KeyRange
) -> tuple[slice, slice]:
    """Rows that a folder of the key range `stored` gives to those of `keys`: counted from the first
    of `keys`, and of the folder. ledger_keys: uint64 [num_docs], ascending.
    """
    rows, there = keys.rows(ledger_keys), stored.rows(ledger_keys)
    begin = max(rows.start, there.start)
    end = max(min(rows.stop, there.stop), begin)
    return (
        slice(begin - rows.start, end - rows.start),
        slice(begin - there.start, end - there.start),
    )


def _counts(
    segment: SelectedSegment, keys: KeyRange, judged: KeyRange, counts: Sequence[str]
) -> Arrays:
    """What annotators counted in one segment's documents of a key range; all of `judged` must be
    counted where something judges.
    """
    head = prefix(segment.segment)
    ledger_keys = read_column(segment.ledger, "order_key", head)
    rows = keys.rows(ledger_keys)
    columns = {}
    for index, name in enumerate(counts):
        column = np.zeros(rows.stop - rows.start, np.uint32)
        counted = segment.counts[index] if segment.counts else ()
        for item in counted:
            here, there = common_rows(ledger_keys, keys, item.keys)
            column[here] = read_column(item.folder, name, head)[there]
        if segment.counts and judged.minus(item.keys for item in counted):
            raise ManifestError(
                f"{segment.ledger}: documents that are to be judged have no {name}; delete its"
                " group and build again"
            )
        columns[f"count{index}"] = column
    return columns
