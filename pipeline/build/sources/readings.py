"""What the sources of a build read: which files they are now, what the store has of them, and the
ingest of what it lacks.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from mixtures.keys import KeyRange
from mixtures.recipe.quality.steps import canonical_quality
from mixtures.stream.quotas import Quotas
from pipeline.build.near import band_rule, competes
from pipeline.build.output.output import keep_tokenizer
from pipeline.build.sources.lacking import at_source, refuse_lacking
from pipeline.build.sources.needs import Needs, ingest_units, other_tokens, refuse_unread
from pipeline.build.sources.quarantine import refuse_bad_rows, report_rows
from pipeline.build.sources.sources import raise_ceilings, set_first_ceilings, sources_of
from pipeline.build.sources.tokenizing import Tokenizing
from pipeline.build.workshop import Workshop
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.quality.quality import open_steps
from pipeline.inputs.survey import SourceInputs, refuse_shared_files, survey
from pipeline.report import plural, say
from pipeline.report import size as report_size
from pipeline.stages.eligible import Eligible
from pipeline.stages.ingest import (
    Ingest,
    IngestPlan,
    IngestUnit,
)
from pipeline.stages.select import num_partitions
from pipeline.store.records import is_done
from pipeline.store.store import Group


class Readings:
    """The sources of a build, and what is known of their files.

    sources: all, in order of priority. inputs: what the files of each reading are now, by its name:
        sources that read one definition under the same quality steps share one.
    """

    def __init__(self, shop: Workshop) -> None:
        """Look at the files of all sources.

        Raises:
            RecipeError, InputError: something is lacking, or cannot be read.
        """
        self._shop, self._rule, near = shop, shop.request.rule, shop.recipe.near
        request = shop.request
        self._tokenizing = Tokenizing(request)
        self._bands = band_rule(near) if near else None
        refuse_lacking(request.recipe, request.data)
        self.sources = sources_of(request.recipe, request.data)
        self._mine = [source for source in self.sources if not source.excluded]
        self._by_reading: dict[str, list[BuildSource]] = {}
        for source in self.sources:
            self._by_reading.setdefault(source.reading, []).append(source)
        request.remote.pull_sources(shop.store, self.sources, self._rule, shop.judges.score_folders)
        self.inputs: dict[str, SourceInputs] = {}
        self._survey(self._by_reading)
        self._told = request.told
        notes = [note for found in self.inputs.values() for note in found.notes]
        for note in dict.fromkeys(notes if not self._told else ()):
            say(note)

    def _survey(self, readings: Container[str]) -> None:
        """Look at the inputs of some readings."""
        for name, (*_, source) in self._by_reading.items():
            if name not in readings:
                continue
            with at_source(self._shop.request.recipe, source.name):
                found = survey(self._shop.store, source.definition, source.quality, source.data)
            self.inputs[name] = found
        refuse_shared_files(self.inputs)

    @property
    def partitions(self) -> int:
        """Key partitions in which the documents of all ledgers are selected."""
        return num_partitions(sum(found.documents for found in self.inputs.values()))

    @property
    def judged(self) -> list[tuple[Group, list[KeyRange]]]:
        """Each group, with the key ranges in which filters judge its documents."""
        return [
            (group, list(self._needs(name).judged))
            for name, found in self.inputs.items()
            for group, _ in found.groups
        ]

    def begin(self) -> None:
        """Refuse what cannot be read, before the first row, and set the first ceilings."""
        unread = [name for name, found in self.inputs.items() if found.new_groups]
        if unread:
            first = self.inputs[unread[0]].new_groups[0][0].url
            self._shop.store.require_writable(
                f"files of {', '.join(sorted(unread))}, such as {first}"
            )
        self._open_quality(set(unread))
        request = self._shop.request
        with self._tokenizing.counting() as count:
            set_first_ceilings(
                request.recipe, request.size, self._mine, self.inputs, self._rule, count
            )
        for source in self._mine:
            source.ceiling = max(
                source.ceiling, request.tokenized_to.get(source.name, source.ceiling)
            )

    def go_on(self, quotas: Quotas, eligible: Mapping[str, Eligible]) -> None:
        """Raise the ceilings of the sources that quotas want more of."""
        say(f"{', '.join(quotas.wanted)}: more is needed than was estimated; tokenizing further")
        raise_ceilings(self._mine, quotas, {name: found.tokens for name, found in eligible.items()})

    def _needs(self, reading: str) -> Needs:
        """What must be known of the documents of a reading."""
        sources = self._by_reading[reading]
        mine = [source for source in sources if not source.excluded and source.tokenized.width > 0]
        judged = [source.tokenized for source in mine if not source.insert]
        searched = [source.keys for source in sources if competes(self._shop.recipe.near, source)]
        return Needs(
            self._rule,
            self._shop.judges,
            [source.tokenized for source in mine],
            judged,
            self._bands,
            searched,
        )

    def _open_quality(self, readings: set[str]) -> None:
        """Open the quality steps of what is to be read, so that one that cannot be done is refused
        before the first row.
        """
        for name in sorted(readings):
            if steps := self.inputs[name].quality:
                open_steps(steps)

    def ingest(self) -> None:
        """Read what the store lacks below the ceilings.

        Raises:
            InputError: an input changed meanwhile, or too many of its rows are bad.
        """
        units: list[IngestUnit] = []
        for name, found in self.inputs.items():
            units += ingest_units(self._shop.store, found, self._needs(name))
        if units:
            self._read(units)
        refuse_unread(self.inputs)
        by_source = {source.name: self.inputs[source.reading] for source in self.sources}
        if not self._told:
            report_rows(by_source)
            self._told = True
        refuse_bad_rows(by_source, self._shop.recipe.max_quarantined)

    def _read(self, units: list[IngestUnit]) -> None:
        tokenizes = any(unit.ranges for unit in units)
        kinds = ["tokens"] if tokenizes else []
        if any(unit.annotations for unit in units):
            kinds.append("what filters, evaluation sets or near-duplicates need")
        self._shop.store.require_writable(
            f"{' and '.join(kinds)} of {Ingest.describe(units[0])}, in"
            f" {plural(len(units), 'group')} of input files in all"
        )
        self._open_quality({unit.source for unit in units})
        plan = self._plan(units, tokenizes=tokenizes)
        if tokenizes:
            self._announce_tokenizer(units)
        outputs = [folder for unit in units for folder in Ingest.outputs(plan, unit)]
        fresh = [folder for folder in outputs if not is_done(folder)]
        say(f"ingest: {plural(len(units), 'group')} of input files to read")
        self._shop.do(Ingest, plan)
        self._shop.trust.add(fresh)
        self._survey({unit.source for unit in units})

    def _plan(self, units: list[IngestUnit], *, tokenizes: bool) -> IngestPlan:
        judges = self._shop.judges
        return IngestPlan(
            definitions={name: reading.definition for name, reading in self.inputs.items()},
            quality={
                name: canonical_quality(reading.quality) for name, reading in self.inputs.items()
            },
            tokenizer=self._tokenizing.planned if tokenizes else self._tokenizing.unused,
            blocklists=judges.blocklists,
            benchmarks=judges.planned_benchmarks,
            near=self._bands.near if self._bands else None,
            # the largest first, so that no worker begins one when all others have ended
            units=tuple(sorted(units, key=_size, reverse=True)),
        )

    def _announce_tokenizer(self, units: list[IngestUnit]) -> None:
        """Say which engine tokenizes, if it is not the fast one, and what is read again only
        because another tokenizer has read it; and keep the tokenizer for those who read the mix.
        """
        definition, engine = self._shop.request.recipe.tokenizer, self._tokenizing.engine
        keep_tokenizer(self._tokenizing.path, definition)
        if engine.fallback_reason:
            say(f"tokenizing with {engine.speed}")
        again = [unit for unit in units if unit.ranges and other_tokens(unit.folder, self._rule)]
        if again:
            size = report_size(sum(map(_size, again)))
            say(
                f"{plural(len(again), 'group')} ({size} of input files) were tokenized"
                f" by another tokenizer: they are read again for {definition.name};"
                " ledgers, annotations, scores and the other tokens stay"
            )


def _size(unit: IngestUnit) -> int:
    """Bytes of its input files; 0 of those whose size is not known."""
    return sum(file.size for file in unit.files)
