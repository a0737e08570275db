"""Scores that a filter's classifier gave to some documents, as a selection has them: apart from
what else is read of it, since it takes a library that the stages do without.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.stages.eligible import Eligible, score_column

_HALVES = ("high", "low")


def known_scores(
    eligible: Eligible, number: int, digest: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Scores that a filter gave to those of some documents that can be in the mix or are removed:
    millionths, int64 [num_found], -1 of what its list did not escalate. digest: uint64 [num_docs,
    2], each once.
    """
    prefix, wanted, found = score_column(number), _by_digest(digest), [np.empty(0, np.int64)]
    columns = [eligible.kept_column, *([eligible.removed_column] if eligible.reasons else [])]
    for partition in range(len(eligible.tables)):
        for column in columns:
            score = pl.Series(np.asarray(column("score", partition, prefix)).astype(np.int64))
            known = _by_digest(column("digest", partition)).with_columns(score=score)
            found.append(wanted.join(known, on=_HALVES)["score"].to_numpy())
    return np.concatenate(found)


def _by_digest(digest: npt.NDArray[np.uint64]) -> pl.DataFrame:
    """digest: uint64 [num_docs, 2]."""
    halves = np.asarray(digest).astype(np.uint64)
    return pl.DataFrame({name: halves[:, half] for half, name in enumerate(_HALVES)})
