"""What the filters of a recipe say of documents, from the columns that are stored: counts of terms,
and scores by digest.

    terms of a list -> escalated (>= threshold) -> score of the escalated (> threshold), or all of
    them -> dose -> removed

A placebo removes none of these, but its partners: of each length those that its plan says
(`Partners`).

Nothing is decided by default: an escalated document without a score is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.recipe.filter_use import FilterUse, in_dose
from pipeline.store.records import Frozen
from pipeline.store.scores import Scored, look_up
from pipeline.store.store import PlannedKey


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
    """Whether it removes what no filter flags, as its partners say."""
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


class Partners(Frozen):
    """The documents of a source that a placebo removes: of those with a key up to `last_key` that
    nothing else removes and no imitated filter flags, of each length those with the smallest ranks.
    """

    source: str
    filter: int
    """Number of the placebo."""
    last_key: PlannedKey
    lengths: tuple[int, ...]
    """Tokens, ascending."""
    ranks: tuple[PlannedKey, ...]
    """Of each length, the last that is taken."""

    def among(self, documents: Documents) -> npt.NDArray[np.bool_]:
        """Which documents these are, if they may be: bool [num_docs]."""
        return self.of_length(documents.num_tokens, rank(documents.digest)) & (
            documents.order_key <= np.uint64(self.last_key)
        )

    def of_length(
        self, num_tokens: npt.NDArray[np.integer[Any]], ranks: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Whether documents of these lengths and ranks are taken: all [num_docs]."""
        if not self.lengths:
            return np.zeros(len(num_tokens), np.bool_)
        lengths = np.array(self.lengths, np.int64)
        last = np.array(self.ranks, np.uint64)
        at = np.minimum(np.searchsorted(lengths, num_tokens.astype(np.int64)), len(lengths) - 1)
        taken: npt.NDArray[np.bool_] = (lengths[at] == num_tokens) & (ranks <= last[at])
        return taken


def rank(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The order in which documents of one length are taken, uint64 [num_docs]: the lower half of
    their digests, uint64 [num_docs, 2], which says nothing of their order keys.
    """
    return digests[:, 1].astype(np.uint64)


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
    spared: flagged by some filter, placebos' included, and removed by none: by its dose.
    scores: int32 of each filter with a classifier, by its number, -1 where not escalated.
    """

    removed: npt.NDArray[np.uint32]
    approved: npt.NDArray[np.bool_]
    spared: npt.NDArray[np.bool_]
    scores: dict[int, npt.NDArray[np.int32]]

    @classmethod
    def of_none(cls, documents: int) -> Verdicts:
        """Of documents that nothing judges."""
        no = np.zeros(documents, np.bool_)
        return cls(np.zeros(documents, np.uint32), no, no, {})

    def among(self, present: npt.NDArray[np.bool_]) -> Verdicts:
        """The verdicts among more documents, where those that are not present were not judged.
        present: bool [num_docs].
        """
        return Verdicts(
            _spread(self.removed, present, 0),
            _spread(self.approved, present, 0),
            _spread(self.spared, present, 0),
            {number: _spread(scores, present, -1) for number, scores in self.scores.items()},
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
    partners: Sequence[Partners] = (),
) -> Verdicts:
    """Decide on documents of a source.

    Args:
        scored: the scores of each filter with a classifier. partners: of placebos, in this source.

    Raises:
        ManifestError: an escalated document has no score.
    """
    count = len(documents.order_key)
    removed = np.zeros(count, np.uint32)
    # escalated and condemned by filters, and flagged by any, placebos' included
    escalated, condemned, flagged_by_any = (np.zeros(count, np.bool_) for _ in range(3))
    scores: dict[int, npt.NDArray[np.int32]] = {}
    for number, rule in enumerate(rules):
        enough = documents.terms[rule.blocklist] >= rule.threshold
        flagged = enough
        if rule.above is not None:
            scores[number] = _scores(source, rule, documents, enough, scored[number])
            flagged = enough & (scores[number] > rule.above)
        flagged_by_any |= flagged
        if not rule.placebo:
            escalated |= enough
            condemned |= flagged
            removed |= _dosed(rule, documents, flagged).astype(np.uint32) << np.uint32(number)
    for item in partners:
        chosen = item.among(documents) & (removed == 0) & ~flagged_by_any
        removed |= chosen.astype(np.uint32) << np.uint32(item.filter)
    kept = removed == 0
    return Verdicts(removed, escalated & ~condemned & kept, flagged_by_any & kept, scores)


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
    dosed = flagged.copy()
    dosed[flagged] = in_dose(documents.digest[flagged], rule.dose)
    return dosed
