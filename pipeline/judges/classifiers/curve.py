"""What a threshold does to held-out documents: counts, precision, recall, F1, and the rule that
picks a threshold. Integers only.

A document is flagged if its score is GREATER than the threshold. Ratios are in millionths, to the
nearest, halves up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, RecipeError
from pipeline.judges.classifiers.scores import MILLION

DEFAULT_THRESHOLD = MILLION // 2
MAX_POINTS = 256


@dataclass(frozen=True)
class Point:
    """Held-out documents at one threshold (millionths)."""

    threshold: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> int | None:
        """Of the flagged documents, how many are positive; None if nothing is flagged."""
        return _millionths(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> int | None:
        """Of the positive documents, how many are flagged."""
        return _millionths(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> int | None:
        """Harmonic mean of precision and recall."""
        return _millionths(
            2 * self.true_positives,
            2 * self.true_positives + self.false_positives + self.false_negatives,
        )

    @property
    def removal(self) -> int | None:
        """Of all documents, how many are flagged."""
        flagged = self.true_positives + self.false_positives
        return _millionths(flagged, flagged + self.false_negatives + self.true_negatives)


class Curve:
    """Scores of held-out documents, ready to be cut at any threshold."""

    def __init__(self, scores: npt.NDArray[np.uint32], positive: npt.NDArray[np.bool_]) -> None:
        """Args: scores, millionths, and labels, both [num_docs]; both classes must be there."""
        self._positive = np.sort(scores[positive].astype(np.int64))
        self._negative = np.sort(scores[~positive].astype(np.int64))
        if not len(self._positive) or not len(self._negative):
            raise InputError(
                f"held-out documents: {len(self._positive):,} positive, {len(self._negative):,}"
                " negative; both are needed to measure: label more documents, or hold out a larger"
                " share"
            )

    def at(self, threshold: int) -> Point:
        """Counts at a threshold."""
        true_positives = len(self._positive) - int(
            np.searchsorted(self._positive, threshold, "right")
        )
        false_positives = len(self._negative) - int(
            np.searchsorted(self._negative, threshold, "right")
        )
        return Point(
            threshold,
            true_positives,
            false_positives,
            len(self._positive) - true_positives,
            len(self._negative) - false_positives,
        )

    def points(self) -> list[Point]:
        """The curve at 0 and at every distinct score, ascending; at most MAX_POINTS of them, evenly
        spaced by rank.
        """
        thresholds = np.unique(
            np.concatenate((np.zeros(1, np.int64), self._positive, self._negative))
        )
        if len(thresholds) > MAX_POINTS:
            thresholds = thresholds[
                np.arange(MAX_POINTS) * (len(thresholds) - 1) // (MAX_POINTS - 1)
            ]
        return [self.at(int(threshold)) for threshold in thresholds]

    def for_recall(self, wanted: Fraction) -> int:
        """The largest threshold at which at least the wanted share of the positive documents is
        flagged.

        Raises:
            RecipeError: the share is not above 0 and at most 1.
            InputError: it would have to flag documents of score 0.
        """
        if not 0 < wanted <= 1:
            raise RecipeError(f"recall {wanted} asked; it is above 0 and at most 1")
        needed = -(-wanted.numerator * len(self._positive) // wanted.denominator)
        threshold = int(self._positive[-needed]) - 1
        if threshold < 0:
            raise InputError(
                f"recall {wanted} asked: {needed:,} positive documents include some of score 0;"
                " label more, or ask for less"
            )
        return threshold

    def for_removal(self, wanted: Fraction) -> int:
        """The smallest threshold at which at most the wanted share of all documents is flagged.

        Raises:
            RecipeError: the share is not from 0 to below 1.
        """
        if not 0 <= wanted < 1:
            raise RecipeError(f"removal rate {wanted} asked; it is at least 0 and below 1")
        everything = np.sort(np.concatenate((self._positive, self._negative)))
        allowed = wanted.numerator * len(everything) // wanted.denominator
        return int(everything[-1 - allowed])


def _millionths(part: int, whole: int) -> int | None:
    return (2 * part * MILLION + whole) // (2 * whole) if whole else None


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
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
            ' font-family="sans-serif" font-size="12">'
        ),
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
        parts.append(
            _label(_across(tick), _BOTTOM + 18, f"{tick / MILLION:g}", "middle", "#111111")
        )
        parts.append(f'<path d="M{_across(tick):.1f} {_TOP}V{_BOTTOM}" stroke="#e4e4e4"/>')
    for share in range(0, MILLION + 1, MILLION // 5):
        parts.append(_label(_LEFT - 8, _down(share) + 4, f"{share / MILLION:g}", "end", "#111111"))
    parts.append(
        _label((_LEFT + _RIGHT) / 2, _BOTTOM + 38, "threshold (flagged above)", "middle", "#111111")
    )
    return parts


def _marks(points: Sequence[Point], chosen: Point) -> list[str]:
    at = _across(chosen.threshold)
    parts = [f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}" stroke="#111111" stroke-dasharray="4 3"/>']
    for number, (name, colour, value) in enumerate(_LINES):
        places = [
            (_across(point.threshold), found)
            for point in points
            if (found := value(point)) is not None
        ]
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
    return (
        f'<text x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}"'
        f' fill="{colour}">{plain}</text>'
    )
