"""Train a linear filter from labelled documents: hold out a part, train on the rest, measure, pick
a threshold, write.

    weights.safetensors    the model, as `linear` reads it
    report.json            inputs, settings, counts, the picked threshold and the whole curve;
                           integers and text only
    curve.svg              recall, precision and share removed over the threshold

The same documents make the same weights, threshold and curve, in whatever order, files or copies
they come, on every machine. The weights are those that were measured: the held-out part is never
trained on afterwards.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, RecipeError
from mixtures.keys import key_bound, text_digest
from pipeline.judges.classifiers.curve import DEFAULT_THRESHOLD, Curve, Point, curve_svg
from pipeline.judges.classifiers.hashed_ngrams import Features, features
from pipeline.judges.classifiers.labelled import (
    LabelColumns,
    Labelled,
    LabelledSet,
    held_out,
    read_labelled,
)
from pipeline.judges.classifiers.linear import (
    BITS,
    MAX_BIAS,
    MAX_WEIGHT,
    LinearClassifier,
    LinearWeights,
    batches,
)
from pipeline.judges.classifiers.logistic import ONE, quantised_logistic
from pipeline.judges.classifiers.scores import MILLION, encoded
from pipeline.store.records import write_whole

WEIGHTS, REPORT, PICTURE = "weights.safetensors", "report.json", "curve.svg"


@dataclass(frozen=True)
class Goal:
    """What the threshold is picked for; at most one. Both are exact decimals.

    recall: the largest threshold that flags at least this share of the held-out positive documents.
    removal: the smallest threshold that flags at most this share of all held-out documents.
    Neither: 0.5.
    """

    recall: Decimal | None = None
    removal: Decimal | None = None

    def threshold(self, curve: Curve) -> int:
        """The picked threshold, millionths."""
        if self.recall is not None and self.removal is not None:
            raise RecipeError(
                f"recall {self.recall} and removal {self.removal} are both asked; ask for one, read"
                " the other off the curve"
            )
        if self.recall is not None:
            return curve.for_recall(Fraction(self.recall))
        return (
            DEFAULT_THRESHOLD if self.removal is None else curve.for_removal(Fraction(self.removal))
        )

    def __str__(self) -> str:
        if self.recall is not None:
            return f"largest threshold with recall >= {self.recall}"
        return (
            "0.5" if self.removal is None else f"smallest threshold with removal <= {self.removal}"
        )


@dataclass(frozen=True)
class TrainedFilter:
    """What was made. digest: of the classifier, for a filter to pin. chosen: the held-out part at
    the picked threshold.
    """

    folder: Path
    digest: str
    chosen: Point
    points: list[Point]
    report: dict[str, Any]


def train_filter(
    paths: Sequence[Path],
    out: Path,
    *,
    columns: LabelColumns | None = None,
    holdout: Decimal = Decimal("0.2"),
    goal: Goal | None = None,
    settings: LinearSettings | None = None,
) -> TrainedFilter:
    """Train, measure and write the three files into the folder `out`.

    Args:
        paths: labelled documents, jsonl or parquet.
        holdout: share of the documents, by digest, that is held out.
    Raises:
        RecipeError: options out of range, or `out` is there already and not an empty folder.
        InputError: the documents cannot be read, or one of the classes is absent on one side.
    """
    goal, settings = goal or Goal(), settings or LinearSettings()
    if not 0 < holdout < 1:
        raise RecipeError(f"a holdout of {holdout} is asked; it is a share above 0 and below 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(
            f"{out}: is there already; name a new folder, since a filter that is in use must not"
            " change"
        )
    found = read_labelled(paths, columns)
    bound = key_bound(holdout)
    training = [document for document in found.documents if not held_out(document.digest, bound)]
    measuring = [document for document in found.documents if held_out(document.digest, bound)]
    for name, part in (("training", training), ("held-out", measuring)):
        if len({document.positive for document in part}) != 2:
            raise InputError(
                f"{name} documents: {_counts(part)['positive']:,} of {len(part):,} are positive;"
                " both classes are needed: label more"
            )
    weights = train_linear(
        [document.text for document in training],
        [document.positive for document in training],
        settings,
    )
    with _whole_folder(out) as folder:
        weights.save(folder / WEIGHTS)
        classifier = LinearClassifier.open(folder / WEIGHTS)  # what is measured is what was written
        curve = Curve(
            classifier.score([document.text for document in measuring]),
            np.array([document.positive for document in measuring]),
        )
        chosen, points = curve.at(goal.threshold(curve)), curve.points()
        report = {
            "classifier": {"kind": "linear", "digest": classifier.digest, "weights": WEIGHTS},
            "settings": {
                name: str(value) if isinstance(value, float) else value
                for name, value in asdict(settings).items()
            },
            "holdout": str(holdout),
            "documents": _document_counts(found, training, measuring),
            "inputs": [{"name": name, "sha256": sha256} for name, sha256 in found.inputs],
            "rule": str(goal),
            "chosen": _point(chosen),
            "curve": [_point(point) for point in points],
            "unit": (
                "thresholds, scores and ratios in millionths; a document is flagged if its score is"
                " greater than the threshold"
            ),
        }
        write_whole(
            folder / PICTURE,
            curve_svg(points, chosen, f"{len(measuring):,} held-out documents").encode("utf-8"),
        )
        write_whole(
            folder / REPORT, (json.dumps(report, indent=1, sort_keys=True) + "\n").encode("ascii")
        )
    return TrainedFilter(out, classifier.digest, chosen, points, report)


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder that takes the name `out` when the block is done; after an error nothing of it is
    left.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _document_counts(
    found: LabelledSet, training: list[Labelled], measuring: list[Labelled]
) -> dict[str, Any]:
    return {
        "distinct": len(found.documents),
        "copies": found.num_copies,
        "training": _counts(training),
        "held_out": _counts(measuring),
    }


def _counts(documents: list[Labelled]) -> dict[str, int]:
    positive = sum(document.positive for document in documents)
    return {"positive": positive, "negative": len(documents) - positive}


def _point(point: Point) -> dict[str, int | None]:
    return asdict(point) | {
        "precision": point.precision,
        "recall": point.recall,
        "f1": point.f1,
        "removal": point.removal,
    }


_ERROR_SCALE = 1 << 12  # the error of a window is divided among its n-grams: keep digits


@dataclass(frozen=True)
class LinearSettings:
    """How to train; all of it is in the report.

    bits: log2 of the number of buckets; 18 is 1 MiB of weights, which stays in a core's cache.
    window_words: words of a window, 0 for the whole document.
    step: Adagrad's first step, in units of the margin.
    """

    bits: int = 18
    window_words: int = 1024
    epochs: int = 8
    batch_windows: int = 64
    step: float = 1.0


class _Examples(NamedTuple):
    """buckets: int32 [num_ngrams], window after window. first: int64 [num_windows + 1]. positive:
    bool, share: int64, windows of the document, both [num_windows].
    """

    buckets: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    share: npt.NDArray[np.int64]


def train_linear(
    texts: Sequence[str], labels: Sequence[bool], settings: LinearSettings | None = None
) -> LinearWeights:
    """Train on distinct documents.

    Args:
        texts: documents; a copy with the same label counts once.
        labels: whether each belongs to the positive class.
    Raises:
        InputError: a text cannot be scored, has both labels, or one of the classes is absent.
        RecipeError: settings out of range.
    """
    settings = settings or LinearSettings()
    _check(settings)
    examples = _examples(*_distinct(texts, labels), settings)
    trainer = _Trainer(settings)
    for _ in range(settings.epochs):
        for start in range(0, len(examples.share), settings.batch_windows):
            trainer.learn(examples, start, min(start + settings.batch_windows, len(examples.share)))
    return trainer.averaged(settings.window_words)


def _check(settings: LinearSettings) -> None:
    if (
        settings.bits not in BITS
        or settings.window_words < 0
        or min(settings.epochs, settings.batch_windows) < 1
        or not settings.step > 0
    ):
        raise RecipeError(
            f"{settings}: bits must be {BITS.start} to {BITS.stop - 1}, windows 0 or more, epochs,"
            " batch and step positive"
        )


def _distinct(texts: Sequence[str], labels: Sequence[bool]) -> tuple[list[str], list[bool]]:
    """Texts and labels in the order of digests, each text once."""
    found: dict[bytes, tuple[str, bool]] = {}
    for at, (text, label) in enumerate(zip(texts, labels, strict=True)):
        _, other = found.setdefault(
            text_digest(encoded(text, at, "training documents")), (text, bool(label))
        )
        if other != bool(label):
            raise InputError(
                f"training documents: number {at} has another label than an earlier copy of the"
                " same text; label it once"
            )
    ordered = [found[digest] for digest in sorted(found)]
    positive = sum(label for _, label in ordered)
    if positive in (0, len(ordered)):
        raise InputError(
            f"training documents: {positive:,} of {len(ordered):,} are positive; both classes are"
            " needed"
        )
    return [text for text, _ in ordered], [label for _, label in ordered]


def _examples(texts: list[str], labels: list[bool], settings: LinearSettings) -> _Examples:
    buckets, counts, num_windows = [], [], []
    for start, stop in batches(texts):
        found = features(
            texts[start:stop], settings.bits, settings.window_words, "training documents"
        )
        buckets.append(_window_after_window(found))
        counts.append(2 * found.window_words - 1)
        num_windows.append(np.diff(found.document_first, append=len(found.window_first)))
    windows = np.concatenate(num_windows)
    first = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))))
    return _Examples(
        np.concatenate(buckets),
        first,
        np.repeat(np.array(labels, np.bool_), windows),
        np.repeat(windows, windows),
    )


def _window_after_window(found: Features) -> npt.NDArray[np.int32]:
    """Buckets of every n-gram: each word followed by its pair with the next, but for pairs that
    reach over a window's end.
    """
    both = np.zeros((len(found.unigrams), 2), np.int32)
    both[:, 0], both[:-1, 1] = found.unigrams, found.bigrams
    kept = np.ones(both.shape, np.bool_)
    kept[found.window_first - 1, 1] = False  # of the first window: the last word of all
    return both[kept]


class _Trainer:
    """Weights, Adagrad's sums of squares and the running sum of weights; the last element of each
    array is the bias.
    """

    def __init__(self, settings: LinearSettings) -> None:
        self.step, self.num_steps = settings.step, 0
        self.weights, self.squares, self.total = (
            np.zeros((1 << settings.bits) + 1, np.float64) for _ in range(3)
        )

    def learn(self, examples: _Examples, start: int, stop: int) -> None:
        """One step on the windows from start to stop."""
        first = examples.first[start : stop + 1]
        buckets, sizes = examples.buckets[first[0] : first[-1]], np.diff(first)
        weights = _whole(self.weights)
        sums = np.add.reduceat(weights.take(buckets), first[:-1] - first[0])
        scores = quantised_logistic(weights[-1] + sums // sizes).astype(np.int64)
        errors = (
            (examples.positive[start:stop] * MILLION - scores)
            * _ERROR_SCALE
            // examples.share[start:stop]
        )
        gradient = np.bincount(
            buckets, np.repeat((errors // sizes).astype(np.float64), sizes), len(self.weights)
        )
        gradient[-1] = float(errors.sum())
        self.squares += gradient * gradient
        self.weights += self.step * gradient / np.sqrt(self.squares + 1.0)
        self.total += self.weights
        self.num_steps += 1

    def averaged(self, window_words: int) -> LinearWeights:
        """The mean of the weights after each step, in units of 2^-16."""
        whole = _whole(self.total / self.num_steps)
        weights = np.clip(whole[:-1], -MAX_WEIGHT, MAX_WEIGHT).astype(np.int32)
        return LinearWeights(weights, max(-MAX_BIAS, min(MAX_BIAS, int(whole[-1]))), window_words)


def _whole(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Weights in units of 2^-16, to the nearest."""
    return np.rint(weights * ONE).astype(np.int64)
