"""Classifiers: what turns the text of a document into one integer, the probability that it belongs
to the positive class.

    linear      hashed word 1+2-grams, exact in integers: the same score on every machine; the
                embedded default
    fasttext    a fastText `.bin` (extra `fasttext`)
    sequence    a Hugging Face sequence classifier such as ModernBERT, from safetensors (extra
                `models`)

A score is a uint32, round(p * 1,000,000): integers only reach the store, a manifest or a threshold.
A document is flagged if its score is GREATER than the threshold (in millionths), as published.
Where a model looks at a bounded context, a document is cut into non-overlapping windows and its
score is the maximum over them, which is published too (arXiv 2508.06601).

A document's score depends on its text and on what `digest` names, never on the documents beside it
or on their order. What cannot be scored (no word in it, a lone surrogate, a score that is no
number) raises: there is no default score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mixtures.errors import ManifestError
from mixtures.rules.filter_definition import ClassifierKind
from pipeline.judges.classifiers.scores import MILLION, Scores

__all__ = ["MILLION", "Classifier", "Scores", "open_classifier"]


class Classifier(Protocol):
    """One opened model."""

    @property
    def digest(self) -> str:
        """sha256 (hex) over everything that decides a score: kind, rules, parameters and the hash
        of every weight file.
        """

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths, in the order of the texts.

        Raises:
            InputError: a text cannot be scored; the message says which by its place in `texts`.
        """


def open_classifier(
    kind: ClassifierKind,
    path: Path,
    *,
    digest: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Classifier:
    """Open a model, check its files, and hold it to its pinned digest.

    Args:
        path: the weights of `annealmix filter train` (linear), a `.bin` (fasttext), or a folder
            with `config.json`, `tokenizer.json` and safetensors (sequence).
        digest: what the filter pins; None where nothing is pinned yet.
        parameters: those that a filter's file states
            (`mixtures.rules.filter_definition.ClassifierParameters`).
    Raises:
        RecipeError: an extra that is not installed, or a model that has no such label or context.
        InputError: the files are missing, damaged, or of a kind that is not read (pickle, remote
            code).
        ManifestError: the model is not the pinned one.
    """
    classifier = _opened(kind, path, parameters or {})
    if digest is not None and classifier.digest != digest:
        raise ManifestError(
            f"{path}: the {kind} classifier has digest {classifier.digest}, the filter pins"
            f" {digest}: its weights or its parameters are others; restore them, or train and pin a"
            " new filter"
        )
    return classifier


def _opened(kind: ClassifierKind, path: Path, parameters: Mapping[str, Any]) -> Classifier:
    if kind == "linear":
        from pipeline.judges.classifiers.linear import LinearClassifier

        return LinearClassifier.open(path)
    if kind == "fasttext":
        from pipeline.judges.classifiers.fasttext import FastTextClassifier

        return FastTextClassifier.open(path, **parameters)
    from pipeline.judges.classifiers.sequence import SequenceClassifier, SequenceSettings

    return SequenceClassifier.open(path, SequenceSettings(**parameters))
