"""What a select stage leaves, as the stages after it read it: of each source and key partition,
columns in key order.

    SOURCE.NAME           documents that can be in the mix
    SOURCE+copies.NAME    those of them that are copied (`of`: which)
    SOURCE+removed.NAME   those that are contaminated or that filters remove (`verdicts`: bit i for
                          reason i; `after`, `place`: where)

Columns of the first two: digest, num_tokens, start, place, offset, token_file, segment, ledger_row.
`place` is left out where it equals `start`. With a classifier, `filterN.score` beside the first and
the third; for a placebo, `spared` beside the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtures.keys import order_key
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import EXCLUDED, NEAR
from mixtures.stream.order import SourceOrder
from mixtures.stream.rotation import rotation
from mixtures.stream.selection import Copies, End, Lengths, PartitionTable, Selection, select
from pipeline.store.columns import read_column
from pipeline.store.records import Frozen, Record

if TYPE_CHECKING:
    from pipeline.inputs.build_source import SelectedSource
    from pipeline.stages.select_plan import SelectPlan

KEPT, COPIES, REMOVED = "", "+copies", "+removed"

ReadColumn = Callable[..., npt.NDArray[Any]]
"""Reads a column [num_docs] by its name, and by its prefix if it is a filter's."""


def partition_folder(folder: Path, partition: int) -> Path:
    """Where a partition's result lies."""
    return folder / f"p{partition:04d}"


def score_column(number: int) -> str:
    """Prefix of the scores of a filter, by its number."""
    return f"filter{number}."


@dataclass(frozen=True)
class Strand:
    """The columns of one strand of a source. part: KEPT or COPIES."""

    source: str
    folder: Path
    part: str
    placed: bool

    def column(self, name: str, partition: int) -> npt.NDArray[Any]:
        """A column [num_docs] of a partition, memory-mapped."""
        return read_column(
            partition_folder(self.folder, partition), name, f"{self.source}{self.part}."
        )

    def lengths(self, partition: int) -> Lengths:
        """Starts, lengths and places of a partition's documents, memory-mapped."""
        starts = self.column("start", partition)
        places = self.column("place", partition) if self.placed else starts
        return Lengths(starts, self.column("num_tokens", partition), places)


@dataclass(frozen=True)
class Eligible:
    """The result of a select stage for one source.

    in_range: documents in its key range. documents: of those, what is left when duplicates and
        excluded ones are gone, removed or not.
    duplicates: documents by reason; `duplicate of SOURCE` and `near-duplicate of SOURCE` name the
        survivor's source.
    complete: whether its whole key range is tokenized. reasons: those of the bits of `verdicts`.
        filters: how many filters judge it.
    """

    name: str
    folder: Path
    tables: list[PartitionTable]
    in_range: int
    documents: int
    duplicates: dict[str, int]
    complete: bool
    shrink: bool = False
    copied: bool = False
    reasons: Sequence[str] = ()
    filters: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of the quota that the documents below the ceiling fill."""
        return sum(table.tokens for table in self.tables)

    def strand(self, copy: int) -> Strand:
        """The documents (0) or their copies (1)."""
        return Strand(
            self.name,
            self.folder,
            COPIES if copy else KEPT,
            placed=not copy and (self.shrink or self.copied),
        )

    def select(self, quota: int, *, asked: bool) -> Choice:
        """Take what fills a quota. asked: whether the recipe asks for any of it at this size."""
        copies = self.copies if self.copied else None
        strands, end = select(
            self.name, quota, self.tables, self.strand(0).lengths, copies, shrink=self.shrink
        )
        return Choice(self, quota, strands, end, asked)

    def select_whole(self, documents: int, times: int) -> Choice:
        """Take the first `documents` documents whole, `times` times."""
        tables, left = [], documents
        for partition, table in enumerate(self.tables):
            count = min(left, table.documents)
            lengths = np.asarray(self.strand(0).lengths(partition).num_tokens[:count], np.int64)
            tables.append(
                PartitionTable(
                    count, int(lengths.sum()), int(lengths.max(initial=0)), int(lengths.sum())
                )
            )
            left -= count
        quota = times * sum(table.tokens for table in tables)
        strands, end = select(self.name, quota, tables, self.strand(0).lengths)
        return Choice(self, quota, strands, end)

    def copies(self, partition: int) -> Copies:
        """The copied documents of a partition."""
        strand = self.strand(1)
        return Copies(strand.column("of", partition), strand.lengths(partition))

    def kept_column(self, name: str, partition: int, prefix: str = "") -> npt.NDArray[Any]:
        """A column [num_docs] of the documents that can be in the mix, memory-mapped."""
        return read_column(
            partition_folder(self.folder, partition), name, f"{self.name}{KEPT}.{prefix}"
        )

    def removed_column(self, name: str, partition: int, prefix: str = "") -> npt.NDArray[Any]:
        """A column [num_docs] of the documents that filters remove, memory-mapped."""
        return read_column(
            partition_folder(self.folder, partition), name, f"{self.name}{REMOVED}.{prefix}"
        )


@dataclass(frozen=True)
class Choice:
    """What a mix takes of one source. strands: the documents and, where some are copied, the
    copies, in the order of epochs and keys until they are `rotated`. quota: tokens that it fills.

    asked: whether the recipe asks for any of it at this size.
    """

    eligible: Eligible
    quota: int
    strands: list[Selection]
    end: End | None
    asked: bool = True

    def rotated(self) -> Choice:
        """The same with its copies where the stream has them; reads the lengths of all copies."""
        if len(self.strands) < 2:
            return self
        kept, copied = self.strands
        lengths = self.eligible.strand(1).lengths
        first = rotation(
            SourceOrder(kept, self.eligible.strand(0).lengths),
            SourceOrder(copied, lengths),
            lambda partition: self.eligible.copies(partition).of,
        )
        return replace(self, strands=[kept, copied.rotated(first, lengths)])

    def taken_columns(self) -> Iterator[ReadColumn]:
        """What reads those of the documents in the mix, each once, of one partition after the
        other; partitions without any are left out.
        """
        return _first_rows(self.eligible.kept_column, self.taken)

    def removed_columns(self) -> Iterator[ReadColumn]:
        """Likewise, of the `removed` documents."""
        return _first_rows(self.eligible.removed_column, self.removed)

    def reached_columns(self) -> Iterator[ReadColumn]:
        """Likewise, of all documents before the end of the quota."""
        return chain(self.taken_columns(), self.removed_columns())

    @cached_property
    def taken(self) -> list[int]:
        """Of each partition, how many documents the first epoch takes."""
        counts = {run.partition: run.documents for run in self.strands[0].runs if run.epoch == 0}
        return [counts.get(partition, 0) for partition in range(len(self.eligible.tables))]

    @cached_property
    def removed(self) -> list[int]:
        """Of each partition, how many removed documents stand before the end of the quota: those
        that filters, not the quota, keep out.
        """
        partitions = range(len(self.eligible.tables))
        if not self.eligible.reasons or (self.end is None and not self._nothing_was_left):
            return [0 for _ in partitions]
        end = (
            None if self.end is None or self._exhausts(self.end) else self.end
        )  # None: nothing stands behind it
        before = (
            len(partitions) if end is None else end.partition
        )  # partitions that lie before the end as a whole
        whole = [
            len(self.eligible.removed_column("after", partition))
            for partition in partitions[:before]
        ]
        last = [] if end is None else [self._removed_before(end)]
        return [*whole, *last, *(0 for _ in partitions[len(whole) + len(last) :])]

    @property
    def _known(self) -> bool:
        """Whether the whole key range had to be looked at; of what nobody asked for, the store may
        know it by an earlier build's doing.
        """
        return self.eligible.complete and self.asked

    @property
    def _nothing_was_left(self) -> bool:
        """Whether nothing was taken because there was nothing to take."""
        return self._known and not any(table.tokens for table in self.eligible.tables)

    def _exhausts(self, end: End) -> bool:
        """Whether nothing that could fill the quota stands behind its end; known only where the
        whole key range was looked at.
        """
        behind = (
            table.tokens if self.eligible.shrink else table.documents
            for table in self.eligible.tables[end.partition + 1 :]
        )
        return end.epoch > 0 or (self._known and end.place is None and not any(behind))

    def _removed_before(self, end: End) -> int:
        """Removed documents before the end in its own partition; under shrink they have places of
        their own in the quota.
        """
        after = self.eligible.removed_column("after", end.partition)
        if not self.eligible.shrink:
            return int(np.searchsorted(after, np.uint32(self.taken[end.partition]), "left"))
        if end.place is None:
            return len(after)
        return int(
            np.searchsorted(
                self.eligible.removed_column("place", end.partition), np.uint64(end.place), "left"
            )
        )


def _first_rows(column: ReadColumn, counts: Sequence[int]) -> Iterator[ReadColumn]:
    """column: of a partition. counts: how many rows of each."""

    def first(partition: int, count: int, name: str, prefix: str = "") -> npt.NDArray[Any]:
        return np.asarray(column(name, partition, prefix)[:count])

    return (partial(first, at, count) for at, count in enumerate(counts) if count)


def last_key(choice: Choice) -> int:
    """The largest order key of the documents that a quota reaches, removed ones included; 0 without
    any.
    """
    last = [column("digest")[-1] for column in choice.reached_columns()]
    return max((order_key(one.astype(">u8").tobytes()) for one in last), default=0)


class SourceTable(Frozen):
    """What a partition holds of a source: documents, but where another unit is named."""

    documents: int
    """That can be in the mix: below the ceiling and not removed."""
    tokens: int
    """Of the quota that the documents fill, copies and what keeps its place included."""
    longest: int
    """Tokens of the longest that can be in the mix."""
    kept_tokens: int
    """Tokens of those that can be in the mix, each once."""
    removed: int
    """That are contaminated or that filters remove."""
    copies: tuple[int, int, int] | None
    """Documents that are copied, their tokens, and those of the longest; None: none is."""
    untokenized: int
    """From the ceiling on."""
    in_range: int
    """In the key range."""
    duplicates: dict[str, int]
    """By the source of the survivor."""
    excluded: int
    """Whose survivor is an excluded recipe's."""
    near: dict[str, int]
    """That give way to a near-copy, by its source; "" is all excluded recipes."""

    @property
    def unique(self) -> int:
        """What is left when duplicates and excluded documents are gone, removed or not."""
        return self.documents + self.removed + self.untokenized

    @property
    def reasons(self) -> dict[str, int]:
        """Documents that are gone, by the reason in words."""
        return {
            **{f"duplicate of {other}": count for other, count in self.duplicates.items()},
            **{f"{NEAR}{other or EXCLUDED}": count for other, count in self.near.items()},
            "excluded": self.excluded,
        }

    @property
    def partition(self) -> PartitionTable:
        """What a quota is filled from."""
        copied = None
        if self.copies:
            documents, tokens, longest = self.copies
            copied = PartitionTable(documents, tokens, longest, tokens)
        return PartitionTable(self.documents, self.tokens, self.longest, self.kept_tokens, copied)


class PartitionRecord(Record):
    """The done-record of a partition."""

    sources: dict[str, SourceTable]
    filters: int
    """How many there are."""
    decontaminate: str | None
    """As in the plan."""


def read_eligible(plan: SelectPlan, names: Iterable[str]) -> dict[str, Eligible]:
    """The tables of a finished select stage, by source.

    Raises:
        ManifestError: a partition is missing or damaged.
    """
    records = [
        PartitionRecord.read(partition_folder(plan.folder, number))
        for number in range(plan.partitions)
    ]
    sources = {source.name: source for source in plan.sources if not source.excluded}
    return {
        name: _eligible(plan, sources[name], [record.sources[name] for record in records])
        for name in names
    }


def _eligible(plan: SelectPlan, source: SelectedSource, tables: list[SourceTable]) -> Eligible:
    duplicates: Counter[str] = Counter()
    for table in tables:
        duplicates.update(table.reasons)
    judged = not source.insert
    reasons = [CONTAMINATED] if plan.decontaminate == "drop" else []
    reasons += [f"filter {rule.label}" for rule in plan.filters]
    return Eligible(
        name=source.name,
        folder=plan.folder,
        tables=[table.partition for table in tables],
        in_range=sum(table.in_range for table in tables),
        documents=sum(table.unique for table in tables),
        duplicates={reason: count for reason, count in duplicates.items() if count},
        complete=source.ceiling == source.keys.high,
        shrink=judged and plan.shrink,
        copied=judged and plan.copies,
        reasons=reasons if judged else (),
        filters=len(plan.filters) if judged else 0,
    )
