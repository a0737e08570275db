"""The figures of the page that lie along an axis: the stream, lengths of documents, scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mixtures.audit.portrait import Int64s, Portrait
from mixtures.mix.claims import Claims
from mixtures.mix.judged import FilterClaim
from mixtures.stream.placebo import next_class
from pipeline.commands.build.report import cut_text
from pipeline.commands.export.html.figures import names
from pipeline.commands.page.elements import Row, Table, percent, share
from pipeline.report import count


def strays(portrait: Portrait, number: int) -> list[dict[str, float]]:
    """Rows of a strand's chart: how far it is from its share at least and at most within each
    stretch of the stream.
    """
    lowest, highest = (
        np.append(edges[number], edges[number, -1]) for edges in (portrait.lowest, portrait.highest)
    )
    return [
        {"tokens": int(begin), "lowest": round(float(low), 1), "highest": round(float(high), 1)}
        for begin, low, high in zip(portrait.edges, lowest, highest, strict=True)
    ]


def stray_table(claims: Claims) -> Table:
    """Measured distance of each strand from its share, and the proven bound."""
    rows = []
    for source, name in zip(claims.sources, names(claims), strict=True):
        measured, bound = source.deviation.measured_tokens, source.deviation.bound_tokens
        used = share(measured, bound) if bound else "-"
        rows.append([name, f"{measured:,}", count(bound), used, f"{source.longest_tokens:,}"])
    return Table(
        [
            "source",
            "strays at most, tokens",
            "proven bound, tokens",
            "of the bound",
            "longest document, tokens",
        ],
        rows,
    )


def length_rows(portrait: Portrait, number: int) -> list[dict[str, float]]:
    """Rows of a strand's histogram: percent of its documents, and of its tokens, by length; two
    bars for each doubling.
    """
    lengths = portrait.lengths[number]
    edges = length_edges(int(lengths.values[-1]) if len(lengths.values) else 1)
    documents, tokens = (counts.tolist() for counts in lengths.histogram(edges))
    rows = [
        {
            "low": low,
            "high": high,
            "documents": percent(some, lengths.documents),
            "tokens": percent(many, lengths.tokens),
        }
        for low, high, some, many in zip(
            edges.tolist(), edges[1:].tolist(), documents, tokens, strict=False
        )
    ]
    return [
        *rows,
        {"low": int(edges[-1]), "high": int(edges[-1]), "documents": 0, "tokens": 0},
    ]  # where the line comes down


def length_edges(longest: int) -> Int64s:
    """1, 2, 3, 4, 6, 8, 12, ... up to above a length: int64.

    Returns: int64 [num_edges], tokens, ascending.
    """
    edges = {1 << power for power in range(longest.bit_length() + 1)} | {
        3 << power for power in range(longest.bit_length() - 1)
    }
    return np.array(sorted(edges), np.int64)


def removed_rows(item: FilterClaim) -> list[dict[str, float]]:
    """Rows of a filter's histogram, in percent of its documents by length: as bars (`documents`)
    what it removed, as a line (`tokens`, 0 without one) what it imitates.
    """
    bars = {int(least): number for least, number in item.lengths.items()}
    imitated = item.matched.lengths if item.matched else {}
    line = {int(least): number for least, number in imitated.items()}
    if not bars and not line:
        return []
    edges = [min([*bars, *line])]
    while edges[-1] <= max([*bars, *line]):
        edges.append(next_class(edges[-1]))
    rows: list[dict[str, float]] = [
        {
            "low": low,
            "high": high,
            "documents": percent(bars.get(low, 0), sum(bars.values())),
            "tokens": percent(line.get(low, 0), sum(line.values())),
        }
        for low, high in pairwise(edges)
    ]
    return [*rows, {"low": edges[-1], "high": edges[-1], "documents": 0, "tokens": 0}]


def length_table(claims: Claims, portrait: Portrait) -> Table:
    """Median, mean and longest length of each strand, and its cut document."""
    rows = []
    for source, name, lengths in zip(claims.sources, names(claims), portrait.lengths, strict=True):
        mean = f"{lengths.tokens / lengths.documents:,.1f}" if lengths.documents else "-"
        longest = f"{int(lengths.values[-1]):,}" if lengths.documents else "-"
        rows.append(
            [
                name,
                f"{lengths.documents:,}",
                f"{lengths.median:,}",
                mean,
                longest,
                cut_text(source.cut),
            ]
        )
    return Table(
        [
            "source",
            "documents",
            "median, tokens",
            "mean, tokens",
            "longest, tokens",
            "last document cut to",
        ],
        rows,
    )


def score_rows(edges: Sequence[int], removed: Sequence[int], kept: Sequence[int]) -> list[Row]:
    """Rows of the chart of scores. edges: millionths; removed, kept: documents between two
    edges.
    """
    rows: list[Row] = []
    for low, high, gone, stays in zip(edges, edges[1:], removed, kept, strict=False):
        span = {"low": logit(low), "high": logit(high)}
        rows += [{**span, "begin": 0, "end": stays, "colour": "var(--kept)"}] if stays else []
        rows += (
            [{**span, "begin": stays, "end": stays + gone, "colour": "var(--filter)"}]
            if gone
            else []
        )
    return rows


def logit(millionths: int) -> float:
    """Where a score stands on a logit axis; 0 and 1 stand at its ends."""
    share = min(max(millionths, 100), 999_900) / 1_000_000
    return math.log(share / (1 - share))
