"""The rules of the stream: where each document stands in it, what each source has of it, and how evenly the sources are spread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixtures.audit.claims import Claims
from mixtures.audit.columns import Rows
from mixtures.audit.report import Check, judge, plural, unread
from mixtures.indexed import IndexedTokens
from mixtures.order import deviation, deviation_bound, positions


class TableIndex:
    """The documents table counts up without gaps, in its own slices, and says of each document what the .idx says."""

    name = "documents and idx"

    def __init__(self, claims: Claims, pair: IndexedTokens | None) -> None:
        self._claims, self._pair = claims, pair
        self._documents = self._tokens = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        starts = self._tokens + np.cumsum(rows.num_tokens) - rows.num_tokens
        slices = rows.first_token // np.uint64(self._claims.layout.slice_tokens)
        positions_due = np.uint64(self._documents) + np.arange(len(rows), dtype=np.uint64)
        self._note(rows, rows.position != positions_due, "has another position in its table")
        self._note(rows, rows.first_token != starts.astype(np.uint64), "does not begin where the one before it ends")
        self._note(rows, slices != np.uint64(rows.part), f"is in part {rows.part:,}, but begins in another slice")
        self._note(rows, rows.source < 0, "is of a source that the manifest does not list")
        if self._pair is not None:
            sizes = np.asarray(self._pair.sizes[self._documents : self._documents + len(rows)], np.int64)
            if len(sizes) == len(rows):
                self._note(rows, sizes != rows.num_tokens, "has another length in the .idx")
        self._documents += len(rows)
        self._tokens += int(rows.num_tokens.sum())

    def _note(self, rows: Rows, wrong: npt.NDArray[np.bool_], what: str) -> None:
        if wrong.any():
            self._faults.append(f"{rows.where(int(np.argmax(wrong)))} {what}")

    def result(self) -> Check:
        if self._pair is None:
            return unread(self.name, "the .idx cannot be read")
        faults = list(self._faults)
        if not self._documents == len(self._pair.sizes) == self._claims.total_documents:
            indexed, said = len(self._pair.sizes), self._claims.total_documents
            faults.append(f"{self._documents:,} documents in the table, {indexed:,} in the .idx, the manifest says {said:,}")
        return judge(self.name, f"{plural(self._documents, 'document')} of {plural(self._tokens, 'token')} agree", faults)


class Quotas:
    """Every source gives its resolved quota to the token, and the sum is the mix."""

    name = "quotas"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.tokens = [0] * len(claims.sources)
        self.documents = [0] * len(claims.sources)
        self.total_tokens = self.total_documents = 0

    def add(self, rows: Rows) -> None:
        for number, mine in rows.by_source(len(self.tokens)):
            self.tokens[number] += int(rows.num_tokens[mine].sum())
            self.documents[number] += len(mine)
        self.total_tokens += int(rows.num_tokens.sum())
        self.total_documents += len(rows)

    def result(self) -> Check:
        faults = []
        for source, tokens, documents in zip(self._claims.sources, self.tokens, self.documents, strict=True):
            if not tokens == source.resolved_tokens == source.realised_tokens:
                said = f"quota {source.resolved_tokens:,}, the manifest says {source.realised_tokens:,}"
                faults.append(f"{source.name}: {tokens:,} tokens counted, {said}")
            if documents != source.documents:
                faults.append(f"{source.name}: {documents:,} documents counted, the manifest says {source.documents:,}")
        claims = self._claims
        if not self.total_tokens == sum(claims.quotas) == claims.total_tokens:
            said = f"quotas sum to {sum(claims.quotas):,}, the manifest says {claims.total_tokens:,}"
            faults.append(f"{self.total_tokens:,} tokens counted, {said}")
        if self.total_documents != claims.total_documents:
            faults.append(f"{self.total_documents:,} documents counted, the manifest says {claims.total_documents:,}")
        figure = f"{self.total_tokens:,} tokens, {self.total_documents:,} documents, {plural(len(self.tokens), 'source')} each to the token"
        return judge(self.name, figure, faults)


class StreamOrder:
    """Documents stand by the midpoint of their tokens in their source's quota; equal midpoints in recipe order."""

    name = "stream order"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._last: tuple[float, int] | None = None
        self._documents = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        where = np.zeros(len(rows), np.float64)
        for number, mine in rows.by_source(len(self._claims.sources)):
            where[mine] = positions(rows.start[mine], rows.num_tokens[mine], max(self._claims.quotas[number], 1))
        source, lead = rows.source, 0
        if self._last is not None:
            where, source, lead = np.append(self._last[0], where), np.append(self._last[1], source), 1
        if len(where):
            self._last = (float(where[-1]), int(source[-1]))
        wrong = (where[1:] < where[:-1]) | ((where[1:] == where[:-1]) & (source[1:] < source[:-1]))
        if wrong.any():
            row = int(np.argmax(wrong)) + 1 - lead
            self._faults.append(f"{rows.where(row)} stands after one with a later midpoint")
        self._documents += len(rows)

    def result(self) -> Check:
        return judge(self.name, f"midpoints of {plural(self._documents, 'document')} ascend", self._faults)


class PrefixBound:
    """At every prefix of the stream each source is within the proven bound of its share, and as near as the manifest says.

    measured: largest |placed - share| of each source so far, times the total. longest: tokens of its longest document.
    """

    name = "prefix bound"

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.measured = [0] * len(claims.sources)
        self.longest = [0] * len(claims.sources)

    def add(self, rows: Rows) -> None:
        here = deviation(rows.before, rows.source, rows.num_tokens, self._claims.quotas)
        self.measured = [max(pair) for pair in zip(self.measured, here, strict=True)]
        for number, mine in rows.by_source(len(self.longest)):
            self.longest[number] = max(self.longest[number], int(rows.num_tokens[mine].max()))

    @property
    def bounds(self) -> list[int]:
        """The proven bounds, times twice the total."""
        return deviation_bound(self._claims.quotas, self.longest)

    def figures(self) -> list[tuple[int, int]]:
        """(bound, measured) of each source in tokens, both rounded up."""
        total = max(sum(self._claims.quotas), 1)
        return [(-(-bound // (2 * total)), -(-measured // total)) for bound, measured in zip(self.bounds, self.measured, strict=True)]

    def result(self) -> Check:
        faults, worst, told = [], -1, "no token to place"
        for number, (source, (bound, measured)) in enumerate(zip(self._claims.sources, self.figures(), strict=True)):
            if 2 * self.measured[number] > self.bounds[number]:
                faults.append(f"{source.name} strays {measured:,} tokens from its share, proven are {bound:,}")
            if (bound, measured) != (source.deviation.bound_tokens, source.deviation.measured_tokens):
                said = f"{source.deviation.measured_tokens:,} of {source.deviation.bound_tokens:,}"
                faults.append(f"{source.name} strays {measured:,} of at most {bound:,} tokens, the manifest says {said}")
            if self.longest[number] != source.longest_tokens:
                longest, claimed = self.longest[number], source.longest_tokens
                faults.append(f"{source.name}: longest document {longest:,} tokens, the manifest says {claimed:,}")
            if measured > worst:
                worst, told = measured, f"{source.name} strays most, {measured:,} tokens of at most {bound:,}"
        return judge(self.name, told, faults)
