"""Rows of charts along an axis: lengths of documents, scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mixtures.audit.portrait import Int64s, Lengths
from pipeline.commands.page.elements import Row, percent


def length_edges(longest: int) -> Int64s:
    """1, 2, 3, 4, 6, 8, 12, ... up to above a length.

    Returns: int64 [num_edges], tokens, ascending.
    """
    longest = max(longest, 1)
    edges = {1 << power for power in range(longest.bit_length() + 1)} | {
        3 << power for power in range(longest.bit_length() - 1)
    }
    return np.array(sorted(edges), np.int64)


def mean_text(lengths: Lengths) -> str:
    """The mean with one decimal; of no documents it is none."""
    return f"{lengths.tokens / lengths.documents:,.1f}" if lengths.documents else "-"


def histogram_rows(edges: Sequence[int], bars: Sequence[int], line: Sequence[int]) -> list[Row]:
    """Rows of a chart of lengths, both in percent of their sums: as bars (`documents`) and as a
    line over them (`tokens`, 0 without one).

    edges: [num_bars + 1]; bars, line: between two of them, [num_bars].
    """
    rows: list[Row] = [
        {
            "low": low,
            "high": high,
            "documents": percent(some, sum(bars)),
            "tokens": percent(many, sum(line)),
        }
        for (low, high), some, many in zip(pairwise(edges), bars, line, strict=True)
    ]
    # where the line comes down
    return [*rows, {"low": edges[-1], "high": edges[-1], "documents": 0, "tokens": 0}]


def score_rows(edges: Sequence[int], removed: Sequence[int], kept: Sequence[int]) -> list[Row]:
    """Rows of the chart of scores. edges: millionths; removed, kept: documents between two
    edges.
    """
    rows: list[Row] = []
    for low, high, gone, stays in zip(edges, edges[1:], removed, kept, strict=False):
        span = {"low": logit(low), "high": logit(high)}
        for begin, number, colour in ((0, stays, "kept"), (stays, gone, "filter")):
            if number:
                end = begin + number
                rows.append({**span, "begin": begin, "end": end, "colour": f"var(--{colour})"})
    return rows


def logit(millionths: int) -> float:
    """Where a score stands on a logit axis; 0 and 1 stand at its ends."""
    share = min(max(millionths, 100), 999_900) / 1_000_000
    return math.log(share / (1 - share))
