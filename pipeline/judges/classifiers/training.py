"""Train a linear filter from labelled documents: hold out a part, train on the rest, measure, pick
a threshold, write.

    weights.safetensors    the model, as `linear` reads it
    report.json            inputs, settings, counts, the picked threshold and the whole curve;
                           integers and text only
    curve.svg              recall, precision and share removed over the threshold; with the extra
                           `report` only, which draws it from the report

The same documents make the same weights, threshold and curve, in whatever order, files or copies
they come, on every machine. The weights are those that were measured: the held-out part is never
trained on afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, RecipeError
from mixtures.keys import key_bound
from mixtures.rules.levels import SCORED_LEVELS, ScoredLevel
from pipeline.judges.classifiers.curve import Curve, Point, curve_svg
from pipeline.judges.classifiers.labelled import LabelColumns, Labelled, held_out, read_labelled
from pipeline.judges.classifiers.linear import LinearClassifier
from pipeline.judges.classifiers.linear_training import LinearSettings, train_linear
from pipeline.judges.classifiers.scores import MILLION
from pipeline.store.records import write_whole

WEIGHTS, REPORT, PICTURE = "weights.safetensors", "report.json", "curve.svg"


@dataclass(frozen=True)
class Goal:
    """What a threshold is picked for: an exact share of held-out documents, or of scores."""

    kind: Literal["threshold", "recall", "removal"] = "threshold"
    """recall: the largest threshold that flags at least this share of the positive documents.
    removal: the smallest that flags at most this share of all. threshold: it is the threshold."""
    value: Decimal = Decimal("0.5")

    def threshold(self, curve: Curve) -> int:
        """The picked threshold, millionths."""
        if self.kind == "threshold":
            return int(self.value * MILLION)
        pick = curve.for_recall if self.kind == "recall" else curve.for_removal
        return pick(Fraction(self.value))

    @property
    def rule(self) -> str:
        """In words."""
        if self.kind == "threshold":
            return str(self.value)
        if self.kind == "recall":
            return f"largest threshold with recall >= {self.value}"
        return f"smallest threshold with removal <= {self.value}"

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(frozen=True)
class FittedLevel:
    """A level of a filter. chosen: the escalated held-out documents at its threshold."""

    name: ScoredLevel
    goal: Goal
    chosen: Point


@dataclass(frozen=True)
class LevelGoals:
    """What the levels of a filter are fitted to. escalated: of texts, which the blocklist
    escalates, bool [num_docs].
    """

    goals: Mapping[ScoredLevel, Goal]
    escalated: Callable[[Sequence[str]], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class ClassCounts:
    """Documents of a part."""

    positive: int
    negative: int


@dataclass(frozen=True)
class DocumentCounts:
    """Documents that were labelled."""

    distinct: int
    copies: int
    """Those left out, since a text counts once."""
    training: ClassCounts
    held_out: ClassCounts


@dataclass(frozen=True)
class TrainedFilter:
    """What was made."""

    folder: Path
    digest: str
    """Of the classifier, for a filter to pin."""
    chosen: Point
    """The held-out part at the picked threshold."""
    points: list[Point]
    documents: DocumentCounts
    rule: str
    """How the threshold was picked, in words."""
    has_picture: bool
    levels: tuple[FittedLevel, ...] = ()


def train_filter(
    paths: Sequence[Path],
    out: Path,
    *,
    columns: LabelColumns | None = None,
    holdout: Decimal = Decimal("0.2"),
    goal: Goal = Goal(),
    levels: LevelGoals | None = None,
    settings: LinearSettings | None = None,
) -> TrainedFilter:
    """Train, measure and write the files into the new folder `out`.

    Args:
        paths: labelled documents, jsonl or parquet.
        holdout: share of the documents, by digest, that is held out.
    Raises:
        RecipeError: options out of range.
        InputError: the documents cannot be read, or one of the classes is absent on one side.
    """
    settings = settings or LinearSettings()
    if not 0 < holdout < 1:
        raise RecipeError(f"a holdout of {holdout} is asked; it is a share above 0 and below 1")
    labelled = read_labelled(paths, columns)
    bound = key_bound(holdout)
    training = [document for document in labelled.documents if not held_out(document.digest, bound)]
    measuring = [document for document in labelled.documents if held_out(document.digest, bound)]
    for name, part in (("training", training), ("held-out", measuring)):
        if len({document.positive for document in part}) != 2:
            raise InputError(
                f"{name} documents: {_counts(part).positive:,} of {len(part):,} are positive;"
                " both classes are needed: label more"
            )
    weights = train_linear(
        [document.text for document in training],
        [document.positive for document in training],
        settings,
    )
    out.mkdir()
    weights.save(out / WEIGHTS)
    classifier = LinearClassifier.open(out / WEIGHTS)  # what is measured is what was written
    texts = [document.text for document in measuring]
    scores = classifier.score(texts)
    positive = np.array([document.positive for document in measuring])
    curve = Curve(scores, positive)
    fitted = _fitted(levels, texts, scores, positive) if levels else ()
    chosen, points = curve.at(goal.threshold(curve)), curve.points()
    documents = DocumentCounts(
        distinct=len(labelled.documents),
        copies=labelled.num_copies,
        training=_counts(training),
        held_out=_counts(measuring),
    )
    report = {
        "classifier": {"kind": "linear", "digest": classifier.digest, "weights": WEIGHTS},
        "settings": {
            name: str(value) if isinstance(value, float) else value
            for name, value in asdict(settings).items()
        },
        "holdout": str(holdout),
        "documents": asdict(documents),
        "inputs": [{"name": name, "sha256": sha256} for name, sha256 in labelled.inputs],
        "rule": goal.rule,
        "levels": {
            level.name: {"rule": str(level.goal), **_point(level.chosen)} for level in fitted
        },
        "chosen": _point(chosen),
        "curve": [_point(point) for point in points],
        "unit": (
            "thresholds, scores and ratios in millionths; a document is flagged if its score is"
            " greater than the threshold"
        ),
    }
    title = f"{len(measuring):,} held-out documents"
    with suppress(ImportError):  # without the extra there is no picture
        write_whole(out / PICTURE, curve_svg(points, chosen, title).encode("utf-8"))
    has_picture = (out / PICTURE).exists()
    write_whole(out / REPORT, (json.dumps(report, indent=1, sort_keys=True) + "\n").encode("ascii"))
    return TrainedFilter(
        out, classifier.digest, chosen, points, documents, goal.rule, has_picture, fitted
    )


def _fitted(
    levels: LevelGoals,
    texts: Sequence[str],
    scores: npt.NDArray[np.uint32],
    positive: npt.NDArray[np.bool_],
) -> tuple[FittedLevel, ...]:
    """Fit levels on the held-out documents that the blocklist escalates, since the classifier sees
    no others in use. All arrays [num_docs].
    """
    escalated = levels.escalated(texts)
    if not escalated.any():
        raise InputError(
            "held-out documents: the blocklist escalates none, so there is nothing to fit levels"
            " on; label documents that it escalates"
        )
    curve = Curve(scores[escalated], positive[escalated])
    fitted = tuple(
        FittedLevel(name, goal, curve.at(_level_threshold(goal, curve)))
        for name in SCORED_LEVELS
        if (goal := levels.goals.get(name))
    )
    if len(fitted) == len(SCORED_LEVELS):
        strongest_last = [level.chosen.threshold for level in fitted]
        if strongest_last != sorted(set(strongest_last), reverse=True):
            raise RecipeError(
                f"levels {' and '.join(f'{one.name} ({one.goal})' for one in fitted)} come out at"
                f" {' and '.join(f'{one:,}' for one in strongest_last)} millionths; extra-weak must"
                " flag less than weak: ask for other shares, or label more documents"
            )
    return fitted


def _level_threshold(goal: Goal, curve: Curve) -> int:
    threshold = goal.threshold(curve)
    if not 0 <= threshold < MILLION:
        raise RecipeError(f"{goal} gives a threshold of {threshold:,} millionths; ask for more")
    return threshold


def _counts(documents: list[Labelled]) -> ClassCounts:
    positive = sum(document.positive for document in documents)
    return ClassCounts(positive, len(documents) - positive)


def _point(point: Point) -> dict[str, int | None]:
    return asdict(point) | {
        "precision": point.precision,
        "recall": point.recall,
        "f1": point.f1,
        "removal": point.removal,
    }
