"""The figures of the page that lie along an axis: the stream, lengths of documents, scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixtures.audit.portrait import Portrait
from mixtures.mix.claims import Claims
from mixtures.mix.judged.filters import FilterClaim
from mixtures.stream.placebo import next_class
from pipeline.commands.build.report import cut_text
from pipeline.commands.export.html.figures import names
from pipeline.commands.page.axes import histogram_rows, length_edges
from pipeline.commands.page.elements import Row, Table, share_text
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
        used = share_text(measured, bound) if bound else "-"
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


def length_table(claims: Claims, portrait: Portrait) -> Table:
    """Median, mean and longest length of each strand, and its cut document."""
    rows = []
    for source, name, lengths in zip(claims.sources, names(claims), portrait.lengths, strict=True):
        mean = f"{lengths.tokens / lengths.documents:,.1f}" if lengths.documents else "-"
        longest = f"{lengths.longest:,}" if lengths.documents else "-"
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
