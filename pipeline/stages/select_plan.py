"""The plan of a select stage: all that decides which documents are eligible, and where the result
lies.
"""

from __future__ import annotations

from pathlib import Path

from mixtures.keys import KEY_SPACE
from mixtures.recipe.filter_use import PLACEBO
from pipeline.executors.stage import PartitionUnit, Plan
from pipeline.inputs.build_source import SelectedSource
from pipeline.judges.verdicts import FilterRule, Partners
from pipeline.store.rules import short_key

SELECT_FORMAT = 7


class SelectPlan(Plan[PartitionUnit]):
    """What a select stage must know."""

    folder: Path = Path()
    """Set when the rest is known, of which its name is a hash; so are the units."""
    partitions: int
    sources: tuple[SelectedSource, ...]
    """In order of priority, excluded ones first."""
    filters: tuple[FilterRule, ...]
    counts: tuple[str, ...]
    """Columns that annotators wrote, those of the blocklists first."""
    decontaminate: str | None
    """What is done with contaminated documents: drop or report; None: nothing is looked for."""
    scores: tuple[tuple[tuple[Path, str], ...], ...]
    """Of each filter, folders of scores with the digests of their records."""
    near: tuple[Path, str] | None
    """Folder of the drops of near-duplicates, and the digest of its record."""
    shrink: bool
    """Whether what filters remove takes its part of the quota."""
    copies: bool
    """Whether approved documents are copied, so that each fills the quota twice."""
    partners: tuple[Partners, ...] = ()
    """What placebos remove, in the order of the filters."""
    spared: bool = False
    """Whether it is noted which documents are flagged and only a dose spares: no placebo's
    partners.
    """
    format: int = SELECT_FORMAT

    def placed(self, store: Path) -> SelectPlan:
        """The plan with what follows from the rest: its format, and its folder in a store."""
        plan = self.model_copy(update={"format": SELECT_FORMAT})
        return plan.model_copy(update={"folder": store / "select" / short_key(plan.decisive())})

    def decisive(self) -> dict[str, object]:
        """What of it decides the result (`ColumnRange.decisive`)."""
        return {
            **self.as_json("folder", "units", "sources", "scores", "near"),
            "sources": [source.decisive() for source in self.sources],
            "scores": [[digest for _, digest in folders] for folders in self.scores],
            "near": self.near[1] if self.near else None,
        }

    @property
    def placebos(self) -> list[int]:
        """Numbers of the filters that are placebos."""
        return [number for number, rule in enumerate(self.filters) if rule.placebo]

    def imitated(self) -> SelectPlan:
        """The plan of the mix that the placebos imitate: each is the filter itself."""
        filters = tuple(
            rule.model_copy(update={"placebo": False, "label": rule.label.removeprefix(PLACEBO)})
            for rule in self.filters
        )
        spared = any(rule.dose < KEY_SPACE for rule in filters)
        return self.model_copy(update={"filters": filters, "spared": spared, "partners": ()})

    @property
    def all_units(self) -> list[PartitionUnit]:
        """Every partition."""
        return [PartitionUnit(partition=number) for number in range(self.partitions)]


def inputs_of(plan: SelectPlan) -> dict[Path, str]:
    """Folders of the store that a select stage reads (ledgers, tokens, counts, scores, drops), with
    the digests of their records.
    """
    segments = [segment for source in plan.sources for segment in source.segments]
    ledgers = [(segment.ledger, segment.digest) for segment in segments]
    beside = [
        (item.folder, item.digest)
        for segment in segments
        for ranges in (segment.tokens, *segment.counts)
        for item in ranges
    ]
    scored = [folder for folders in plan.scores for folder in folders]
    return dict([*ledgers, *beside, *scored, *([plan.near] if plan.near else [])])
