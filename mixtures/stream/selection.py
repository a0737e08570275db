"""Which documents of a source make its quota: the shortest run in key order, exact to the token.

A source's eligible documents lie in key partitions, each sorted by (order_key, digest). Its
sequence is those documents in that order, once for each epoch that its quota needs; the quota takes
a prefix of the sequence. Only the last document can be cut: it keeps its first tokens and still
ends in EOD.

What a document takes of the quota is mostly its length, and `place` the tokens of the quota before
it. Filters change that in two ways:

    shrink   the quota is that of the unfiltered sequence: removed documents take their part of it
             and leave a gap in the stream
    copies   an approved document takes its length twice, for itself and for the copy that stands
             elsewhere in the stream

A strand is what the merge places: the documents of a source, or the copies of some of them (`copy`
1). Copies do not begin with the first one: `mixtures.stream.rotation` says with which.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PartitionTable:
    """What a source holds in one key partition.

    documents: that can be in the mix. tokens: of the quota that it fills. longest: tokens of its
        longest document (0 without any).
    kept_tokens: of those documents, once each; differs from `tokens` under shrink and with copies.
    copies: the same of the documents that are copied; None without copies.
    """

    documents: int
    tokens: int
    longest: int
    kept_tokens: int
    copies: PartitionTable | None = None


@dataclass(frozen=True)
class Lengths:
    """Documents of one strand in one key partition, in key order. All arrays [num_docs].

    starts: uint64, tokens of the strand before each. num_tokens: uint32, EOD included. places:
        uint64, tokens of the quota before each.
    """

    starts: npt.NDArray[np.uint64]
    num_tokens: npt.NDArray[np.uint32]
    places: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Copies:
    """The copied documents of a partition: `of` uint32 [num_copies], their index among the
    partition's documents, ascending.
    """

    of: npt.NDArray[np.uint32]
    lengths: Lengths


@dataclass(frozen=True)
class Run:
    """`documents` documents of a partition in one epoch, from its row `first_row` on.

    Of the strand's sequence: first_document, documents before it; first_token, tokens of the strand
    before it; first_place, tokens of the quota before it.
    """

    epoch: int
    partition: int
    first_document: int
    first_token: int
    documents: int
    tokens: int
    first_place: int
    first_row: int = 0

    def rows(self, first: int, last: int) -> slice:
        """Rows of the partition that are among documents first .. last - 1 of the sequence."""
        before = self.first_document - self.first_row
        return slice(
            max(first - before, self.first_row), min(last - before, self.first_row + self.documents)
        )


@dataclass(frozen=True)
class Cut:
    """The one document that is shortened: its index in the sequence, tokens kept (the last is EOD)
    and tokens it had.
    """

    document: int
    kept_tokens: int
    num_tokens: int


@dataclass(frozen=True)
class Selection:
    """The documents of one strand in a mix: runs without gaps.

    quota: what places are a share of. tokens: of the strand; less than the quota where removed
        documents left gaps.
    longest: tokens, after the cut.
    rotation: documents that stand at the end of the sequence although epochs and keys put them at
        its begin; 0 but for copies.
    """

    source: str
    quota: int
    runs: tuple[Run, ...]
    cut: Cut | None
    longest: int
    tokens: int
    copy: int = 0
    rotation: int = 0

    @property
    def documents(self) -> int:
        """Documents in the sequence, each epoch's counted."""
        return self.runs[-1].first_document + self.runs[-1].documents if self.runs else 0

    @property
    def epochs(self) -> int:
        """Epochs begun: 1 when nothing is repeated."""
        return max((run.epoch + 1 for run in self.runs), default=0)

    def rotated(self, by: int, lengths: Callable[[int], Lengths]) -> Selection:
        """The strand without gaps that begins with document `by` and ends with the one before it.

        lengths: returns the documents of a partition; asked for the one in which it begins.
        """
        if by == 0:
            return self
        run = self.run_of(by)
        rows, number = by - run.first_document, self.runs.index(run)
        tokens = int(lengths(run.partition).starts[rows])
        behind = replace(
            run, documents=run.documents - rows, tokens=run.tokens - tokens, first_row=rows
        )
        before = [replace(run, documents=rows, tokens=tokens)] if rows else []
        runs, document, token = [], 0, 0
        for item in (behind, *self.runs[number + 1 :], *self.runs[:number], *before):
            runs.append(
                replace(item, first_document=document, first_token=token, first_place=token)
            )
            document, token = document + item.documents, token + item.tokens
        cut = self.cut and replace(self.cut, document=self.cut.document - by)
        return replace(self, runs=tuple(runs), cut=cut, rotation=by)

    def run_of(self, document: int) -> Run:
        """The run that holds a document of the sequence, 0 <= document < documents."""
        return self.runs[bisect_right(self.runs, document, key=attrgetter("first_document")) - 1]

    def runs_within(self, first: int, last: int) -> Sequence[Run]:
        """The runs that hold documents first .. last - 1 of the sequence."""
        low = bisect_right(self.runs, first, key=attrgetter("first_document")) - 1
        high = bisect_right(self.runs, last - 1, key=attrgetter("first_document"))
        return self.runs[low:high]


@dataclass(frozen=True)
class End:
    """Where a quota ends in a partition: `place` tokens of the quota into it, in epoch `epoch`;
    None for its end.
    """

    epoch: int
    partition: int
    place: int | None


@dataclass
class _Strand:
    """A strand while it is filled."""

    source: str
    copy: int
    documents: int = 0
    tokens: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        self.runs: list[Run] = []
        self.cut: Cut | None = None

    def add(
        self, epoch: int, partition: int, place: int, documents: int, tokens: int, longest: int
    ) -> None:
        if documents:
            self.runs.append(
                Run(epoch, partition, self.documents, self.tokens, documents, tokens, place)
            )
            self.documents += documents
            self.tokens += tokens
            self.longest = max(self.longest, longest)

    def add_until(
        self, epoch: int, partition: int, place: int, lengths: Lengths, begun: int, left: int
    ) -> None:
        """Add the first `begun` documents of a partition; the last of them has `left` tokens at
        most, none if that is not positive.
        """
        last = int(lengths.num_tokens[begun - 1]) if begun else 0
        whole, kept = (begun, 0) if left >= last else (begun - 1, max(left, 0))
        tokens = int(lengths.starts[whole - 1]) + int(lengths.num_tokens[whole - 1]) if whole else 0
        longest = int(lengths.num_tokens[:whole].max(initial=0))
        if kept:
            self.cut = Cut(self.documents + whole, kept, last)
        self.add(epoch, partition, place, whole + bool(kept), tokens + kept, max(longest, kept))

    def selection(self, quota: int) -> Selection:
        return Selection(
            self.source, quota, tuple(self.runs), self.cut, self.longest, self.tokens, self.copy
        )


def select(
    source: str,
    quota: int,
    tables: Sequence[PartitionTable],
    lengths: Callable[[int], Lengths],
    copies: Callable[[int], Copies] | None = None,
    *,
    shrink: bool = False,
) -> tuple[list[Selection], End | None]:
    """Take the prefix of a source's sequence that fills exactly `quota` tokens of its quota.

    Args:
        tables: one for each key partition, in key order.
        lengths: returns the documents of a partition; asked only for the partition in which the
            quota ends.
        copies: returns the copied documents of a partition; None: nothing is copied.
        shrink: copies come on top of the quota, and places count removed documents.

    Returns:
        The strand of the documents and, if there are copies, that of the copies; and where the
        quota ends (None for a quota of 0).

    Raises:
        ValueError: the source holds nothing although its quota is not zero.
    """
    if quota > 0 and sum(table.tokens for table in tables) == 0:
        raise ValueError(f"{source}: no eligible token for a quota of {quota:,}")
    strand, copied = _Strand(source, 0), _Strand(source, 1)
    filled = epoch = 0
    end = None
    while filled < quota:
        for partition, table in enumerate(tables):
            rest = quota - filled
            if rest == 0:
                break
            if table.tokens == 0:
                continue
            if table.tokens <= rest:
                strand.add(
                    epoch, partition, filled, table.documents, table.kept_tokens, table.longest
                )
                if table.copies:
                    copied.add(
                        epoch,
                        partition,
                        copied.tokens,
                        table.copies.documents,
                        table.copies.kept_tokens,
                        table.copies.longest,
                    )
                end = End(epoch, partition, None)
            else:
                mine = lengths(partition)
                begun, left = _last_begun(mine, rest)
                strand.add_until(epoch, partition, filled, mine, begun, left)
                if copies is not None:
                    theirs = copies(partition)
                    begun, left = _last_copied(theirs, mine, begun, left, shrink=shrink)
                    copied.add_until(epoch, partition, copied.tokens, theirs.lengths, begun, left)
                end = End(epoch, partition, rest)
            filled += min(table.tokens, rest)
        epoch += 1
    strands = [strand.selection(quota if shrink else strand.tokens)]
    if copies is not None:
        strands.append(copied.selection(copied.tokens))
    return strands, end


def _last_begun(lengths: Lengths, rest: int) -> tuple[int, int]:
    """Of a partition in which a quota ends after `rest` tokens: how many documents begin before
    that, and what the last has of them.
    """
    begun = int(np.searchsorted(lengths.places, np.uint64(rest), side="left"))
    return begun, rest - int(lengths.places[begun - 1]) if begun else 0


def _last_copied(
    copies: Copies, lengths: Lengths, begun: int, left: int, *, shrink: bool
) -> tuple[int, int]:
    """The same of the copies: how many are of the documents that begin, and what the last has.
    Under refill it follows its document.
    """
    copied = int(np.searchsorted(copies.of, begun))
    if copied and copies.of[copied - 1] == begun - 1:
        return copied, left if shrink else left - int(lengths.num_tokens[begun - 1])
    return copied, int(copies.lengths.num_tokens[copied - 1]) if copied else 0
