"""The charts of a mix that the template itself draws: bars and bands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mixtures.audit.portrait import Portrait
from mixtures.mix.claims import Claims
from mixtures.words import share_text
from pipeline.commands.build.report import FATES
from pipeline.commands.export.html.figures import (
    asked_tokens,
    asks,
    by_fate,
    published_of,
    waterfalls,
)
from pipeline.commands.page.elements import Bar, Part, hue, percent, visible_part

COMPOSITION_POINTS = 100


@dataclass(frozen=True)
class Band:
    """A strand of a stacked area. points: of a polygon, x and y in percent of the chart, y
    downwards.
    """

    colour: str
    points: str


def whole(claims: Claims) -> Bar:
    """The mix as one bar: each strand's share of its tokens."""
    total, begin, parts = claims.total_tokens, 0, []
    for number, source in enumerate(claims.sources):
        edges = percent(begin, total), percent(begin + source.realised_tokens, total)
        parts.append(Part(edges[0], round(edges[1] - edges[0], 5), hue(number)))
        begin += source.realised_tokens
    return Bar(claims.name, "100%", parts)


def shares(claims: Claims) -> list[Bar]:
    """Each strand's share of the mix, with what was asked and what is published of it; the largest
    of all reaches the end.
    """
    total, asked = claims.total_tokens, asked_tokens(claims)
    found = []
    for source in claims.sources:
        published = published_of(claims, source).percent or ""
        plain = re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", published, re.ASCII)
        wanted = percent(source.asked_tokens, asked) if asks(source) else None
        realised = percent(source.realised_tokens, total)
        found.append((realised, wanted, float(published) if plain else None))
    most = max(value for row in found for value in row if value is not None) or 1.0

    def placed(value: float | None) -> float | None:
        return None if value is None else round(min(100 * value / most, 100), 3)

    return [
        Bar(
            source.label,
            share_text(source.realised_tokens, total),
            [visible_part(0, 100 * realised / most, hue(number))],
            placed(wanted),
            placed(stated),
        )
        for number, (source, (realised, wanted, stated)) in enumerate(
            zip(claims.sources, found, strict=True)
        )
    ]


def waterfall(claims: Claims) -> list[Bar]:
    """What became of the rows of all sources: each bar hangs where the one above ended."""
    counted = list(map(by_fate, waterfalls(claims).values()))
    sums = {fate: sum(one[fate] for one in counted) for fate in FATES}
    rows = left = sum(sums.values())
    steps = [Bar("rows read", f"{rows:,}", [visible_part(0, 100 if rows else 0, "read")])]
    for fate, count in sums.items():
        if fate != "kept" and not count:
            continue
        left -= count if fate != "kept" else 0
        begin, label = (left, f"\N{MINUS SIGN}{count:,}") if fate != "kept" else (0, f"{count:,}")
        part = visible_part(percent(begin, rows), percent(count, rows), fate)
        steps.append(Bar(FATES[fate], label, [part]))
    return steps


def fates(claims: Claims) -> list[Bar]:
    """What became of the rows of each source, in percent of them."""
    bars = []
    for name, reasons in waterfalls(claims).items():
        total, begin, parts = reasons.get("rows", 0), 0, []
        for fate, count in by_fate(reasons).items():
            if count:
                parts.append(Part(percent(begin, total), percent(count, total), fate))
                begin += count
        bars.append(Bar(name, f"{total:,}", parts))
    return bars


def clusters(claims: Claims) -> list[Bar]:
    """Clusters of near-duplicates by how many documents they have."""
    if claims.near is None or not claims.near.sizes:
        return []
    sizes = sorted((int(low), count) for low, count in claims.near.sizes.items())
    most = max(count for _, count in sizes)
    return [
        Bar(
            f"{low:,}" + (f" to {2 * low - 1:,}" if low > 1 else "") + " documents",
            f"{count:,}",
            [visible_part(0, percent(count, most), "near")],
        )
        for low, count in sizes
    ]


def composition(portrait: Portrait) -> list[Band]:
    """Each strand's share of the first tokens of the stream, stacked from the bottom."""
    edges = portrait.edges
    chosen = range(4, len(edges), max(1, (len(edges) - 1) // COMPOSITION_POINTS))
    xs = [percent(int(edges[at]), int(edges[-1])) for at in chosen]
    lower = [0.0] * len(xs)
    bands = []
    for number, placed in enumerate(portrait.placed):
        upper = [
            base + percent(int(placed[at]), int(edges[at]))
            for base, at in zip(lower, chosen, strict=True)
        ]
        outline = [*zip(xs, upper, strict=True), *reversed([*zip(xs, lower, strict=True)])]
        bands.append(Band(hue(number), " ".join(f"{x:g},{100 - y:.2f}" for x, y in outline)))
        lower = upper
    return bands
