"""The figures of the page that lie along an axis: the stream, lengths of documents, scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixtures.audit.portrait import Portrait
from mixtures.mix.claims import Claims
from mixtures.mix.judged.filters import FilterClaim
from mixtures.stream.placebo import next_class
from mixtures.words import share_text
from pipeline import report
from pipeline.commands.build.report import cut_text
from pipeline.commands.page.axes import histogram_rows, length_edges, mean_text
from pipeline.commands.page.elements import Row, Table
from pipeline.report import Column, count


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


_STRAY_COLUMNS = (
    Column("source", "label"),
    Column("strays at most, tokens", lambda source: source.deviation.measured_tokens, count),
    Column("proven bound, tokens", lambda source: source.deviation.bound_tokens, count),
    Column(
        "of the bound", "deviation", lambda far: share_text(far.measured_tokens, far.bound_tokens)
    ),
    Column("longest document, tokens", "longest_tokens", count),
)


def stray_table(claims: Claims) -> Table:
    """Measured distance of each strand from its share, and the proven bound."""
    return Table.of(report.Table(claims.sources, _STRAY_COLUMNS))


def length_rows(portrait: Portrait, number: int) -> list[Row]:
    """Rows of a strand's histogram: percent of its documents, and of its tokens, by length; two
    bars for each doubling.
    """
    lengths = portrait.lengths[number]
    edges = length_edges(lengths.longest)
    documents, tokens = lengths.histogram(edges)
    return histogram_rows(edges.tolist(), documents.tolist(), tokens.tolist())


def removed_rows(item: FilterClaim, donors: Mapping[str, int]) -> list[Row]:
    """Rows of a filter's histogram, in percent of its documents by length: as bars (`documents`)
    what it removed, as a line (`tokens`, 0 without one) who stands in its place in an aligned arm,
    or what it imitates.

    donors: those by length, as `Lengths`; none of another mix.
    """
    bars = {int(least): number for least, number in item.lengths.items()}
    other = donors or (item.matched.lengths if item.matched else {})
    line = {int(least): number for least, number in other.items()}
    if not bars and not line:
        return []
    edges = [min([*bars, *line])]
    while edges[-1] <= max([*bars, *line]):
        edges.append(next_class(edges[-1]))
    counts = ([found.get(low, 0) for low in edges[:-1]] for found in (bars, line))
    return histogram_rows(edges, *counts)


_LENGTH_COLUMNS = (
    Column("source", lambda row: row[0].label),
    Column("documents", lambda row: row[1].documents, count),
    Column("median, tokens", lambda row: row[1].median, count),
    Column("mean, tokens", 1, mean_text),
    Column("longest, tokens", lambda row: row[1].longest or None, count),
    Column("last document cut to", lambda row: row[0].cut, cut_text),
)


def length_table(claims: Claims, portrait: Portrait) -> Table:
    """Median, mean and longest length of each strand, and its cut document."""
    rows = zip(claims.sources, portrait.lengths, strict=True)
    return Table.of(report.Table(rows, _LENGTH_COLUMNS))
