"""Whether a classifier says the same again: scores of one pass held against scores of another.

    agreement(scored, {digest: score}, threshold)      any second table of scores, such as that of a store
    rescore(scored, classifier, read)                  the second scores: each document alone, and all in reversed order

A score that knew the documents beside it, the place in a batch or the state of a library would come out otherwise here. What a score
is held against must be a score of the same text: a mix spells the normalised form of what a store has scored (`pipeline.commands.audit.rescan`), so
a document that is not in that form may differ from its stored score, and is no fault of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.commands.audit.rescan import Scored
from pipeline.judges.classifiers import Classifier


@dataclass(frozen=True)
class Agreement:
    """Scores compared. documents: that both have; missing: that the second table lacks; identical: of equal score.

    largest_difference: millionths. changed: positions in the stream of documents of which the decision is another.
    """

    documents: int
    missing: int
    identical: int
    largest_difference: int
    changed: tuple[int, ...]


def agreement(scored: Sequence[Scored], again: Mapping[bytes, int], threshold: int) -> Agreement:
    """Compare the scores of documents with those of a second table.

    Args:
        again: {digest: score in millionths}. threshold: millionths; a document is flagged if its score is greater.
    """
    both = [(one, again[one.digest]) for one in scored if one.digest in again]
    differences = [abs(one.score - score) for one, score in both]
    changed = tuple(one.document for one, score in both if (one.score > threshold) != (score > threshold))
    return Agreement(len(both), len(scored) - len(both), differences.count(0), max(differences, default=0), changed)


def rescore(scored: Sequence[Scored], classifier: Classifier, read: Callable[[Scored], str]) -> dict[str, dict[bytes, int]]:
    """Score documents again: {"alone": {digest: score}, "reversed": {digest: score}}.

    Args:
        read: gives the text of a document.

    Raises:
        InputError: a text cannot be scored.
    """
    texts = [read(one) for one in scored]
    digests = [one.digest for one in scored]
    alone = [int(classifier.score([text])[0]) for text in texts]
    turned = classifier.score(texts[::-1]).tolist()[::-1] if texts else []
    return {"alone": dict(zip(digests, alone, strict=True)), "reversed": dict(zip(digests, turned, strict=True))}
