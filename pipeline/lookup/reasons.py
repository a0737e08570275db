"""Why documents are not in a mix, as its store says: asked where two manifests leave more than one
reason.

Most are found in the columns of the selection: what a filter or an evaluation set removed, and what
stands behind the end of a quota. The others (duplicates, near-duplicates, excluded ones, rows that
are no document) are traced one by one (`pipeline.lookup.fates`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from mixtures.audit.documents import KEY
from mixtures.diff.figures import Reasons
from mixtures.diff.reasons import BEYOND, NOT_READ, UNKNOWN, WhyNot
from mixtures.keys import KEY_SPACE, order_keys
from pipeline.lookup.fates import Fates
from pipeline.stages.eligible import Choice


class StoreReasons:
    """Reasons of documents of one mix that are not in the other, whose store this is.

    fates: of the mix that lacks them.
    """

    def __init__(self, why: WhyNot, fates: Fates) -> None:
        self.why, self.fates, self.mix = why, fates, fates.mix
        self._traces = why.other.claims.study is not None

    def exact(
        self, source: npt.NDArray[np.integer], digest: npt.NDArray[np.uint64], reasons: Reasons
    ) -> Reasons:
        """The reasons, with those that the manifests leave open replaced by what the store says. As
        `WhyNot.reasons`. source: integer [num_docs]; digest: uint64 [num_docs, 2].
        """
        exact = reasons.copy()
        rows = np.flatnonzero([reason == UNKNOWN or " or " in reason for reason in reasons])
        keys = order_keys(digest[rows])
        for name in self._names(source[rows]):
            pairs = zip(source[rows].tolist(), keys.tolist(), strict=True)
            here = np.array([name in self._targets(code, key) for code, key in pairs], np.bool_)
            open_rows = rows[here]
            exact[open_rows] = self._of_source(name, digest[open_rows], keys[here])
        return exact

    def _names(self, source: npt.NDArray[np.integer]) -> list[str]:
        """Sources of the other mix that read the same data. source: integer [num_docs], ours."""
        definitions = {
            self.why.mix.claims.sources[code].definition
            for code in np.unique(source[source >= 0]).tolist()
        }
        return [
            item.name
            for item in self.why.other.claims.sources
            if item.definition in definitions and not item.copy_number
        ]

    def _targets(self, code: int, key: int) -> list[str]:
        """Sources of the other mix that would have the document."""
        source = self.why.mix.claims.sources[code]
        return [
            item.name
            for item in self.why.other.claims.sources
            if not item.copy_number
            and (item.definition, item.insert) == (source.definition, source.insert)
            and item.key_range.holds(key)
        ]

    def _of_source(
        self, name: str, digest: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]
    ) -> Reasons:
        """Of documents that this source would have: object [num_docs].

        digest: uint64 [num_docs, 2]; keys: uint64 [num_docs], their order keys.
        """
        choice = self.mix.choices[name]
        reasons = np.full(len(digest), UNKNOWN, object)
        if self._traces:  # the selection is of all arms of the study
            reasons[:] = [self._traced(name, one.astype(">u8").tobytes()) for one in digest]
            return reasons
        width = KEY_SPACE // len(choice.eligible.tables)
        partitions = keys // np.uint64(width) if width < KEY_SPACE else np.zeros_like(keys)
        for partition in np.unique(partitions).tolist():
            here = np.flatnonzero(partitions == partition)
            reasons[here] = self._of_partition(choice, int(partition), digest[here])
        for row in np.flatnonzero(reasons == UNKNOWN).tolist():
            reasons[row] = self._traced(name, digest[row].astype(">u8").tobytes())
        return reasons

    def _of_partition(
        self, choice: Choice, partition: int, digest: npt.NDArray[np.uint64]
    ) -> Reasons:
        """What the selection's columns say; UNKNOWN where a document is not in them.

        Object [num_docs]. digest: uint64 [num_docs, 2].
        """
        kept = np.asarray(choice.eligible.kept_column("digest", partition))
        kept = kept[choice.taken[partition] :]
        pieces = [_frame(kept, np.full(len(kept), -1))]
        if choice.eligible.reasons:
            removed, verdicts = (
                np.asarray(choice.eligible.removed_column(name, partition))
                for name in ("digest", "verdicts")
            )
            # the first reason that holds is the lowest bit that is set; -1 stands for no reason:
            # those behind the first `removed` were removed behind the end of the quota
            bits = verdicts & -verdicts.astype(np.int64)
            lowest = np.log2(bits.astype(np.float64)).astype(np.int64)
            lowest[choice.removed[partition] :] = -1
            pieces.append(_frame(removed, lowest))
        wanted = _frame(digest, np.arange(len(digest))).rename({"reason": "row"})
        reasons = np.full(len(digest), UNKNOWN, object)
        found = wanted.join(pl.concat(pieces), on=KEY).select("row", "reason")
        for row, reason in found.iter_rows():
            reasons[row] = BEYOND if reason < 0 else choice.eligible.reasons[reason]
        return reasons

    def _traced(self, name: str, digest: bytes) -> str:
        """The reason of the first of its rows: the others are duplicates of it."""
        return next(
            (fate.reason for fate in self.fates.of_digest(digest) if fate.origin.source == name),
            NOT_READ,
        )


def _frame(digest: npt.NDArray[np.uint64], reason: npt.NDArray[np.int64]) -> pl.DataFrame:
    """Columns to join by. digest: uint64 [num_docs, 2]; reason: int64 [num_docs]."""
    high, low = digest.astype(np.uint64).T
    return pl.DataFrame({KEY[0]: high, KEY[1]: low, "reason": reason.astype(np.int64)})
