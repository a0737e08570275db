"""The charts of a page, each from a few plain rows, drawn by vega through altair and vl-convert.

Colours are variables of the page's style sheet, so that one picture serves light and dark. Text is
measured in a font that vl-convert brings along, so that a picture is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ContextDecorator

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from pipeline.commands.page.elements import Row
from pipeline.commands.page.svg import inline

_FONT = "Liberation Sans"
_WIDTH = 350  # pixels of a plot without axes: what a phone shows at its own size
_FIGURES = 40  # pixels left of the plot for figures
_COUNT = (  # what is counted is whole
    "datum.value == 0 ? '0' : datum.value % 1 ? '' : format(datum.value, '~s')"
)
_PERCENT = "datum.value + '%'"
# altair would hold each step against the schema of all charts, which is most of the time that a
# page takes
_unchecked: ContextDecorator = debug_mode(False)


@_unchecked
def stray(
    rows: Sequence[Mapping[str, float]], colour: str, bound: int | None, name: str, title: str
) -> Markup:
    """How far one strand is from its share along the stream: a band between the lowest and the
    highest, and the bound on both sides.

    Args:
        rows: {tokens, lowest, highest}, in tokens. bound: in tokens, None where none is proven.
    """
    most = max(
        [1.0, *([bound] if bound else []), *(max(-row["lowest"], row["highest"]) for row in rows)]
    )
    y = alt.Y(
        "lowest:Q",
        title=None,
        scale=alt.Scale(domain=[-1.08 * most, 1.08 * most], nice=False),
        axis=_figures(5, _COUNT),
    )
    x = alt.X(
        "tokens:Q",
        title=None,
        axis=alt.Axis(tickCount=5, labelExpr=_COUNT),
        scale=alt.Scale(nice=False),
    )
    chart = _over_rows()
    area = chart.mark_area(
        color=colour, stroke=colour, strokeWidth=1, interpolate="step-after"
    ).encode(x=x, y=y, y2="highest:Q")
    layers = [area, _rule(0, "var(--ink)", [])]
    layers += [_rule(side, "var(--warn)", [5, 3]) for side in (-bound, bound)] if bound else []
    return _draw(alt.layer(*layers).properties(width=_WIDTH, height=110), rows, name, title)


def _rule(at: int, colour: str, dash: list[int]) -> alt.Chart:
    return (
        alt.Chart(alt.Data(values=[{"at": at}]))
        .mark_rule(color=colour, strokeDash=dash, strokeWidth=1)
        .encode(y="at:Q")
    )


@_unchecked
def lengths(rows: Sequence[Row], longest: int, colour: str, name: str, title: str) -> Markup:
    """Lengths of one strand's documents. rows: {low, high, documents, tokens}: percent between low
    and high; longest: of all strands.
    """
    ticks = [10**power for power in range(math.ceil(math.log10(longest)) + 1)]
    x = alt.X(
        "low:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[1, longest], nice=False),
        axis=alt.Axis(values=ticks, labelExpr=_COUNT),
    )
    y = alt.Y("documents:Q", title=None, axis=_figures(4, _PERCENT))
    chart = _over_rows()
    bars = chart.mark_bar(color=colour, binSpacing=0).encode(x=x, x2="high:Q", y=y, y2=alt.datum(0))
    line = chart.mark_line(color="var(--ink)", strokeWidth=1.5, interpolate="step-after").encode(
        x=x, y="tokens:Q"
    )
    return _draw((bars + line).properties(width=_WIDTH, height=110), rows, name, title)


@_unchecked
def scores(rows: Sequence[Row], threshold: float, name: str, title: str) -> Markup:
    """Scores of escalated documents on a logit axis. rows: {low, high, begin, end, colour}: logits,
    documents; threshold: a logit.
    """
    labels = {
        math.log(share / (1 - share)): f"{share:g}"
        for share in (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
    }
    expression = (
        " : ".join(
            f"abs(datum.value - ({at!r})) < 0.01 ? '{label}'" for at, label in labels.items()
        )
        + " : ''"
    )
    x = alt.X(
        "low:Q",
        title="score",
        axis=alt.Axis(values=list(labels), labelExpr=expression),
        scale=alt.Scale(domain=[-9.3, 9.3], nice=False),
    )
    bars = (
        _over_rows()
        .mark_bar(binSpacing=0.5)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("begin:Q", title=None, axis=_figures(5, _COUNT)),
            y2="end:Q",
            color=alt.Color("colour:N", scale=None),
        )
    )
    rule = (
        alt.Chart(alt.Data(values=[{"at": threshold}]))
        .mark_rule(color="var(--ink)", strokeDash=[5, 3], strokeWidth=1.5)
        .encode(x="at:Q")
    )
    return _draw((bars + rule).properties(width=_WIDTH, height=160), rows, name, title)


def _over_rows() -> alt.Chart:
    """A layer over the rows that `_draw` is given; altair would copy them at every step."""
    return alt.Chart(alt.NamedData("rows"))


def _figures(ticks: int, words: str) -> alt.Axis:
    """An axis at the left of a plot."""
    return alt.Axis(tickCount=ticks, labelExpr=words, minExtent=_FIGURES, maxExtent=_FIGURES)


def _draw(chart: alt.Chart | alt.LayerChart, rows: Sequence[Row], name: str, title: str) -> Markup:
    """Draw a chart of some rows, which all its layers share but for rules, which have data of their
    own.
    """
    axis = {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelFont": _FONT,
        "titleFont": _FONT,
        "grid": True,
        "titlePadding": 8,
    }
    config = {
        "background": "transparent",
        "font": _FONT,
        "view": {"stroke": None},
        "axis": axis,
        "axisY": {"gridOpacity": 0.6},
        "axisYNominal": {},
        "text": {"fontSize": 12, "font": _FONT},
        "aria": False,
    }
    drawn = chart.to_dict(validate=False)
    data = {**drawn.get("datasets", {}), "rows": list(rows)}
    spec = {
        **drawn,
        "datasets": data,
        "config": config,
        "padding": {"left": 0, "top": 4, "right": 18, "bottom": 4},
    }
    return Markup(inline(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), name, title))
