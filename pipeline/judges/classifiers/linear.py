"""The embedded classifier: a linear model on hashed word 1+2-grams, exact in integers.

    margin of a window    = bias + floor(sum of the weights of its n-grams / number of its n-grams)
    in units of 2^-16
    score of a window     = logistic(margin), in millionths
    score of a document   = the maximum over its windows of `window_words` words

Weights are int32 in units of 2^-16, sums int64, so the sums do not depend on order, vector width or
library, and the score of a document is the same integer on every machine. The mean keeps a score
from growing with length; the windows keep a long document from diluting one bad passage. The file
is safetensors: `weights` I32 [2^bits], `bias` I64 [1], and the parameters as metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from pipeline.judges.classifiers.hashed_ngrams import Features, features
from pipeline.judges.classifiers.logistic import quantised_logistic
from pipeline.judges.classifiers.scores import Scores, classifier_digest
from pipeline.judges.classifiers.tensor_file import read_tensors, write_tensors

RULES = 1
FORMAT = "annealmix-linear-1"
MAX_WEIGHT = (1 << 30) - 1  # the weights of a word and of its pair are added in int32
MAX_BIAS = 1 << 40
BITS = range(8, 27)
_BATCH_CHARS = 120_000  # what the kernel makes of it stays in a core's cache


@dataclass(frozen=True)
class LinearWeights:
    """weights: int32 [2^bits], |w| < 2^30, and bias: |b| <= 2^40, in units of 2^-16. window_words:
    0 for the whole document.
    """

    weights: npt.NDArray[np.int32]
    bias: int
    window_words: int

    @property
    def bits(self) -> int:
        return len(self.weights).bit_length() - 1

    def save(self, path: Path) -> str:
        """Write the safetensors file; equal weights make equal bytes. Returns its sha256 (hex)."""
        metadata = {"format": FORMAT, "window_words": str(self.window_words)}
        return write_tensors(
            path, {"weights": self.weights, "bias": np.array([self.bias], np.int64)}, metadata
        )


class LinearClassifier:
    """Scores documents with linear weights. `window_margins` is what training steps on."""

    kind: Literal["linear"] = "linear"

    def __init__(self, weights: LinearWeights, sha256: str, where: str) -> None:
        self.weights = weights
        self.digest = classifier_digest(
            "linear",
            RULES,
            {"window_words": weights.window_words, "bits": weights.bits},
            {"weights": sha256},
        )
        self.environment: dict[str, str] = {}
        self._where = where

    @classmethod
    def open(cls, path: Path) -> LinearClassifier:
        """Read and check a file of weights.

        Raises:
            InputError: it is missing, damaged, or its tensors are not those of a linear model.
        """
        file = read_tensors(path)
        found = {name: (tensor.dtype.str, tensor.shape) for name, tensor in file.tensors.items()}
        window = file.metadata.get("window_words", "")
        if (
            set(found) != {"weights", "bias"}
            or file.metadata.get("format") != FORMAT
            or not (window.isascii() and window.isdigit())
        ):
            raise InputError(
                f"{path}: holds {sorted(found)} and {file.metadata}; a linear model of format"
                f" {FORMAT} is expected"
            )
        weights, bias = file.tensors["weights"], file.tensors["bias"]
        num_buckets = weights.size
        if (
            found["weights"] != ("<i4", (num_buckets,))
            or found["bias"] != ("<i8", (1,))
            or num_buckets not in {1 << bits for bits in BITS}
        ):
            raise InputError(
                f"{path}: tensors are {found}; weights must be I32 [2^8 to 2^26] and bias I64 [1]"
            )
        least, most = int(weights.min()), int(weights.max())
        if least < -MAX_WEIGHT or most > MAX_WEIGHT or abs(int(bias[0])) > MAX_BIAS:
            raise InputError(
                f"{path}: weights lie from {least:,} to {most:,}, bias {int(bias[0]):,}; allowed"
                " are 2^30 - 1 and 2^40"
            )
        return cls(LinearWeights(weights, int(bias[0]), int(window)), file.sha256, str(path))

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths.

        Raises:
            InputError: a text holds no word or a lone surrogate.
        """
        scores = np.zeros(len(texts), np.uint32)
        for start, stop in batches(texts):
            where = f"{self._where}: documents from {start}" if start else self._where
            found = features(texts[start:stop], self.weights.bits, self.weights.window_words, where)
            windows = quantised_logistic(self.window_margins(found))
            scores[start:stop] = np.maximum.reduceat(windows, found.document_first)
        return scores

    def window_margins(self, found: Features) -> npt.NDArray[np.int64]:
        """Margins int64 [num_windows], units of 2^-16."""
        values = self.weights.weights.take(found.unigrams, mode="clip")
        pairs = self.weights.weights.take(found.bigrams, mode="clip")
        pairs[found.window_first[1:] - 1] = 0
        values[:-1] += pairs
        sums = np.add.reduceat(values, found.window_first, dtype=np.int64)
        margins: npt.NDArray[np.int64] = self.weights.bias + sums // (2 * found.window_words - 1)
        return margins


def batches(texts: Sequence[str], max_chars: int = _BATCH_CHARS) -> Iterator[tuple[int, int]]:
    """Ranges of neighbours with about `max_chars` characters, each of at least one text."""
    start = size = 0
    for at, text in enumerate(texts):
        size += len(text)
        if size >= max_chars:
            yield start, at + 1
            start, size = at + 1, 0
    if start < len(texts):
        yield start, len(texts)
