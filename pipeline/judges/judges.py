"""The judges of a build, filters and evaluation sets: opened and proven, and what the store must
hold before they can judge.

A build opens every bundle first (hashes, golden decisions), since nothing is worth reading if a
judge is not there. Then, by group: counts of terms of each blocklist, and scores of what they
escalate. What is missing is noted while a group is read (pipeline.judges.annotators.reading) and
scored after (pipeline.stages.score).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer

from mixtures.errors import ManifestError
from mixtures.keys import ALL_KEYS, KeyRange, merged
from mixtures.recipe.filter_use import FilterUse
from mixtures.rules.benchmark import LoadedBenchmark
from mixtures.rules.filter_definition import ClassifierPin
from mixtures.rules.filter_files import FilterBundle
from pipeline.executors.stage import PartitionUnit, Plan
from pipeline.judges.annotators.reading import PlannedBenchmark, PlannedBlocklist, opened_index
from pipeline.judges.filter import Filter
from pipeline.judges.verdicts import FilterRule
from pipeline.store.records import Frozen
from pipeline.store.rules import GramRule, Rule, TermRule, TextRule, short_key
from pipeline.store.scores import SCORE_PARTITIONS, ScoredRange, ScoreTable, partition_name
from pipeline.store.store import ColumnRange, Due, Group, RangeRecord, Store


@dataclass(frozen=True)
class _List:
    """A blocklist that some filters share. bundle: one of those that hold it; texts: rules by which
    a classifier wants texts, each once.
    """

    bundle: FilterBundle
    texts: dict[TextRule, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scorer:
    """A classifier that some filters share. wants: rules of the texts that it must score, each
    once.
    """

    bundle: FilterBundle
    table: ScoreTable
    wants: dict[TextRule, None] = field(default_factory=dict)

    def missing(self, group: Group, text: TextRule, wanted: Iterable[KeyRange]) -> list[KeyRange]:
        """Parts of key ranges of a group whose escalated texts it has not scored."""
        ledger = group.record.digest
        return [part for keys in wanted for part in self.table.missing(text, ledger, keys)]


class Judges:
    """The filters of a recipe, in its order, and its evaluation sets. coverage: what of each set is
    looked for.
    """

    def __init__(
        self, store: Store, filters: Sequence[FilterUse], benchmarks: Sequence[LoadedBenchmark] = ()
    ) -> None:
        """Open them.

        Raises:
            RecipeError, InputError, ManifestError: as `Filter.open` and `read_benchmark`.
        """
        self.filters = filters
        self.benchmarks = benchmarks
        self.index = opened_index(benchmarks) if benchmarks else None
        sets = tuple(item.definition.identity for item in benchmarks)
        self._grams = (GramRule(sets),) if benchmarks else ()
        self._lists: dict[TermRule, _List] = {}
        self._scorers: dict[str, _Scorer] = {}
        opened: set[str] = set()
        for item in filters:
            bundle = item.brought
            if bundle.where not in opened:
                Filter.open(bundle.definition, bundle.folder, bundle.where)
                opened.add(bundle.where)
            terms, classifier = _terms_of(item), item.definition.classifier
            known = self._lists.setdefault(terms, _List(bundle))
            if classifier:
                table = ScoreTable(store, classifier.digest)
                scorer = self._scorers.setdefault(classifier.digest, _Scorer(bundle, table))
                text = TextRule(terms, item.definition.blocklist.threshold)
                known.texts[text] = scorer.wants[text] = None

    @property
    def score_folders(self) -> list[Path]:
        """Where the scores of the filters' classifiers lie."""
        return [scorer.table.folder for scorer in self._scorers.values()]

    @property
    def blocklists(self) -> tuple[PlannedBlocklist, ...]:
        """The lists as an ingest plan holds them."""
        return tuple(
            PlannedBlocklist(
                pin=item.bundle.definition.blocklist,
                folder=item.bundle.folder.absolute(),
                thresholds=tuple(text.threshold for text in item.texts),
            )
            for item in self._lists.values()
        )

    @property
    def rules(self) -> list[FilterRule]:
        """What select decides by."""
        numbers = {rule: number for number, rule in enumerate(self._lists)}
        return [FilterRule.of(item, numbers[_terms_of(item)]) for item in self.filters]

    def due(self, group: Group | None, wanted: Sequence[KeyRange]) -> list[Due]:
        """Terms and texts that a reading of a group must note.

        Args:
            group: None: nothing of it is in the store yet. wanted: key ranges that are to be
                judged.
        """
        found: list[tuple[Rule, KeyRange]] = []
        for keys in wanted:
            for rule in (*self._lists, *self._grams):
                found += [(rule, part) for part in (group.missing(rule, keys) if group else [keys])]
            for item in self._lists.values():
                for text in item.texts:
                    found += [(text, part) for part in self._texts_due(group, text, keys)]
        return [Due(rule.folders, keys) for rule, keys in dict.fromkeys(found)]

    def _texts_due(self, group: Group | None, text: TextRule, keys: KeyRange) -> list[KeyRange]:
        """Parts of a key range whose escalated texts some classifier has not scored, and which do
        not wait in the store.
        """
        if group is None:
            return [keys]
        waiting = [item.keys for item in group.ranges(text)]
        unscored = [
            part
            for scorer in self._scorers.values()
            if text in scorer.wants
            for part in scorer.missing(group, text, [keys])
        ]
        return [part for keys in merged(unscored) for part in keys.minus(waiting)]

    @property
    def counts(self) -> list[str]:
        """Columns of counts that select reads: of each blocklist, then of the evaluation sets."""
        return ["terms"] * len(self._lists) + ["grams"] * len(self._grams)

    def counted(self, group: Group, keys: KeyRange) -> tuple[tuple[ColumnRange, ...], ...]:
        """Folders of counts that touch a key range, for each of `counts`."""
        return counted_folders([*self._lists, *self._grams], group, keys)

    def scores(self) -> list[list[tuple[Path, str]]]:
        """Folders of scores with the digests of their records, for each filter; none without a
        classifier.
        """
        tables = [
            self._scorers[pin.digest].table if (pin := item.definition.classifier) else None
            for item in self.filters
        ]
        return [table.folders(ALL_KEYS) if table else [] for table in tables]

    def scoring(self, groups: Iterable[tuple[Group, Sequence[KeyRange]]]) -> list[Scoring]:
        """What is still to be scored, one job a classifier.

        Args:
            groups: with the key ranges that are to be judged.

        Raises:
            ManifestError: a text that must be scored is not there.
        """
        groups = list(groups)
        jobs = []
        for scorer in self._scorers.values():
            texts, scored = [], []
            for group, wanted in groups:
                for text in scorer.wants:
                    missing = scorer.missing(group, text, wanted)
                    waiting = [
                        item
                        for item in group.ranges(text)
                        if any(item.keys.meets(part) for part in missing)
                    ]
                    if left := [
                        part
                        for keys in missing
                        for part in keys.minus(item.keys for item in waiting)
                    ]:
                        raise ManifestError(
                            f"{group.folder}: escalated texts of {left[0].hex()} are missing;"
                            " build again"
                        )
                    texts += [item.folder for item in waiting]
                    scored += [
                        ScoredRange(
                            text.terms.folders,
                            text.threshold,
                            group.record.digest,
                            *item.keys.hex(),
                        )
                        for item in waiting
                    ]
            if texts:
                jobs.append(Scoring(scorer.bundle, scorer.table, sorted(set(texts)), scored))
        return jobs

    @property
    def planned_benchmarks(self) -> tuple[PlannedBenchmark, ...]:
        """The evaluation sets as a plan holds them."""
        return tuple(
            PlannedBenchmark(
                definition=item.definition, folder=item.folder.absolute(), where=item.where
            )
            for item in self.benchmarks
        )

    def scored(self, groups: Iterable[Group]) -> list[Path]:
        """Folders of escalated texts that every classifier of the recipe which wants them has
        scored.
        """
        wants: dict[TextRule, list[_Scorer]] = {}
        for scorer in self._scorers.values():
            for text in scorer.wants:
                wants.setdefault(text, []).append(scorer)
        return [
            item.folder
            for group in groups
            for text, scorers in wants.items()
            for item in group.ranges(text)
            if not any(scorer.missing(group, text, [item.keys]) for scorer in scorers)
        ]


def _terms_of(item: FilterUse) -> TermRule:
    return TermRule(item.definition.blocklist.sha256, item.definition.blocklist.mode)


@dataclass(frozen=True)
class Scoring:
    """One classifier's work. texts: folders of escalated texts; scored: what the table covers when
    it is done.
    """

    bundle: FilterBundle
    table: ScoreTable
    texts: list[Path]
    scored: list[ScoredRange]

    def plan(self) -> ScorePlan:
        """The plan of a score stage."""
        records = [RangeRecord.read(folder) for folder in self.texts]
        known = self.table.folders(ALL_KEYS)
        classifier = self.bundle.definition.classifier
        assert classifier is not None
        by_partition = [
            tuple(folder for folder, _ in known if folder.name == partition_name(number))
            for number in range(SCORE_PARTITIONS)
        ]
        return ScorePlan(
            folder=self.table.folder / short_key([record.digest for record in records]),
            classifier=PlannedClassifier(pin=classifier, folder=self.bundle.folder.absolute()),
            texts=tuple(self.texts),
            known=tuple(by_partition),
            text_bytes=sum(segment.bytes for record in records for segment in record.segments),
            units=tuple(PartitionUnit(partition=number) for number in range(SCORE_PARTITIONS)),
        )


class PlannedClassifier(Frozen):
    """The classifier of a score stage."""

    pin: Annotated[
        ClassifierPin,
        PlainSerializer(lambda value: value.model_dump(mode="json", exclude_none=True)),
    ]
    folder: Path
    """Of the bundle that holds it."""


class ScorePlan(Plan[PartitionUnit]):
    """What a score stage must know. Its folder is that of the new increment."""

    folder: Path
    classifier: PlannedClassifier
    texts: tuple[Path, ...]
    """Folders of escalated texts."""
    known: tuple[tuple[Path, ...], ...]
    """Folders of earlier scores, by partition."""
    text_bytes: int


def counted_folders(
    rules: Sequence[Rule], group: Group, keys: KeyRange
) -> tuple[tuple[ColumnRange, ...], ...]:
    """Folders of counts that touch a key range, for each rule."""
    return tuple(
        tuple(item for item in group.ranges(rule) if item.keys.meets(keys)) for rule in rules
    )
