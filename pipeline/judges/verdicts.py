"""What the filters of a recipe say of documents, from the columns that are stored: counts of terms,
and scores by digest.

    terms of a list -> escalated (>= threshold) -> score of the escalated (> threshold), or all of
    them -> dose, or placebo -> removed

Nothing is decided by default: an escalated document without a score is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.keys import KEY_SPACE
from mixtures.recipe.filter_use import LENGTH_CLASSES, FilterUse, dose_keys, length_class, placebo
from pipeline.store.records import Frozen
from pipeline.store.scores import Scored, look_up
from pipeline.store.store import PlannedKey

Debts = dict[int, npt.NDArray[np.int64]]
"""Of each placebo filter, by its number: what it still owes in each class of length
(`mixtures.recipe.filter_use.placebo`).
"""


class FilterRule(Frozen):
    """A filter as a select plan holds it."""

    label: str
    """Names it in messages."""
    blocklist: int
    """Number of its list among the plan's."""
    threshold: int
    """Distinct terms from which on a document is escalated."""
    above: int | None
    """Score in millionths; a higher one is flagged. None without a classifier."""
    placebo: bool
    """Whether it removes what it does not flag."""
    dose: PlannedKey
    """Flagged documents whose dose key is below are removed."""

    @classmethod
    def of(cls, item: FilterUse, blocklist: int) -> FilterRule:
        """The rule of a recipe's filter at its level."""
        pin, classifier = item.definition.blocklist, item.definition.classifier
        return cls(
            label=item.label,
            blocklist=blocklist,
            threshold=pin.threshold,
            above=classifier.threshold_millionths if classifier else None,
            placebo=item.placebo,
            dose=item.dose_bound,
        )


class Documents(NamedTuple):
    """Documents of one source in key order, all arrays [num_docs]. digest: uint64 [num_docs, 2];
    terms: counts by blocklist.
    """

    order_key: npt.NDArray[np.uint64]
    digest: npt.NDArray[np.uint64]
    num_tokens: npt.NDArray[np.uint32]
    terms: list[npt.NDArray[np.uint16]]


@dataclass(frozen=True)
class Verdicts:
    """All arrays [num_docs]. removed: uint32, bit i set if filter i removes the document.

    approved: escalated by some filter, flagged and removed by none (what a dose spares is flagged
        all the same).
    scores: int32 of each filter with a classifier, by its number, -1 where not escalated. debts:
        left after these documents.
    """

    removed: npt.NDArray[np.uint32]
    approved: npt.NDArray[np.bool_]
    scores: dict[int, npt.NDArray[np.int32]]
    debts: Debts

    def among(self, present: npt.NDArray[np.bool_]) -> Verdicts:
        """The verdicts among more documents, where those that are not present were not judged.
        present: bool [num_docs].
        """
        return Verdicts(
            _spread(self.removed, present, 0),
            _spread(self.approved, present, 0),
            {number: _spread(scores, present, -1) for number, scores in self.scores.items()},
            self.debts,
        )


def _spread(
    values: npt.NDArray[Any], present: npt.NDArray[np.bool_], absent: int
) -> npt.NDArray[Any]:
    """Values [num_present] among more documents: [num_docs], `absent` where `present`, bool
    [num_docs], is False.
    """
    spread = np.full(len(present), absent, values.dtype)
    spread[present] = values
    return spread


def judge(
    source: str,
    documents: Documents,
    rules: Sequence[FilterRule],
    scored: Mapping[int, Scored],
    debts: Mapping[int, Any],
) -> Verdicts:
    """Decide on documents of a source.

    Args:
        scored: the scores of each filter with a classifier. debts: of each placebo filter, left by
            the documents before these.

    Raises:
        ManifestError: an escalated document has no score.
    """
    count = len(documents.order_key)
    removed, escalated, condemned = (
        np.zeros(count, np.uint32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.bool_),
    )
    scores: dict[int, npt.NDArray[np.int32]] = {}
    debts_after: Debts = {}
    for number, rule in enumerate(rules):
        enough = documents.terms[rule.blocklist] >= rule.threshold
        flagged = enough
        if rule.above is not None:
            scores[number] = _scores(source, rule, documents, enough, scored[number])
            flagged = enough & (scores[number] > rule.above)
        if rule.placebo:
            owed = np.asarray(debts.get(number, np.zeros(LENGTH_CLASSES)), np.int64)
            flagged, debts_after[number] = placebo(
                flagged, length_class(documents.num_tokens), owed
            )
        else:
            escalated |= enough
            condemned |= flagged
        removed |= (_dosed(rule, documents, flagged).astype(np.uint32)) << np.uint32(number)
    return Verdicts(removed, escalated & ~condemned & (removed == 0), scores, debts_after)


def _scores(
    source: str,
    rule: FilterRule,
    documents: Documents,
    escalated: npt.NDArray[np.bool_],
    scored: Scored,
) -> npt.NDArray[np.int32]:
    """Scores int32 [num_docs], millionths, -1 where `escalated`, bool [num_docs], is False."""
    scores = np.full(len(escalated), -1, np.int32)
    scores[escalated] = look_up(scored, documents.order_key[escalated], documents.digest[escalated])
    missing = int((scores[escalated] < 0).sum())
    if missing:
        raise ManifestError(
            f"filter {rule.label}: {missing:,} escalated documents of {source} have no score; the"
            " store's scores are not whole: delete its folder scores/ and build again"
        )
    return scores


def _dosed(
    rule: FilterRule, documents: Documents, flagged: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Of the flagged, bool [num_docs], those that the dose removes: bool [num_docs]."""
    if rule.dose >= KEY_SPACE:
        return flagged
    dosed = np.zeros(len(flagged), np.bool_)
    dosed[flagged] = dose_keys(documents.digest[flagged]) < np.uint64(rule.dose)
    return dosed
