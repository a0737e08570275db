"""The rules of the stream: where each document stands in it, what each source has of it, and how
evenly the sources are spread.
"""

from __future__ import annotations

import numpy as np

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Rows
from mixtures.mix.claims import Claims
from mixtures.mix.indexed import IndexedTokens
from mixtures.stream.order import deviation, deviation_bound, positions
from mixtures.words import plural

_GAP = "does not begin where the one before it ends"


class TableIndex:
    """The documents table counts up without gaps, in its own slices, and says of each document what
    the .idx says.
    """

    name = "documents and idx"

    def __init__(self, claims: Claims, pair: IndexedTokens | None) -> None:
        self._claims, self._pair = claims, pair
        self._documents = self._tokens = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        starts = self._tokens + np.cumsum(rows.num_tokens) - rows.num_tokens
        slices = rows.first_token // np.uint64(self._claims.layout.slice_tokens)
        positions_due = np.uint64(self._documents) + np.arange(len(rows), dtype=np.uint64)
        sizes = rows.num_tokens
        there = slice(self._documents, self._documents + len(rows))
        if self._pair is not None and len(indexed := self._pair.sizes[there]) == len(rows):
            sizes = indexed.astype(np.int64)
        for wrong, what in (
            (rows.position != positions_due, "has another position in its table"),
            (rows.first_token != starts.astype(np.uint64), _GAP),
            (slices != rows.part, f"is in part {rows.part:,}, but begins in another slice"),
            (rows.source < 0, "is of a source that the manifest does not list"),
            (sizes != rows.num_tokens, "has another length in the .idx"),
        ):
            self._faults += rows.first(np.flatnonzero(wrong), what)
        self._documents += len(rows)
        self._tokens += int(rows.num_tokens.sum())

    def result(self) -> Check:
        if self._pair is None:
            return unread(self.name, "the .idx cannot be read")
        faults = list(self._faults)
        if not self._documents == len(self._pair.sizes) == self._claims.total_documents:
            indexed, claimed = len(self._pair.sizes), self._claims.total_documents
            faults.append(
                f"{self._documents:,} documents in the table, {indexed:,} in the .idx, the manifest"
                f" says {claimed:,}"
            )
        return judge(
            self.name,
            f"{plural(self._documents, 'document')} of {plural(self._tokens, 'token')} agree",
            faults,
        )


class CountedQuotas:
    """Every strand gives its share of its quota to the token (`Claims.shares`), and the sum is the
    mix.
    """

    name = "quotas"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.tokens = [0] * len(claims.sources)
        self.documents = [0] * len(claims.sources)
        self.total_tokens = self.total_documents = 0

    def add(self, rows: Rows) -> None:
        for number, of_source in rows.by_source(len(self.tokens)):
            self.tokens[number] += int(rows.num_tokens[of_source].sum())
            self.documents[number] += len(of_source)
        self.total_tokens += int(rows.num_tokens.sum())
        self.total_documents += len(rows)

    def result(self) -> Check:
        faults, claims = [], self._claims
        for source, share, tokens, documents in zip(
            claims.sources, claims.shares, self.tokens, self.documents, strict=True
        ):
            # no quota that removed documents could leave gaps in
            beside = source.copy_number or source.insert
            fits = share == source.resolved_tokens if beside else share <= source.resolved_tokens
            if not (fits and tokens == share == source.realised_tokens):
                claimed = (
                    f"quota {source.resolved_tokens:,}, the manifest says"
                    f" {source.realised_tokens:,}"
                )
                faults.append(f"{source.label}: {tokens:,} tokens counted, {claimed}")
            if documents != source.documents:
                faults.append(
                    f"{source.label}: {documents:,} documents counted, the manifest says"
                    f" {source.documents:,}"
                )
        if not self.total_tokens == sum(claims.shares) == claims.total_tokens:
            claimed = (
                f"sources sum to {sum(claims.shares):,}, the manifest says {claims.total_tokens:,}"
            )
            faults.append(f"{self.total_tokens:,} tokens counted, {claimed}")
        if self.total_documents != claims.total_documents:
            faults.append(
                f"{self.total_documents:,} documents counted, the manifest says"
                f" {claims.total_documents:,}"
            )
        dropped = sum(source.dropped_tokens for source in claims.sources) if claims.shrinks else 0
        gaps = f", {dropped:,} less than their quotas for removed documents" if dropped else ""
        figure = (
            f"{self.total_tokens:,} tokens, {self.total_documents:,} documents,"
            f" {plural(len(self.tokens), 'source')} each to the token"
        )
        return judge(self.name, figure + gaps, faults)


class StreamOrder:
    """Documents stand by the midpoint of their tokens in their source's quota; equal midpoints in
    recipe order.

    Where removed documents left gaps, a midpoint is known only to lie between no gap before it and
    all gaps before it; no document may stand after one whose midpoint is surely later. `audit
    --against` the unfiltered mix compares the order itself.
    """

    name = "stream order"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._last: tuple[float, int] | None = None
        self._latest = 0.0
        self._documents = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        if self._claims.gaps:
            self._add_with_gaps(rows)
            return
        where = np.zeros(len(rows), np.float64)
        for number, of_source in rows.by_source(len(self._claims.sources)):
            where[of_source] = positions(
                rows.start[of_source],
                rows.num_tokens[of_source],
                max(self._claims.shares[number], 1),
            )
        # the last one of the part before stands in front, so that neighbours over the edge compare
        source, lead = rows.source, 0
        if self._last is not None:
            where, source = np.append(self._last[0], where), np.append(self._last[1], source)
            lead = 1
        if len(where):
            self._last = (float(where[-1]), int(source[-1]))
        wrong = (where[1:] < where[:-1]) | ((where[1:] == where[:-1]) & (source[1:] < source[:-1]))
        later = np.flatnonzero(wrong) + 1 - lead
        self._faults += rows.first(later, "stands after one with a later midpoint")
        self._documents += len(rows)

    def _add_with_gaps(self, rows: Rows) -> None:
        earliest, latest = np.zeros(len(rows), np.float64), np.zeros(len(rows), np.float64)
        for number, of_source in rows.by_source(len(self._claims.sources)):
            source = self._claims.sources[number]
            quota, gaps = max(source.resolved_tokens, 1), max(source.dropped_tokens, 0)
            earliest[of_source] = positions(
                rows.start[of_source], rows.num_tokens[of_source], quota
            )
            # as if all that was removed of the source stood before the document
            latest[of_source] = positions(
                rows.start[of_source] + gaps, rows.num_tokens[of_source], quota
            )
        # the latest of the earliest midpoints so far; before[i] is what stands before document i
        before = np.maximum.accumulate(np.append(self._latest, earliest))
        self._latest = float(before[-1])
        later = np.flatnonzero(latest < before[:-1])
        self._faults += rows.first(
            later, "stands after one with a later midpoint, whatever was removed"
        )
        self._documents += len(rows)

    def result(self) -> Check:
        verdict = "can ascend, with the gaps that removals left" if self._claims.gaps else "ascend"
        return judge(
            self.name, f"midpoints of {plural(self._documents, 'document')} {verdict}", self._faults
        )


class PrefixBound:
    """At every prefix of the stream each source is within the proven bound of its share, and as
    near as the manifest says.

    measured: largest |placed - share| of each source so far, times the total. longest: tokens of
        its longest document.
    """

    name = "prefix bound"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.measured = [0] * len(claims.sources)
        self.longest = [0] * len(claims.sources)

    def add(self, rows: Rows) -> None:
        here = deviation(rows.before, rows.source, rows.num_tokens, self._claims.shares)
        self.measured = [max(pair) for pair in zip(self.measured, here, strict=True)]
        for number, of_source in rows.by_source(len(self.longest)):
            self.longest[number] = max(self.longest[number], int(rows.num_tokens[of_source].max()))

    @property
    def bounds(self) -> list[int]:
        """The proven bounds, times twice the total."""
        return deviation_bound(self._claims.shares, self.longest)

    def figures(self) -> list[tuple[int | None, int]]:
        """(bound, measured) of each source in tokens, both rounded up; no bound is proven where
        removals left gaps.
        """
        total, gaps = max(sum(self._claims.shares), 1), self._claims.gaps
        bounds = [None if gaps else -(-bound // (2 * total)) for bound in self.bounds]
        return [
            (bound, -(-measured // total))
            for bound, measured in zip(bounds, self.measured, strict=True)
        ]

    def result(self) -> Check:
        faults, worst, figure = [], -1, "no token to place"
        for number, (source, (bound, measured)) in enumerate(
            zip(self._claims.sources, self.figures(), strict=True)
        ):
            most, said = _most(bound), source.deviation
            if bound is not None and 2 * self.measured[number] > self.bounds[number]:
                faults.append(
                    f"{source.label} strays {measured:,} tokens from its share, proven are"
                    f" {bound:,}"
                )
            if (bound, measured) != (said.bound_tokens, said.measured_tokens):
                claimed_stray = f"{said.measured_tokens:,} tokens{_most(said.bound_tokens)}"
                faults.append(
                    f"{source.label} strays {measured:,} tokens{most}, the manifest says"
                    f" {claimed_stray}"
                )
            if self.longest[number] != source.longest_tokens:
                longest, claimed = self.longest[number], source.longest_tokens
                faults.append(
                    f"{source.label}: longest document {longest:,} tokens, the manifest says"
                    f" {claimed:,}"
                )
            if measured > worst:
                worst, figure = measured, f"{source.label} strays most, {measured:,} tokens{most}"
        return judge(self.name, figure, faults)


def _most(bound: int | None) -> str:
    if bound is None:
        return ", no bound is proven where removals left gaps"
    return f" of at most {bound:,}"
