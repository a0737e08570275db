"""The charts of the page, each from a few plain rows, drawn by vega through altair and vl-convert.

Colours are variables of the page's style sheet, so that one picture serves light and dark. Text is
measured in a font that vl-convert brings along, so that a picture is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import vl_convert

from pipeline.commands.export.html.figures import Row
from pipeline.commands.export.html.svg import inline

_FONT = "Liberation Sans"
_WIDE, _NARROW = 630, 350  # pixels of the plot, without axes
_LABELS, _FIGURES = 180, 40  # pixels left of the plot for names, and for figures
_COUNT = (  # what is counted is whole
    "datum.value == 0 ? '0' : datum.value % 1 ? '' : format(datum.value, '~s')"
)
_PERCENT = "datum.value + '%'"


def shares(rows: Sequence[Row]) -> str:
    """Bars of each strand's share of the mix.

    Args:
        rows: {name, colour, realised, asked, published} in percent; the last two may be None.
    """
    chart = _over_rows()
    name = alt.Y("name:N", sort=None, title=None, axis=_names())
    axis = alt.X("realised:Q", title=None, axis=alt.Axis(tickCount=6, labelExpr=_PERCENT))
    bars = chart.mark_bar(height={"band": 0.6}).encode(y=name, x=axis, color=_colour())
    asked = chart.mark_tick(color="var(--ink)", thickness=2, height={"band": 0.9}).encode(
        y=name, x="asked:Q"
    )
    published = chart.mark_point(
        shape="diamond",
        size=70,
        filled=True,
        fill="var(--paper)",
        stroke="var(--ink)",
        strokeWidth=1.5,
        opacity=1,
    )
    return _draw(
        (bars + asked + published.encode(y=name, x="published:Q")).properties(
            width=_WIDE, height=alt.Step(30)
        ),
        rows,
        "shares",
        "Share of the mix's tokens of each source: realised, asked and published",
    )


def waterfall(rows: Sequence[Row]) -> str:
    """Bars that hang where the one above ended: what is taken away, step by step. rows: {name,
    colour, begin, end, label}, in order.
    """
    chart = _over_rows()
    name = alt.Y("name:N", sort=None, title=None, axis=_names())
    axis = alt.Axis(tickCount=5, labelExpr=_COUNT)
    bars = chart.mark_bar(height={"band": 0.66}).encode(
        y=name, x=alt.X("begin:Q", title=None, axis=axis), x2="end:Q", color=_colour()
    )
    text = chart.mark_text(align="left", dx=5, color="var(--ink)").encode(
        y=name, x="top:Q", text="label:N"
    )
    chart = bars + text.transform_calculate(top="max(datum.begin, datum.end)")
    return _draw(
        chart.properties(width=_WIDE - 60, height=alt.Step(27)),
        rows,
        "waterfall",
        "What became of the rows, step by step",
    )


def stacked(rows: Sequence[Row], name: str, title: str) -> str:
    """Bars of parts that add up to 100 percent. rows: {name, colour, share, order}; share in
    percent.
    """
    bars = (
        _over_rows()
        .mark_bar(height={"band": 0.66})
        .encode(
            y=alt.Y("name:N", sort=None, title=None, axis=_names()),
            x=alt.X(
                "share:Q",
                title=None,
                axis=alt.Axis(values=[0, 25, 50, 75, 100], labelExpr=_PERCENT),
                scale=alt.Scale(domain=[0, 100]),
            ),
            order="order:Q",
            color=_colour(),
        )
    )
    return _draw(bars.properties(width=_WIDE, height=alt.Step(27)), rows, name, title)


def composition(rows: Sequence[Row]) -> str:
    """What each prefix of the stream is made of. rows: {tokens, share, order, colour}; share in
    percent.
    """
    area = (
        _over_rows()
        .mark_area()
        .encode(
            x=_tokens("tokens:Q", "first tokens of the stream"),
            y=alt.Y(
                "share:Q",
                title=None,
                stack="zero",
                scale=alt.Scale(domain=[0, 100]),
                axis=_figures(5, _PERCENT),
            ),
            order="order:Q",
            color=_colour(),
        )
    )
    return _draw(
        area.properties(width=_WIDE + _LABELS - _FIGURES, height=190),
        rows,
        "composition",
        "Share of each source in the first tokens of the stream",
    )


def stray(
    rows: Sequence[Mapping[str, float]], colour: str, bound: int | None, name: str, title: str
) -> str:
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
    chart = _over_rows()
    area = chart.mark_area(
        color=colour, stroke=colour, strokeWidth=1, interpolate="step-after"
    ).encode(x=_tokens("tokens:Q", None), y=y, y2="highest:Q")
    layers = [area, _rule(0, "var(--ink)", [])]
    layers += [_rule(side, "var(--warn)", [5, 3]) for side in (-bound, bound)] if bound else []
    return _draw(alt.layer(*layers).properties(width=_NARROW, height=110), rows, name, title)


def _rule(at: int, colour: str, dash: list[int]) -> alt.Chart:
    return (
        alt.Chart(alt.Data(values=[{"at": at}]))
        .mark_rule(color=colour, strokeDash=dash, strokeWidth=1)
        .encode(y="at:Q")
    )


def lengths(rows: Sequence[Row], longest: int, colour: str, name: str, title: str) -> str:
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
    return _draw((bars + line).properties(width=_NARROW, height=110), rows, name, title)


def scores(rows: Sequence[Row], threshold: float, name: str, title: str) -> str:
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
            color=_colour(),
        )
    )
    rule = (
        alt.Chart(alt.Data(values=[{"at": threshold}]))
        .mark_rule(color="var(--ink)", strokeDash=[5, 3], strokeWidth=1.5)
        .encode(x="at:Q")
    )
    return _draw(
        (bars + rule).properties(width=_WIDE + _LABELS - _FIGURES, height=200), rows, name, title
    )


def clusters(rows: Sequence[Row]) -> str:
    """Clusters by size. rows: {name, count, label}."""
    chart = _over_rows()
    name = alt.Y("name:N", sort=None, title=None, axis=_names())
    bars = chart.mark_bar(height={"band": 0.66}, color="var(--near)").encode(
        y=name, x=alt.X("count:Q", title=None, axis=alt.Axis(tickCount=5, labelExpr=_COUNT))
    )
    text = chart.mark_text(align="left", dx=5, color="var(--ink)").encode(
        y=name, x="count:Q", text="label:N"
    )
    return _draw(
        (bars + text).properties(width=_WIDE - 60, height=alt.Step(27)),
        rows,
        "clusters",
        "Clusters of near-duplicates by size",
    )


def _over_rows() -> alt.Chart:
    """A layer over the rows that `_draw` is given; altair would copy them at every step."""
    return alt.Chart(alt.NamedData("rows"))


def _names() -> alt.Axis:
    return alt.Axis(
        labelLimit=_LABELS,
        labelFontSize=12,
        minExtent=_LABELS,
        maxExtent=_LABELS,
        ticks=False,
        domain=False,
        labelPadding=8,
    )


def _figures(ticks: int, words: str) -> alt.Axis:
    """An axis at the left of a plot."""
    return alt.Axis(tickCount=ticks, labelExpr=words, minExtent=_FIGURES, maxExtent=_FIGURES)


def _tokens(field: str, title: str | None) -> alt.X:
    return alt.X(
        field,
        title=title,
        axis=alt.Axis(tickCount=5, labelExpr=_COUNT),
        scale=alt.Scale(nice=False),
    )


def _colour() -> alt.Color:
    return alt.Color("colour:N", scale=None)


def _draw(chart: alt.Chart | alt.LayerChart, rows: Sequence[Row], name: str, title: str) -> str:
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
    return inline(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), name, title)
