"""Scores of what the filter of an arm removes, and of the donors that stand there instead: what may
tell the two apart beside lengths, where the filter has a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mixtures.mix.judged.arms import ArmScoresClaim, ScoredClaim
from pipeline.arms.slots import Slots
from pipeline.build.build import Judged
from pipeline.stages.chosen_figures import known_scores


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
    distinct = {name: np.unique(digest, axis=0) for name, digest in wanted.items()}
    scores = [
        known_scores(judged.choices[name].eligible, number, digest)
        for name, digest in distinct.items()
        if len(digest)
    ]
    found = np.concatenate([np.empty(0, np.int64), *scores])
    return ScoredClaim.of(sum(map(len, distinct.values())), found[found >= 0])
