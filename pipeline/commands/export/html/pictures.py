"""The charts of a mix: figures into pictures. Imports what the extra `report` brings."""

from __future__ import annotations

from collections.abc import Sequence

from mixtures.audit.portrait import Portrait
from mixtures.mix.claims import Claims
from pipeline.commands.export.html import curves, figures
from pipeline.commands.export.html.samples import Scores
from pipeline.commands.page import charts
from pipeline.commands.page.axes import length_edges, logit, score_rows
from pipeline.commands.page.elements import hue
from pipeline.report import printable


def pictures(claims: Claims, portrait: Portrait, scores: Sequence[Scores]) -> dict[str, object]:
    """Each chart as an element of the page, by its name in the template."""
    drawn = {
        number: (printable(claims.sources[number].label), f"var(--{hue(number)})")
        for number in figures.pictured(claims)
    }
    longest = int(length_edges(max(lengths.longest for lengths in portrait.lengths))[-1])
    donors = claims.arm.lengths if claims.arm else {}
    removed = [(item.label, curves.removed_rows(item, donors)) for item in claims.filters]
    return {
        "stray_charts": [
            charts.stray(
                curves.strays(portrait, number),
                colour,
                claims.sources[number].deviation.bound_tokens,
                f"stray{number}",
                f"Distance of {name} from its share, in tokens",
            )
            for number, (name, colour) in drawn.items()
        ],
        "length_charts": [
            charts.lengths(
                curves.length_rows(portrait, number),
                longest,
                colour,
                f"lengths{number}",
                f"Documents and tokens of {name} by length",
            )
            for number, (name, colour) in drawn.items()
        ],
        "removed_charts": [
            charts.lengths(
                rows,
                int(rows[-1]["high"]) if rows else 2,
                "var(--filter)",
                f"removed{number}",
                f"Documents that {printable(label)} removed, by length",
            )
            for number, (label, rows) in enumerate(removed)
        ],
        "score_charts": [
            charts.scores(
                score_rows(found.edges, found.removed, found.kept),
                logit(found.above),
                f"scores{number}",
                f"Scores that {printable(found.label)} gave, and its threshold",
            )
            for number, found in enumerate(scores)
        ],
    }
