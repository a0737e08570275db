"""The threshold curve as an SVG file: recall, precision and share removed over the threshold, on a logit axis.

The axis spreads both ends, since published thresholds lie at 0.0105 as well as at 0.5. Written by hand: no plotting library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from pipeline.judges.classifiers.curve import Point
from pipeline.judges.classifiers.scores import MILLION

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 700, 44, 372
_TICKS = (100, 1_000, 10_000, 100_000, 500_000, 900_000, 990_000, 999_000, 999_900)
_LIMIT = 9.21  # logit of 0.9999
_LINES: tuple[tuple[str, str, Callable[[Point], int | None]], ...] = (
    ("recall", "#1b6ca8", lambda point: point.recall),
    ("precision", "#c2571a", lambda point: point.precision),
    ("removed", "#5b5b5b", lambda point: point.removal),
)


def curve_svg(points: Sequence[Point], chosen: Point, title: str) -> str:
    """The picture as text.

    Args:
        points: ascending by threshold. chosen: the picked threshold, marked. title: plain text.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _label(_LEFT, 22, title, "start", "#111111"),
        *_axes(),
        *_marks(points, chosen),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes() -> list[str]:
    parts = [f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="#111111"/>']
    for tick in _TICKS:
        parts.append(_label(_across(tick), _BOTTOM + 18, f"{tick / MILLION:g}", "middle", "#111111"))
        parts.append(f'<path d="M{_across(tick):.1f} {_TOP}V{_BOTTOM}" stroke="#e4e4e4"/>')
    for share in range(0, MILLION + 1, MILLION // 5):
        parts.append(_label(_LEFT - 8, _down(share) + 4, f"{share / MILLION:g}", "end", "#111111"))
    parts.append(_label((_LEFT + _RIGHT) / 2, _BOTTOM + 38, "threshold (flagged above)", "middle", "#111111"))
    return parts


def _marks(points: Sequence[Point], chosen: Point) -> list[str]:
    at = _across(chosen.threshold)
    parts = [f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}" stroke="#111111" stroke-dasharray="4 3"/>']
    for number, (name, colour, value) in enumerate(_LINES):
        places = [(_across(point.threshold), found) for point in points if (found := value(point)) is not None]
        line = " ".join(f"{across:.1f},{_down(found):.1f}" for across, found in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shown = value(chosen)
        text = f"{name} {'-' if shown is None else f'{shown / MILLION:.4f}'}"
        parts.append(_label(_RIGHT - 340 + 130 * number, _TOP - 8, text, "start", colour))
    return parts


def _across(threshold: int) -> float:
    share = min(max(threshold, 1), MILLION - 1) / MILLION
    logit = min(max(log(share / (1 - share)), -_LIMIT), _LIMIT)
    return _LEFT + (_RIGHT - _LEFT) * (logit + _LIMIT) / (2 * _LIMIT)


def _down(share: int) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * share / MILLION


def _label(across: float, down: float, text: str, anchor: str, colour: str) -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="{colour}">{plain}</text>'
