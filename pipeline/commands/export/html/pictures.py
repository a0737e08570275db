"""The charts of a mix: figures into pictures. Imports what the extra `report` brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mixtures.audit.portrait import Portrait
from mixtures.mix.claims import Claims
from mixtures.mix.judged.filters import FilterClaim
from pipeline.commands.export.html import curves, figures
from pipeline.commands.export.html.samples import Scores
from pipeline.commands.page import charts
from pipeline.commands.page.axes import length_edges, logit, score_rows
from pipeline.commands.page.elements import hue
from pipeline.report import printable


def pictures(claims: Claims, portrait: Portrait, scores: Sequence[Scores]) -> dict[str, object]:
    """Each chart as an element of the page, by its name in the template."""
    longest = int(length_edges(max(lengths.longest for lengths in portrait.lengths))[-1])
    return {
        "stray_charts": [
            Markup(_stray(claims, portrait, number)) for number in figures.pictured(claims)
        ],
        "length_charts": [
            Markup(_lengths(claims, portrait, longest, number))
            for number in figures.pictured(claims)
        ],
        "removed_charts": [
            Markup(_removed(item, number, claims.arm.lengths if claims.arm else {}))
            for number, item in enumerate(claims.filters)
        ],
        "score_charts": [Markup(_scores(found, number)) for number, found in enumerate(scores)],
    }


def _stray(claims: Claims, portrait: Portrait, number: int) -> str:
    title = f"Distance of {figures.names(claims)[number]} from its share, in tokens"
    bound = claims.sources[number].deviation.bound_tokens
    return charts.stray(
        curves.strays(portrait, number),
        f"var(--{hue(number)})",
        bound,
        f"stray{number}",
        title,
    )


def _lengths(claims: Claims, portrait: Portrait, longest: int, number: int) -> str:
    title = f"Documents and tokens of {figures.names(claims)[number]} by length"
    return charts.lengths(
        curves.length_rows(portrait, number),
        longest,
        f"var(--{hue(number)})",
        f"lengths{number}",
        title,
    )


def _removed(item: FilterClaim, number: int, donors: Mapping[str, int]) -> str:
    rows = curves.removed_rows(item, donors)
    title = f"Documents that {printable(item.label)} removed, by length"
    longest = int(rows[-1]["high"]) if rows else 2
    return charts.lengths(rows, longest, "var(--filter)", f"removed{number}", title)


def _scores(found: Scores, number: int) -> str:
    rows = score_rows(found.edges, found.removed, found.kept)
    return charts.scores(
        rows,
        logit(found.above),
        f"scores{number}",
        f"Scores that {printable(found.label)} gave, and its threshold",
    )
