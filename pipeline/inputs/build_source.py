"""A source of a build: its definition, key range, and how far it is tokenized."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mixtures.keys import KeyRange
from mixtures.recipe.quality.steps import Quality, reading_name
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.survey import SourceInputs
from pipeline.places.places import Place
from pipeline.store.records import Frozen
from pipeline.store.rules import TokenRule
from pipeline.store.store import ColumnRange, Group, PlannedKey, PlannedKeys, PlannedRange


class CountFolders(Protocol):
    """Whoever knows where the counts of annotators lie (`pipeline.judges.judges.Judges`)."""

    def counted(self, group: Group, keys: KeyRange) -> tuple[tuple[ColumnRange, ...], ...]:
        """Folders of counts that touch a key range, for each column."""


class SelectedSegment(Frozen):
    """A ledger segment as a select plan lists it."""

    ledger: Path
    digest: str
    """Of the ledger's done-record."""
    segment: int
    """Number of the segment in the ledger."""
    file_ranks: tuple[int, ...]
    """Of the ledger's files, by their number in it: the order that decides between equal texts."""
    tokens: tuple[PlannedRange, ...]
    counts: tuple[tuple[PlannedRange, ...], ...]
    """For each column that annotators wrote; empty where nothing judges."""

    def decisive(self) -> dict[str, object]:
        """What of it decides a selection (`ColumnRange.decisive`)."""
        return {
            **self.as_json("ledger", "tokens", "counts"),
            "tokens": [item.decisive() for item in self.tokens],
            "counts": [[item.decisive() for item in ranges] for ranges in self.counts],
        }


class SelectedSource(Frozen):
    """A source as a select plan lists it."""

    name: str
    excluded: bool
    """Whether it only takes copies away."""
    insert: bool
    """Whether it competes with none."""
    keys: PlannedKeys
    ceiling: PlannedKey
    """Documents from this key on are not tokenized."""
    segments: tuple[SelectedSegment, ...]

    def decisive(self) -> dict[str, object]:
        """What of it decides a selection (`ColumnRange.decisive`)."""
        segments = [segment.decisive() for segment in self.segments]
        return {**self.as_json("segments"), "segments": segments}


@dataclass
class BuildSource:
    """A source of the build, or one of an excluded recipe, which takes its documents away from the
    others and is never tokenized.
    """

    name: str
    definition: SourceDefinition
    quality: Quality
    keys: KeyRange
    """Documents outside of it are not of the source."""
    excluded: bool
    data: Place | None
    """The folder with its files, instead of the hub."""
    ceiling: int
    """Documents of keys.low <= order_key < ceiling are tokenized."""
    insert: bool = False
    """Whether it is one of the recipe's inserts, which filters do not judge and which is used
    whole.
    """

    @cached_property
    def reading(self) -> str:
        """Names the definition and its quality steps: what the source's inputs are known by in a
        build.
        """
        return reading_name(self.definition.name, self.quality)

    @property
    def tokenized(self) -> KeyRange:
        """Key range that must have tokens; empty for an excluded source."""
        return KeyRange(self.keys.low, self.ceiling)

    @property
    def complete(self) -> bool:
        """Whether the whole key range is tokenized."""
        return self.ceiling == self.keys.high

    def as_selected(
        self, inputs: SourceInputs, rule: TokenRule, judges: CountFolders
    ) -> SelectedSource:
        """The source as a select plan lists it: its ledger segments, with the folders of tokens and
        counts of its range.

        The records' digests make the plan, and so its key, another one when what the folders hold
        is another.
        """
        ranks = {file.path: rank for rank, file in enumerate(inputs.files)}
        segments: list[SelectedSegment] = []
        for group, files in inputs.groups:
            tokens = tuple(
                item
                for item in group.ranges(rule)
                # not `meets`: a range below whose ceiling nothing lies lists what it lies in
                if item.keys.low < self.ceiling
                and item.keys.high > self.keys.low
                and not self.excluded
            )
            counts = () if self.excluded or self.insert else judges.counted(group, self.tokenized)
            segments += [
                SelectedSegment(
                    ledger=group.ledger,
                    digest=group.record.digest,
                    segment=number,
                    file_ranks=tuple(ranks[file.path] for file in files),
                    tokens=tokens,
                    counts=counts,
                )
                for number in range(len(group.record.segments))
            ]
        return SelectedSource(
            name=self.name,
            excluded=self.excluded,
            insert=self.insert,
            keys=self.keys,
            ceiling=self.ceiling,
            segments=tuple(segments),
        )
