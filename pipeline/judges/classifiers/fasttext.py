"""fastText classifiers: a supervised `.bin`, read by the fasttext bindings (extra `fasttext`).

A document is one line to fastText. Two things in a text would end that line early, and leave the rest of the document unjudged: a
newline, and the word `</s>`, fastText's own mark for the end of a line. Both become spaces. There is no context: all words count,
so there are no windows.

Any package that provides the module `fasttext` serves; the extra names the one that has wheels for every Python that we support.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixtures.errors import InputError, RecipeError
from pipeline.classifiers.fasttext_file import check_fasttext_file
from pipeline.judges.classifiers.scores import (
    Scores,
    classifier_digest,
    file_sha256,
    quantised,
    require_words,
)

RULES = 1
POSITIVE = "__label__1"
_END_OF_LINE = re.compile(r"(?:\n|(?<![^ \n\r\t\v\f\0])</s>(?![^ \n\r\t\v\f\0]))+")  # `</s>` between what fastText takes for white space
_ALL_LABELS = -1


class FastTextClassifier:
    """Scores documents with one fastText model: the probability of one label."""

    kind: Literal["fasttext"] = "fasttext"

    def __init__(self, path: Path, model: Any, label: str, sha256: str) -> None:
        self.digest = classifier_digest("fasttext", RULES, {"label": label}, {"model": sha256})
        self.environment = _versions()
        self._path, self._predict, self._label = path, model.f.predict, label

    @classmethod
    def open(cls, path: Path, label: str = POSITIVE) -> FastTextClassifier:
        """Check the file and load it.

        Args:
            label: name of the positive class, as in the file (`__label__...`).
        Raises:
            RecipeError: the extra is not installed, or the file has no such label.
            InputError: the file is missing, damaged or of a kind that is not read.
        """
        try:
            from fasttext.FastText import load_model
        except ImportError:
            raise RecipeError(f"{path}: a fasttext classifier needs the extra `fasttext`: pip install 'annealmix[fasttext]'") from None
        file = check_fasttext_file(path)
        if label not in file.labels:
            raise RecipeError(f"{path}: has no label {label!r}; it has {', '.join(file.labels[:20])}; name one as `label`")
        sha256 = file_sha256(path)
        try:
            model = load_model(str(path))
        except (ValueError, MemoryError) as error:
            raise InputError(f"{path}: fastText cannot load it ({error}); restore the file that the filter names") from None
        return cls(path, model, label, sha256)

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths.

        Raises:
            InputError: a text holds no word, or the model gives it no score.
        """
        require_words(texts, str(self._path))
        probabilities = np.fromiter((self._probability(at, text) for at, text in enumerate(texts)), np.float64, len(texts))
        return quantised(probabilities, str(self._path))

    def _probability(self, at: int, text: str) -> float:
        """The low-level call: the public one fails with numpy 2 in older packages."""
        for probability, label in self._predict(_END_OF_LINE.sub(" ", text) + "\n", _ALL_LABELS, 0.0, "strict"):
            if label == self._label:
                return float(probability)
        raise InputError(f"{self._path}: fastText gives document {at} of the batch no score for {self._label}; leave it out")


def _versions() -> dict[str, str]:
    names = metadata.packages_distributions().get("fasttext", [])
    return {name: metadata.version(name) for name in sorted(set(names))}
