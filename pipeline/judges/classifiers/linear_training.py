"""Train linear weights: averaged Adagrad on the logistic loss, bit-identical on every machine.

Examples are the windows of all documents, in the order of the documents' digests, so the order of
the input changes nothing. The forward pass is the scoring rule itself, in
integers; the error of a window is an integer; the gradient of a bucket is a sum of integers that
float64 holds exactly (below 2^53). What is left in floating point is element by element (+, x, /,
square root), which IEEE 754 rounds in one way only. No random number is drawn.

Memory: 8 bytes a word of the training documents. Time: about 15 ns a word and epoch, and 2 ms a
batch for 2^18 buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.judges.classifiers.hashed_ngrams import Features, features
from pipeline.judges.classifiers.linear import MAX_BIAS, MAX_WEIGHT, LinearWeights, batches
from pipeline.judges.classifiers.logistic import ONE, quantised_logistic
from pipeline.judges.classifiers.scores import MILLION

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
    """The windows of all documents.

    buckets: int32 [num_ngrams], window after window. first: int64 [num_windows + 1], the first
        bucket of each window, and the end.
    positive: bool [num_windows]. share: int64 [num_windows], windows of its document, over which
        the document's error is divided.
    """

    buckets: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    share: npt.NDArray[np.int64]


def train_linear(
    texts: Sequence[str], labels: Sequence[bool], settings: LinearSettings | None = None
) -> LinearWeights:
    """Train on distinct documents of both classes, in the order of their digests.

    Args:
        labels: whether each belongs to the positive class.
    Raises:
        InputError: a text cannot be scored.
    """
    settings = settings or LinearSettings()
    examples = _examples(texts, labels, settings)
    trainer = _Trainer(settings)
    for _ in range(settings.epochs):
        for start in range(0, len(examples.share), settings.batch_windows):
            trainer.learn(examples, start, min(start + settings.batch_windows, len(examples.share)))
    return trainer.averaged(settings.window_words)


def _examples(texts: Sequence[str], labels: Sequence[bool], settings: LinearSettings) -> _Examples:
    buckets, counts, num_windows = [], [], []
    for start, stop in batches(texts):
        ngrams = features(
            texts[start:stop], settings.bits, settings.window_words, "training documents"
        )
        buckets.append(_window_after_window(ngrams))
        counts.append(2 * ngrams.window_words - 1)
        num_windows.append(np.diff(ngrams.document_first, append=len(ngrams.window_first)))
    windows = np.concatenate(num_windows)
    first = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))))
    return _Examples(
        np.concatenate(buckets),
        first,
        np.repeat(np.array(labels, np.bool_), windows),
        np.repeat(windows, windows),
    )


def _window_after_window(ngrams: Features) -> npt.NDArray[np.int32]:
    """Buckets of every n-gram, int32 [num_ngrams]: each word followed by its pair with the next,
    but for pairs that reach over a window's end.
    """
    both = np.zeros((len(ngrams.unigrams), 2), np.int32)
    both[:, 0], both[:-1, 1] = ngrams.unigrams, ngrams.bigrams
    kept = np.ones(both.shape, np.bool_)
    # The word before a window's first has no pair; before the first window, index -1, that is the
    # last word of all, which has none either.
    kept[ngrams.window_first - 1, 1] = False
    return both[kept]


class _Trainer:
    """Weights, Adagrad's sums of squares and the running sum of weights: float64 [2^bits + 1] each,
    in units of the margin; the last element is the bias.
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
        errors = (examples.positive[start:stop] * MILLION - scores) * _ERROR_SCALE
        errors //= examples.share[start:stop]
        shares = np.repeat((errors // sizes).astype(np.float64), sizes)
        gradient = np.bincount(buckets, shares, len(self.weights))
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
    """Weights, float64 [num], as int64 [num] in units of 2^-16, to the nearest."""
    return np.rint(weights * ONE).astype(np.int64)
