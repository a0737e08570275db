"""A filter that is open and proven: its files have their pinned hashes, and its golden decisions
have come out as its file says.

    load_filter (mixtures.rules.filter_files) -> Filter.open
    judge(texts) -> terms, escalated, scores, flagged

The decision on a document depends on its text and on `identity` alone, not on the texts beside it.
(One exception, said by `pipeline.judges.classifiers.sequence`: with `rows` above 1 the last digit
of a score may know its place in a batch.) Only escalated documents are scored. What cannot be
scored raises: nothing passes because its judge was absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.keys import content_of
from mixtures.recipe.filter_use import at_level
from mixtures.rules.filter_definition import ClassifierPin, FilterDefinition
from mixtures.rules.filter_files import FilterBundle, load_filter, load_terms
from mixtures.rules.levels import Level
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.judges.classifiers import Classifier, open_classifier

NOT_SCORED = -1


class Judgement(NamedTuple):
    """What a filter says of documents; all arrays [num_docs].

    terms: uint16, distinct terms (65,535: or more). escalated, flagged: bool. scores: int32,
        millionths, NOT_SCORED where no score was
    needed.
    """

    terms: npt.NDArray[np.uint16]
    escalated: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.int32]
    flagged: npt.NDArray[np.bool_]


class Filter:
    """Made by `open`. definition: what the file says. blocklist: its list, ready to search.
    classifier: the opened model, or None.
    """

    def __init__(
        self, definition: FilterDefinition, blocklist: Blocklist, classifier: Classifier | None
    ) -> None:
        self.definition = definition
        self.blocklist = blocklist
        self.classifier = classifier

    @classmethod
    def open(cls, definition: FilterDefinition, folder: Path, where: str | None = None) -> Filter:
        """Read the list and the model, hold both to their pins, and decide the golden texts.

        Args:
            folder: where the files that the definition names lie. where: names the filter in
                messages.
        Raises:
            InputError: a file is missing.
            ManifestError: a file is damaged or not the pinned one, or a golden decision comes out
                otherwise.
            RecipeError: an extra is not installed, or the list cannot be used.
        """
        terms = load_terms(definition.blocklist, folder)
        pin = definition.classifier
        opened = cls(
            definition,
            Blocklist(terms, definition.blocklist.mode),
            None if pin is None else open_pinned(pin, folder / pin.path),
        )
        opened.check_golden(where or f"filter {definition.name}")
        return opened

    @classmethod
    def load(
        cls, name_or_file: str, level: Level | None = None, brought: Path | None = None
    ) -> Filter:
        """Open a filter by name, or by file.

        Args:
            level: one of the published ones; None: as its file says. brought: folder of the user's
                filters, which go before shipped ones.

        Raises: as `load_filter`, `open` and `at_level`.
        """
        loaded: FilterBundle = load_filter(name_or_file, brought)
        definition = at_level(loaded, level)
        opened = cls.open(loaded.definition, loaded.folder, loaded.where)
        return cls(
            definition, opened.blocklist, opened.classifier if definition.classifier else None
        )

    @property
    def identity(self) -> str:
        """What decides, as one hash (`FilterDefinition.identity`)."""
        return self.definition.identity

    def judge(self, texts: Sequence[str]) -> Judgement:
        """Decide on documents.

        Raises:
            InputError: an escalated text cannot be scored.
        """
        texts = [content_of(text) for text in texts]
        terms = self.blocklist.count(texts)
        escalated = terms >= self.definition.blocklist.threshold
        scores = np.full(len(texts), NOT_SCORED, np.int32)
        flagged = escalated.copy()
        pin = self.definition.classifier
        if self.classifier is not None and pin is not None and escalated.any():
            chosen = [texts[at] for at in np.flatnonzero(escalated).tolist()]
            scores[escalated] = self.classifier.score(chosen).astype(np.int32)
            flagged[escalated] = scores[escalated] > pin.threshold_millionths
        return Judgement(terms, escalated, scores, flagged)

    def check_golden(self, where: str) -> None:
        """Decide the golden texts, each alone.

        Raises:
            ManifestError: one comes out otherwise; says which, without its text.
        """
        for number, golden in enumerate(self.definition.golden):
            try:
                terms, _, scores, flagged = self.judge([golden.text])
            except InputError as error:
                raise ManifestError(
                    f"{where}: golden[{number}] cannot be judged ({error}); give another text"
                ) from None
            if bool(flagged[0]) != golden.flagged:
                score = "no score" if scores[0] == NOT_SCORED else f"score {scores[0]:,} millionths"
                raise ManifestError(
                    f"{where}: golden[{number}] is {_word(bool(flagged[0]))} ({terms[0]:,} distinct"
                    f" terms, {score}), the file says {_word(golden.flagged)}: list, model, library"
                    " or thresholds are others than when it was written; restore them"
                )


def _word(flagged: bool) -> str:
    return "flagged" if flagged else "not flagged"


def open_pinned(pin: ClassifierPin, path: Path) -> Classifier:
    """Open the model. A file that is there but cannot be used is not the pinned one, whatever the
    engine says of it.

    The engines tell what they refuse as they meet it, before there is a digest to compare: as an
    InputError, or, where a damaged byte lies in a label or a size, as a parameter that does not
    fit. Missing files, missing extras and a missing GPU stay what they are.
    """
    if not path.exists():
        raise InputError(
            f"{path}: the classifier is missing; restore the {pin.kind} model that the filter names"
        )
    try:
        return open_classifier(pin.kind, path, digest=pin.digest, parameters=pin.parameters.given())
    except InputError as error:
        if isinstance(error.__context__, OSError):
            raise
        raise ManifestError(f"{error}; the filter pins digest {pin.digest}") from None
    except RecipeError as error:
        if isinstance(error.__context__, ImportError) or pin.parameters.device == "cuda":
            raise
        raise ManifestError(f"{error}; the filter pins digest {pin.digest}") from None
