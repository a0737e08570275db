"""Scores that a filter of a mix gave to some documents, from the store of the mix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.rules.filter_definition import MILLION
from pipeline.lookup.filters import MixFilter
from pipeline.lookup.selection import MixStore
from pipeline.stages.chosen_figures import known_scores

SCORE_EDGES: list[int] = [
    0,
    *(round(MILLION / (1 + math.exp(-at / 4))) for at in range(-36, 37)),
    MILLION + 1,
]
"""Millionths, at equal steps of the logit."""


def scoring(mix: MixStore) -> Iterator[tuple[int, int, MixFilter]]:
    """(number, threshold in millionths, filter) of each filter that scores decide."""
    for number, item in mix.own_filters.items():
        if item.table is not None and item.rule.above is not None:
            yield number, item.rule.above, item


def score_counts(mix: MixStore, number: int, digest: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    """Documents that filter `number` scored, between two of SCORE_EDGES: int64 [num_edges - 1]. Of
    those that the mix neither holds nor could hold the store of it knows none.

    digest: uint64 [num_docs, 2].
    """
    counts = np.zeros(len(SCORE_EDGES) - 1, np.int64)
    for choice in mix.choices.values():
        if number < choice.eligible.filters:  # else an insert
            counts += by_edges(known_scores(choice.eligible, number, digest))
    return counts


def by_edges(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scores between two of SCORE_EDGES: int64 [num_edges - 1]; -1, of documents that were not
    escalated, lies below all. scores: millionths [num_docs].
    """
    return np.histogram(np.asarray(scores, np.int64), SCORE_EDGES)[0]
