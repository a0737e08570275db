"""The embedded classifier: a linear model on hashed word 1+2-grams, exact in integers.

    margin of a window    = bias + floor(sum of the weights of its n-grams / number of its n-grams),
                            in units of 2^-16
    score of a window     = logistic(margin), in millionths
    score of a document   = the maximum over its windows of `window_words` words

Weights are int32 in units of 2^-16, sums int64, so the sums do not depend on order, vector width or
library, and the score of a document is the same integer on every machine. The mean keeps a score
from growing with length; the windows keep a long document from diluting one bad passage.

The file is safetensors: `weights` I32 [2^bits], `bias` I64 [1], and the parameters as metadata. It
is read by the library. Its header is written here, since a filter's digest is over these bytes, and
the library orders metadata by chance (0.5 to 0.7), or as its version likes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from mixtures.errors import InputError
from pipeline.judges.classifiers.hashed_ngrams import Features, features
from pipeline.judges.classifiers.logistic import quantised_logistic
from pipeline.judges.classifiers.scores import Scores, classifier_digest
from pipeline.store.records import read_named, write_whole

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
        weights, size = self.weights.astype("<i4").tobytes(), len(self.weights)
        header = {
            "__metadata__": {"format": FORMAT, "window_words": str(self.window_words)},
            "bias": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
            "weights": {"dtype": "I32", "shape": [size], "data_offsets": [8, 8 + len(weights)]},
        }
        head = json.dumps(header, separators=(",", ":")).encode("ascii")
        head += b" " * (-len(head) % 8)
        bias = self.bias.to_bytes(8, "little", signed=True)
        content = b"".join([len(head).to_bytes(8, "little"), head, bias, weights])
        write_whole(path, content)
        return hashlib.sha256(content).hexdigest()


class LinearClassifier:
    """Scores documents with linear weights. `window_margins` is what training steps on."""

    def __init__(self, weights: LinearWeights, sha256: str, where: str) -> None:
        self.weights = weights
        self.digest = classifier_digest(
            "linear",
            RULES,
            {"window_words": weights.window_words, "bits": weights.bits},
            {"weights": sha256},
        )
        self._where = where

    @classmethod
    def open(cls, path: Path) -> LinearClassifier:
        """Read and check a file of weights.

        Raises:
            InputError: it is missing, damaged, or its tensors are not those of a linear model.
        """
        content = read_named(path)
        try:
            tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
            header_bytes = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + header_bytes], object_pairs_hook=_unique)
        except (SafetensorError, ValueError) as error:
            raise InputError(
                f"{path}: is damaged or no safetensors file of annealmix: {error}; restore the file"
                " that the filter names"
            ) from None
        metadata = header.get("__metadata__", {})
        window = metadata.get("window_words", "")
        if (
            set(tensors) != {"weights", "bias"}
            or metadata.get("format") != FORMAT
            or not (window.isascii() and window.isdigit())
        ):
            raise InputError(
                f"{path}: holds {sorted(tensors)} and {metadata}; a linear model of format"
                f" {FORMAT} is expected"
            )
        kinds = {name: (tensor["dtype"], tensor["shape"]) for name, tensor in tensors.items()}
        if kinds not in [{"weights": ("I32", [1 << n]), "bias": ("I64", [1])} for n in BITS]:
            raise InputError(
                f"{path}: tensors are {kinds}; weights must be I32 [2^8 to 2^26] and bias I64 [1]"
            )
        weights = np.frombuffer(tensors["weights"]["data"], "<i4")
        bias = int.from_bytes(tensors["bias"]["data"], "little", signed=True)
        least, most = int(weights.min()), int(weights.max())
        if least < -MAX_WEIGHT or most > MAX_WEIGHT or abs(bias) > MAX_BIAS:
            raise InputError(
                f"{path}: weights lie from {least:,} to {most:,}, bias {bias:,}; allowed are"
                " 2^30 - 1 and 2^40"
            )
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(LinearWeights(weights, bias, int(window)), sha256, str(path))

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths.

        Raises:
            InputError: a text holds no word or a lone surrogate.
        """
        scores = np.zeros(len(texts), np.uint32)
        for start, stop in batches(texts):
            where = f"{self._where}: documents from {start}" if start else self._where
            ngrams = features(
                texts[start:stop], self.weights.bits, self.weights.window_words, where
            )
            windows = quantised_logistic(self.window_margins(ngrams))
            scores[start:stop] = np.maximum.reduceat(windows, ngrams.document_first)
        return scores

    def window_margins(self, ngrams: Features) -> npt.NDArray[np.int64]:
        """Margins int64 [num_windows], units of 2^-16."""
        values = self.weights.weights.take(ngrams.unigrams, mode="clip")
        pairs = self.weights.weights.take(ngrams.bigrams, mode="clip")
        # The pair of a window's last word reaches into the next window, so it does not count.
        pairs[ngrams.window_first[1:] - 1] = 0
        values[:-1] += pairs  # stays in int32: see MAX_WEIGHT
        sums = np.add.reduceat(values, ngrams.window_first, dtype=np.int64)
        margins: npt.NDArray[np.int64] = self.weights.bias + sums // (2 * ngrams.window_words - 1)
        return margins


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name appears twice in its header")
    return dict(pairs)


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
