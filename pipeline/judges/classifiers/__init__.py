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

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from mixtures.errors import ManifestError, RecipeError
from pipeline.judges.classifiers.scores import MILLION, Scores

Kind = Literal["linear", "fasttext", "sequence"]
Parameters = Mapping[str, int | str]

__all__ = ["KINDS", "MILLION", "Classifier", "Kind", "Parameters", "Scores", "open_classifier"]


class Classifier(Protocol):
    """One opened model."""

    @property
    def kind(self) -> Kind:
        """Which engine it is."""

    @property
    def digest(self) -> str:
        """sha256 (hex) over everything that decides a score: kind, rules, parameters and the hash
        of every weight file.
        """

    @property
    def environment(self) -> dict[str, str]:
        """Versions and device that scores of this kind may also depend on in their last digit;
        recorded, not part of the digest.
        """

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths, in the order of the texts.

        Raises:
            InputError: a text cannot be scored; the message says which by its place in `texts`.
        """


def _linear(path: Path, parameters: Parameters) -> Classifier:
    from pipeline.judges.classifiers.linear import LinearClassifier

    return LinearClassifier.open(path, **_named(parameters, {}))


def _fasttext(path: Path, parameters: Parameters) -> Classifier:
    from pipeline.judges.classifiers.fasttext import FastTextClassifier

    return FastTextClassifier.open(path, **_named(parameters, {"label": str}))


def _sequence(path: Path, parameters: Parameters) -> Classifier:
    from pipeline.judges.classifiers.sequence import SequenceClassifier, SequenceSettings

    known: dict[str, type] = {
        "label": str,
        "context": int,
        "rows": int,
        "dtype": str,
        "device": str,
        "threads": int,
    }
    return SequenceClassifier.open(path, SequenceSettings(**_named(parameters, known)))


def _named(parameters: Parameters, known: Mapping[str, type]) -> dict[str, Any]:
    """The parameters, all of them known and of the right type."""
    for name, value in parameters.items():
        if name not in known:
            raise RecipeError(
                f"classifier parameter {name!r} is unknown; known here:"
                f" {', '.join(known) or 'none'}"
            )
        if type(value) is not known[name]:
            raise RecipeError(
                f"classifier parameter {name!r} is {value!r}; it must be of type"
                f" {known[name].__name__}"
            )
    return dict(parameters)


KINDS: dict[str, Callable[[Path, Parameters], Classifier]] = {
    "linear": _linear,
    "fasttext": _fasttext,
    "sequence": _sequence,
}


def open_classifier(
    kind: str, path: Path, *, digest: str | None = None, parameters: Parameters | None = None
) -> Classifier:
    """Open a model, check its files, and hold it to its pinned digest.

    Args:
        path: the weights of `annealmix filter train` (linear), a `.bin` (fasttext), or a folder
            with `config.json`, `tokenizer.json` and safetensors (sequence).
        digest: what the filter pins; None where nothing is pinned yet.
        parameters: `label` (fasttext, sequence); `context`, `rows`, `dtype`, `device`, `threads`
            (sequence).
    Raises:
        RecipeError: an unknown kind or parameter, or an extra that is not installed.
        InputError: the files are missing, damaged, or of a kind that is not read (pickle, remote
            code).
        ManifestError: the model is not the pinned one.
    """
    if kind not in KINDS:
        raise RecipeError(f"classifier kind {kind!r} is unknown; known: {', '.join(KINDS)}")
    classifier = KINDS[kind](path, parameters or {})
    if digest is not None and classifier.digest != digest:
        raise ManifestError(
            f"{path}: the {kind} classifier has digest {classifier.digest}, the filter pins"
            f" {digest}: its weights or its parameters are others; restore them, or train and pin a"
            " new filter"
        )
    return classifier
