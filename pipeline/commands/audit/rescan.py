"""Every document of a finished mix, read back from its bytes and judged again by a filter: none
flagged is the proof of a filtered mix.

    shares of documents (`pipeline.lookup.documents`) -> text (`pipeline.tokens.decoder`) ->
    `Filter.judge` -> counts by source, places

What is judged is what the mix's ids spell, cut documents as they were cut. That is the text that a
model reads, in the normaliser's form. A tokenizer with NFC gives NFC(text) where the build judged
the text itself, and a decision may differ for a text that is not in NFC. Mode `words` counts the
same terms in both, unless a combining mark stands behind a symbol that it composes with ("=" and
U+0338 become one separator). Mode `published` normalises nothing: a term counts only in the
spelling in which the list has it, so a term beside a combining mark may be found in one form and
not in the other. A classifier sees other characters and may score otherwise. A cut document may be
judged otherwise than the whole one. In a slot of an arm that several donors fill, each is judged by
itself, as any two documents that follow each other: terms of one do not add up with the next one's.
So none flagged says exactly this: the filter flags no text
that is in the mix. It does not say that the filter was asked when the mix was built, or that it
would have flagged no original.

Results do not depend on the number of processes. Memory: a share of about 4 MB of text and a filter
for each process.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from mixtures.keys import order_key, text_digest
from mixtures.mix.claims import read_claims
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.slots import inner_donors
from mixtures.rules.levels import Level
from pipeline.commands.audit.masked import MaskCounts, MaskJudge
from pipeline.judges.classifiers import Classifier
from pipeline.judges.filter import NOT_SCORED, Filter, Judgement
from pipeline.lookup.documents import Share, StreamDocuments

Int64s = npt.NDArray[np.int64]

PLACES = 1000  # flagged documents that are named
NEAR_MILLIONTHS = 1000  # a score so close to the threshold is counted as near
COUNTS = ("documents", "one_below", "escalated", "flagged", "flagged_tokens")


class Scored(NamedTuple):
    """A document that the classifier scored. start, end: its tokens of the stream; score:
    millionths. Sorts by order key.
    """

    order_key: int
    digest: bytes
    document: int
    start: int
    end: int
    score: int


class FlaggedDocument(NamedTuple):
    """A flagged document. document: its position in the stream; score: millionths, None without a
    classifier.
    """

    document: int
    source: str
    terms: int
    score: int | None
    cut: bool


@dataclass
class FilterCounts:
    """What one filter says of documents."""

    counts: npt.NDArray[np.int64]
    """[num_sources, len(COUNTS)]: documents; those with one distinct term fewer than escalates;
    escalated; flagged; tokens of the flagged, ends of documents included.
    """
    near: int = 0
    """Scores within NEAR_MILLIONTHS of the threshold."""
    places: list[FlaggedDocument] = field(default_factory=list)
    """The first flagged documents."""
    scored: list[Scored] = field(default_factory=list)
    """Of the whole documents with a score, one of each digest, those with the smallest order
    keys.
    """
    masked: MaskCounts = field(default_factory=MaskCounts)
    """Of a mix that is masked by this filter."""

    def add(self, other: FilterCounts, num_scored: int) -> None:
        """Add what comes after this in the stream; of the scored documents `num_scored` are
        kept.
        """
        self.counts += other.counts
        self.near += other.near
        self.masked.add(other.masked)
        self.places += other.places[: PLACES - len(self.places)]
        self.scored = smallest([*self.scored, *other.scored], num_scored)

    def total(self, name: str) -> int:
        """One of COUNTS over all sources."""
        return int(self.counts[:, COUNTS.index(name)].sum())


def smallest(scored: Iterable[Scored], number: int) -> list[Scored]:
    """The first documents by order key, one of each digest: the one that is first in the stream."""
    first: dict[bytes, Scored] = {}
    for one in scored:
        known = first.get(one.digest)
        if known is None or one.document < known.document:
            first[one.digest] = one
    return heapq.nsmallest(number, first.values())


@dataclass(frozen=True)
class Rescan:
    """What to do: judge a stream with filters. names: as the user gave them; identities: of these
    filters; num_scored: to remember.

    level: at which all of them judge.
    """

    stream: StreamDocuments
    names: tuple[str, ...]
    identities: tuple[str, ...]
    num_scored: int = 0
    level: Level | None = None
    masking: str = ""
    """Identity of the one by which the mix is masked."""


class ShareJudge:
    """An opened stream and opened filters: judges share after share.

    Args:
        filters: opened ones of these names; None opens them.

    Raises:
        ManifestError: a filter has changed since the pass was begun. Else as `Filter.load` and
            `StreamDocuments.open`.
    """

    def __init__(
        self,
        rescan: Rescan,
        filters: Sequence[Filter] | None = None,
        pair: IndexedTokens | None = None,
    ) -> None:
        self._rescan = rescan
        self._pair = rescan.stream.open() if pair is None else pair
        self._decoder = rescan.stream.decoder()
        self._filters = (
            [Filter.load(name, rescan.level) for name in rescan.names]
            if filters is None
            else filters
        )
        for name, judge, identity in zip(
            rescan.names, self._filters, rescan.identities, strict=True
        ):
            if judge.identity != identity:
                raise ManifestError(
                    f"filter {name}: has changed while the mix was read; audit it again"
                )
        folder = rescan.stream.folder
        arm = None if folder is None else read_claims(folder).arm
        self._joined = arm is not None and arm.inner_documents > 0
        self._masks = [
            MaskJudge(rescan.stream, judge, self._decoder)
            if judge.identity == rescan.masking
            else None
            for judge in self._filters
        ]

    def texts(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[str]:
        """Texts of documents that stand side by side, without the tokens around them.

        starts, ends: int64 [num_docs], tokens of the stream.
        """
        if not len(starts):
            return []
        tokens, bounds = self._tokens(starts, ends)
        return self._decoder.texts(tokens, *bounds, int(starts[0]))

    def _tokens(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.integer], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Ids of documents that stand side by side, and where in them their texts begin and end."""
        low, high = int(starts[0]), int(ends[-1])
        tokens = np.asarray(self._pair.tokens[low:high])
        return tokens, self._rescan.stream.text_bounds(tokens, starts - low, ends - low)

    def judge(self, share: Share) -> list[FilterCounts]:
        """What each filter says of a share.

        Raises:
            AuditFailed: an id that the tokenizer does not have.
            InputError: an escalated text cannot be scored.
        """
        document, starts, ends = self._pieces(share)
        texts = self.texts(starts, ends)
        first = np.searchsorted(document, np.arange(len(share)))
        return [
            self._counts_of(share, texts, first, judge, mask)
            for judge, mask in zip(self._filters, self._masks, strict=True)
        ]

    def _pieces(self, share: Share) -> tuple[Int64s, Int64s, Int64s]:
        """What is judged by itself: documents, or where several donors fill a slot each of these.

        Returns:
            Index of the document, first token, and one past the last; int64 [num_pieces] each, in
            the order of the stream.
        """
        document, starts, folder = np.arange(len(share)), share.starts, self._rescan.stream.folder
        if folder is None or not self._joined:
            return document, starts, share.ends
        position, offset = inner_donors(folder, share.first, share.first + len(share))
        inner = share.starts[position - share.first] + offset
        inside = inner < share.ends[position - share.first]
        # whatever the table says, nothing but an end of document parts two texts
        before = self._pair.tokens[inner[inside] - 1]
        inside[inside] = np.isin(before, self._rescan.stream.end_ids)
        document = np.concatenate([document, (position - share.first)[inside]])
        starts = np.concatenate([starts, inner[inside]])
        order = np.lexsort((starts, document))
        document, starts = document[order], starts[order]
        ends = np.append(starts[1:], share.ends[-1:])
        return document, starts, ends

    def _counts_of(
        self, share: Share, texts: list[str], first: Int64s, judge: Filter, mask: MaskJudge | None
    ) -> FilterCounts:
        """first: of each document, index of its first text, int64 [num_docs]."""
        judged = judge.judge(texts)
        if len(texts) > len(share):
            judged = Judgement(*(np.maximum.reduceat(column, first) for column in judged))
            texts = [texts[at] for at in first.tolist()]
        threshold = judge.definition.blocklist.threshold
        lengths = share.ends - share.starts
        columns = [
            np.ones(len(share), np.int64),
            judged.terms == threshold - 1,
            judged.escalated,
            judged.flagged,
        ]
        columns.append(np.where(judged.flagged, lengths, 0))
        counts = np.zeros((len(self._rescan.stream.sources), len(COUNTS)), np.int64)
        for number, column in enumerate(columns):
            np.add.at(counts[:, number], share.source, column.astype(np.int64))
        figures = FilterCounts(counts, places=list(self._places(share, judged)))
        if mask is not None and len(share):
            figures.masked = mask.counts(share, judged, *self._tokens(share.starts, share.ends))
        if (pin := judge.definition.classifier) is not None:
            has_score = judged.scores != NOT_SCORED
            off = np.abs(judged.scores[has_score] - pin.threshold_millionths)
            figures.near = int((off <= NEAR_MILLIONTHS).sum())
            figures.scored = smallest(self._scored(share, texts, judged), self._rescan.num_scored)
        return figures

    def _places(self, share: Share, judged: Judgement) -> Iterable[FlaggedDocument]:
        for at in np.flatnonzero(judged.flagged)[:PLACES].tolist():
            score = None if judged.scores[at] == NOT_SCORED else int(judged.scores[at])
            source = self._rescan.stream.sources[share.source[at]]
            yield FlaggedDocument(
                share.first + at, source, int(judged.terms[at]), score, bool(share.cut[at])
            )

    def _scored(self, share: Share, texts: list[str], judged: Judgement) -> Iterable[Scored]:
        """Scored documents that are whole. Without a table a document's digest is that of the text
        that its ids spell.
        """
        if not self._rescan.num_scored:
            return
        for at in np.flatnonzero((judged.scores != NOT_SCORED) & ~share.cut).tolist():
            digest = text_digest(texts[at]) if share.digest is None else share.digest[at].tobytes()
            start, end = int(share.starts[at]), int(share.ends[at])
            yield Scored(
                order_key(digest), digest, share.first + at, start, end, int(judged.scores[at])
            )


@dataclass(frozen=True)
class Agreement:
    """Scores compared. documents: that both have; missing: that the second table lacks; identical:
    of equal score.

    largest_difference: millionths. changed: positions in the stream of documents of which the
        decision is another.
    """

    documents: int
    missing: int
    identical: int
    largest_difference: int
    changed: tuple[int, ...]


def agreement(scored: Sequence[Scored], again: Mapping[bytes, int], threshold: int) -> Agreement:
    """Compare the scores of documents with those of a second table.

    Args:
        again: {digest: score in millionths}. threshold: millionths; a document is flagged if its
            score is greater.
    """
    both = [(one, again[one.digest]) for one in scored if one.digest in again]
    differences = [abs(one.score - score) for one, score in both]
    changed = tuple(
        one.document for one, score in both if (one.score > threshold) != (score > threshold)
    )
    return Agreement(
        len(both),
        len(scored) - len(both),
        differences.count(0),
        max(differences, default=0),
        changed,
    )


def rescore(
    scored: Sequence[Scored], classifier: Classifier, read: Callable[[Scored], str]
) -> dict[str, dict[bytes, int]]:
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
    return {
        "alone": dict(zip(digests, alone, strict=True)),
        "reversed": dict(zip(digests, turned, strict=True)),
    }
