"""Scores of what the filter of an arm removes, and of the donors that stand there instead: what may
tell the two apart beside lengths, where the filter has a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mixtures.mix.judged import ArmScoresClaim, ScoredClaim
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged
from pipeline.stages.eligible import Choice, scored_documents

_HALVES = ("high", "low")


def arm_scores(
    judged: Judged,
    slots: Slots,
    mine: npt.NDArray[np.bool_],
    donors: Mapping[str, npt.NDArray[np.uint64]],
    number: int,
) -> ArmScoresClaim:
    """The scores of an arm.

    Args:
        mine: slots of the arm, bool [num_slots]. donors: digests by source, uint64 [num_donors, 2].
            number: of its filter among those that judged the base.
    """
    removed = {
        name: slots.digest[mine & (slots.source == source)]
        for source, name in enumerate(slots.names)
    }
    return ArmScoresClaim(
        removed=_scored(judged, removed, number), donors=_scored(judged, donors, number)
    )


def _scored(
    judged: Judged, wanted: Mapping[str, npt.NDArray[np.uint64]], number: int
) -> ScoredClaim:
    """wanted: digests by source, uint64 [num_docs, 2]."""
    frames = {name: _frame(digest).unique() for name, digest in wanted.items()}
    scores = [
        _scores(judged.choices[name], frame, number) for name, frame in frames.items() if len(frame)
    ]
    found = np.concatenate([np.empty(0, np.int64), *scores])
    return ScoredClaim.of(sum(map(len, frames.values())), found[found >= 0])


def _scores(choice: Choice, wanted: pl.DataFrame, number: int) -> npt.NDArray[np.int64]:
    """Scores of those documents that the filter was asked about, int64 [num_found]; -1 of those
    that its list did not escalate. wanted: [num_docs].
    """
    found = [np.empty(0, np.int64)]
    for digest, score in scored_documents(choice, number):
        known = _frame(digest).with_columns(score=pl.Series(np.asarray(score).astype(np.int64)))
        found.append(wanted.join(known, on=_HALVES)["score"].to_numpy())
    return np.concatenate(found)


def _frame(digest: npt.NDArray[Any]) -> pl.DataFrame:
    """Digests as columns to join by. digest: uint64 [num_docs, 2]."""
    halves = np.asarray(digest).astype(np.uint64)
    return pl.DataFrame({name: halves[:, at] for at, name in enumerate(_HALVES)})
