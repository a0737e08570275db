"""Which documents of a source make its quota: the shortest run in key order, exact to the token.

A source's eligible documents lie in key partitions, each sorted by (order_key, digest). Its sequence is those documents in that
order, once for each epoch that its quota needs; the quota takes a prefix of the sequence. Only the last document can be cut: it
keeps its first tokens and still ends in EOD.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PartitionTable:
    """What a source holds in one key partition. longest: tokens of its longest document (0 when there is none)."""

    documents: int
    tokens: int
    longest: int


@dataclass(frozen=True)
class Lengths:
    """Eligible documents of one source in one key partition, in key order.

    starts: uint64 [num_docs], tokens of the partition before each document. num_tokens: uint32 [num_docs], EOD included.
    """

    starts: npt.NDArray[np.uint64]
    num_tokens: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Run:
    """The first `documents` documents of a partition in one epoch; first_* count from the start of the source's sequence."""

    epoch: int
    partition: int
    first_document: int
    first_token: int
    documents: int
    tokens: int


@dataclass(frozen=True)
class Cut:
    """The one document that is shortened: its index in the sequence, tokens kept (the last is EOD) and tokens it had."""

    document: int
    kept_tokens: int
    num_tokens: int


@dataclass(frozen=True)
class Selection:
    """The documents of one source in a mix: runs without gaps, `quota` tokens in all. longest: tokens, after the cut."""

    source: str
    quota: int
    runs: tuple[Run, ...]
    cut: Cut | None
    longest: int

    @property
    def documents(self) -> int:
        """Documents in the sequence, each epoch's counted."""
        return self.runs[-1].first_document + self.runs[-1].documents if self.runs else 0

    @property
    def epochs(self) -> int:
        """Epochs begun: 1 when nothing is repeated."""
        return self.runs[-1].epoch + 1 if self.runs else 0

    def run_of(self, document: int) -> Run:
        """The run that holds a document of the sequence, 0 <= document < documents."""
        return self.runs[bisect_right(self.runs, document, key=attrgetter("first_document")) - 1]

    def runs_within(self, first: int, last: int) -> Sequence[Run]:
        """The runs that hold documents first .. last - 1 of the sequence."""
        low = bisect_right(self.runs, first, key=attrgetter("first_document")) - 1
        high = bisect_right(self.runs, last - 1, key=attrgetter("first_document"))
        return self.runs[low:high]


def select(source: str, quota: int, tables: Sequence[PartitionTable], lengths: Callable[[int], Lengths]) -> Selection:
    """Take the prefix of a source's sequence that holds exactly `quota` tokens.

    Args:
        tables: one for each key partition, in key order.
        lengths: returns the documents of a partition; asked only for the partition in which the quota ends.

    Raises:
        ValueError: the source holds nothing although its quota is not zero.
    """
    runs: list[Run] = []
    cut: Cut | None = None
    longest = documents = tokens = epoch = 0
    if quota > 0 and sum(table.tokens for table in tables) == 0:
        raise ValueError(f"{source}: no eligible token for a quota of {quota:,}")
    while tokens < quota:
        for partition, table in enumerate(tables):
            if tokens == quota:
                break
            if table.documents == 0:
                continue
            rest = quota - tokens
            if table.tokens <= rest:
                taken, kept, within = table.documents, table.tokens, table.longest
            else:
                taken, kept, within, cut = _end_inside(lengths(partition), rest, documents)
            runs.append(Run(epoch, partition, documents, tokens, taken, kept))
            documents, tokens, longest = documents + taken, tokens + kept, max(longest, within)
        epoch += 1
    return Selection(source, quota, tuple(runs), cut, longest)


def _end_inside(lengths: Lengths, rest: int, documents: int) -> tuple[int, int, int, Cut | None]:
    """End a sequence after `rest` tokens of a partition. Returns documents, tokens, longest, and the cut if one falls."""
    whole = int(np.searchsorted(lengths.starts, np.uint64(rest), side="right")) - 1
    kept = rest - int(lengths.starts[whole])
    longest = int(lengths.num_tokens[:whole].max(initial=0))
    if kept == 0:
        return whole, rest, longest, None
    cut = Cut(documents + whole, kept, int(lengths.num_tokens[whole]))
    return whole + 1, rest, max(longest, kept), cut
