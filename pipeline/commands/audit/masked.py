"""`annealmix audit MASKED --filter F` by the filter that an arm is masked by: what it flags is in
the mix, and just that is to be no target. Whatever the manifest counts, each document is judged
again, and its runs are made again from its own tokens.

Of a document that was cut the filter judged more than is left. Its runs are those of what is left,
or it has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.report import Check, judge
from mixtures.audit.tables.mask import mask_runs
from mixtures.keys import digest_columns, key_bound
from mixtures.mix.claims import read_claims
from mixtures.recipe.filter_use import in_dose
from mixtures.words import plural
from pipeline.judges.filter import Filter, Judgement
from pipeline.judges.term_mask import TermMask
from pipeline.lookup.documents import Share, StreamDocuments
from pipeline.tokens.decoder import Decoder

NAMED = 3
Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


@dataclass
class MaskCounts:
    """What is masked, and whether it is what is to be."""

    documents: int = 0
    """That are masked as the filter says."""
    tokens: int = 0
    """Of these that are no targets."""
    cut: int = 0
    """Cut documents among all."""
    wrong: int = 0
    """Documents that are masked otherwise."""
    places: list[int] = field(default_factory=list)
    """Positions of the first of those."""

    def add(self, other: MaskCounts) -> None:
        """Add what comes after this in the stream."""
        self.documents += other.documents
        self.tokens += other.tokens
        self.cut += other.cut
        self.wrong += other.wrong
        self.places += other.places[: NAMED - len(self.places)]

    def check(self, name: str) -> Check:
        """Whether all is masked as the filter says."""
        figure = (
            f"{plural(self.documents, 'place')} of what it flags, {plural(self.tokens, 'token')} of"
            f" them masked as it says; {plural(self.cut, 'cut document')} judged by what is left"
        )
        where = ", ".join(f"{position:,}" for position in self.places)
        more = f" and {self.wrong - NAMED:,} more" if self.wrong > NAMED else ""
        faults = [
            f"{plural(self.wrong, 'document')} masked otherwise than the filter says: {where}{more}"
        ]
        return judge(f"filter {name}", figure, faults if self.wrong else [])


def mask_filter(folder: Path | None) -> str:
    """Identity of the filter by which a mix is masked. Empty of one that is not, or by a placebo,
    which depends on more than a document's text.

    Raises:
        ManifestError: the manifest is damaged.
    """
    claims = None if folder is None else read_claims(folder)
    if claims is None or claims.mask is None:
        return ""
    return next((item.identity for item in claims.filters if not item.placebo), "")


class MaskJudge:
    """The mask of a mix, and the filter that is to have made it.

    Raises:
        ManifestError: the mask is not what the manifest says.
    """

    def __init__(self, stream: StreamDocuments, judge: Filter, decoder: Decoder) -> None:
        assert stream.folder is not None
        mix = MixDocuments(stream.folder)
        claims = mix.claims
        assert claims.mask is not None
        self._starts, lengths = mask_runs(stream.folder, claims.mask, mix.max_rows)
        self._ends = self._starts + lengths
        self._terms = (
            TermMask(judge.blocklist, decoder) if claims.mask.fill == "mask-terms" else None
        )
        fraction = next(item.fraction for item in claims.filters if item.identity == judge.identity)
        self._dose = key_bound(Decimal(fraction))
        # by the stream's code of a source: filters judge no inserts
        self._judged = np.array([not source.insert for source in claims.sources])

    def counts(
        self,
        share: Share,
        judged: Judgement,
        tokens: npt.NDArray[np.integer[Any]],
        bounds: tuple[Int64s, Int64s],
    ) -> MaskCounts:
        """What is masked of a share.

        Args:
            tokens: ids [num_tokens], of the share. bounds: of the texts in it, int64 [num_docs]
                each.
        """
        flagged = judged.flagged & self._judged[share.source] & self._in_dose(share)
        low = np.searchsorted(self._starts, share.starts)
        high = np.searchsorted(self._starts, share.ends)
        asked = np.flatnonzero(flagged | (share.cut & (high > low)))
        wanted = self._wanted(share, asked, tokens, bounds)
        counts = MaskCounts(cut=int(share.cut.sum()))
        for at in np.flatnonzero((high > low) | flagged).tolist():
            here = slice(int(low[at]), int(high[at]))
            held = np.stack([self._starts[here], self._ends[here]])
            if share.cut[at] and not held.size:
                continue
            if not np.array_equal(held, wanted.get(at, _NONE)):
                counts.add(MaskCounts(wrong=1, places=[share.first + at]))
            elif flagged[at]:
                counts.add(MaskCounts(documents=1, tokens=int((held[1] - held[0]).sum())))
        return counts

    def _in_dose(self, share: Share) -> Bools:
        """Which documents the dose of the filter takes, bool [num_docs]."""
        assert share.digest is not None
        return in_dose(digest_columns(np.ascontiguousarray(share.digest)), self._dose)

    def _wanted(
        self,
        share: Share,
        asked: Int64s,
        tokens: npt.NDArray[np.integer[Any]],
        bounds: tuple[Int64s, Int64s],
    ) -> dict[int, Int64s]:
        """The runs of some documents by their index, starts and ends of the stream int64 [2,
        num_runs]; those without any are left out.
        """
        if self._terms is None:
            edges = np.stack([share.starts, share.ends])
            return {at: edges[:, at : at + 1] for at in asked.tolist()}
        if not len(asked):
            return {}
        runs = self._terms.runs(tokens, *(bound[asked] for bound in bounds))
        starts = int(share.starts[0]) + runs.start
        edges = np.stack([starts, starts + runs.length])
        return {
            int(asked[document]): edges[:, runs.document == document]
            for document in np.unique(runs.document).tolist()
        }


_NONE: Int64s = np.empty((2, 0), np.int64)
