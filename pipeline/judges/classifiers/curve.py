"""What a threshold does to held-out documents: counts, precision, recall, F1, and the rule that
picks a threshold. Integers only, but for the picture.

A document is flagged if its score is GREATER than the threshold. Ratios are in millionths, to the
nearest, halves up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, RecipeError
from pipeline.judges.classifiers.scores import MILLION

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
        false_negatives, true_negatives = (
            int(np.searchsorted(scores, threshold, "right"))
            for scores in (self._positive, self._negative)
        )
        return Point(
            threshold,
            len(self._positive) - false_negatives,
            len(self._negative) - true_negatives,
            false_negatives,
            true_negatives,
        )

    def points(self) -> list[Point]:
        """The curve at 0 and at every distinct score, ascending; at most MAX_POINTS of them, evenly
        spaced by rank.
        """
        thresholds = np.unique(np.concatenate(([0], self._positive, self._negative)))
        if len(thresholds) > MAX_POINTS:
            ranks = np.arange(MAX_POINTS) * (len(thresholds) - 1) // (MAX_POINTS - 1)
            thresholds = thresholds[ranks]
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


_TICKS = (100, 1_000, 10_000, 100_000, 500_000, 900_000, 990_000, 999_000, 999_900)
_LIMIT = 9.21  # logit of 0.9999
_COLOURS = ("#1b6ca8", "#c2571a", "#5b5b5b")


def curve_svg(points: Sequence[Point], chosen: Point, title: str) -> str:
    """A picture of recall, precision and share removed over the threshold, by altair and
    vl-convert, with fonts that the latter brings.

    The axis is in logits, which spread both ends: published thresholds lie at 0.0105 as well as at
    0.5.

    Args:
        points: ascending by threshold. chosen: the picked threshold, marked. title: plain text.
    Raises:
        ImportError: the extra `report` is not installed.
    """
    import altair as alt
    import vl_convert

    names = [
        f"{name} {'-' if share is None else f'{share / MILLION:.4f}'}"
        for name, share in _shares(chosen).items()
    ]
    rows = [
        {"at": _logit(point.threshold), "share": share / MILLION, "name": name}
        for point in points
        for name, share in zip(names, _shares(point).values(), strict=True)
        if share is not None
    ]
    labels = {_logit(tick): f"{tick / MILLION:g}" for tick in _TICKS}
    near = (f"abs(datum.value - ({at!r})) < 0.01 ? '{label}'" for at, label in labels.items())
    x = alt.X(
        "at:Q",
        title="threshold (flagged above)",
        axis=alt.Axis(values=list(labels), labelExpr=" : ".join((*near, "''"))),
        scale=alt.Scale(domain=[-_LIMIT, _LIMIT], nice=False),
    )
    colour = alt.Color(
        "name:N",
        title=None,
        legend=alt.Legend(orient="top"),
        scale=alt.Scale(domain=names, range=_COLOURS),
    )
    share = alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1]))
    lines = alt.Chart(alt.NamedData("points")).mark_line().encode(x=x, y=share, color=colour)
    rule = alt.Chart(alt.NamedData("chosen")).mark_rule(strokeDash=[4, 3]).encode(x="at:Q")
    chart = (lines + rule).properties(width=644, height=328, title=title)
    chart = chart.configure(font="Liberation Sans", background="#ffffff")
    data = {"points": rows, "chosen": [{"at": _logit(chosen.threshold)}]}
    drawn = {**chart.to_dict(validate=False), "datasets": data}
    return str(vl_convert.vegalite_to_svg(drawn, allowed_base_urls=[]))


def _shares(point: Point) -> dict[str, int | None]:
    return {"recall": point.recall, "precision": point.precision, "removed": point.removal}


def _logit(threshold: int) -> float:
    share = min(max(threshold, 1), MILLION - 1) / MILLION
    return min(max(log(share / (1 - share)), -_LIMIT), _LIMIT)
