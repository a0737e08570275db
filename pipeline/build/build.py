"""A build, on one page: recipe -> ingest -> score -> near -> select -> quotas -> write -> seal.

    ingest   reads what the store lacks (pipeline.build.needs, pipeline.stages.ingest), tokenizing
             below each source's ceiling (pipeline.build.sources), and notes what filters must know
             (pipeline.judges.judges, pipeline.judges.annotators.reading)
    score    what a blocklist escalated, where a filter has a classifier (pipeline.stages.score)
    near     if the recipe asks for it: clusters of near-duplicates, and which of their documents
             give way (pipeline.build.near)
    select   sorts and deduplicates by key partition (pipeline.stages.select), after what earlier
             builds left is verified (pipeline.store.trust)
    quotas   fits the recipe to the supply (mixtures.stream.quotas); a source that needs more tokens
             raises its ceiling and the stages go on
    write    the stream, slice by slice (pipeline.stages.write)
    seal     manifest, flush, rename into place (pipeline.build.description, pipeline.build.seal,
             pipeline.build.output)

The output appears under its final name only when all of it is written and counted. A build that is
stopped is started again with the same command: every unit that was done stays done. Where the
output or the store is a URL, working copies are pulled and pushed between the steps
(pipeline.build.remote).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from mixtures.errors import RecipeError, SupplyError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Description
from mixtures.mix.judged import PlaceboClaim
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.quality.steps import canonical_quality
from mixtures.stream.quotas import Quotas, Size, Supply, resolve_quotas, scale_of
from mixtures.yaml.disk import shown
from pipeline.build import output, seal
from pipeline.build.contamination import contamination_report
from pipeline.build.description import Chosen, describe
from pipeline.build.lacking import at_source, refuse_lacking
from pipeline.build.near import (
    Found,
    NearSearch,
    band_rule,
    check_clusters,
    competes,
    tell_clusters,
)
from pipeline.build.needs import Needs, ingest_units, other_tokens, refuse_unread
from pipeline.build.output import keep_tokenizer
from pipeline.build.placebo import find_partners, matchings, refuse_unlike
from pipeline.build.quarantine import refuse_bad_rows, report_rows
from pipeline.build.remote import RemotePlaces
from pipeline.build.sources import raise_ceilings, set_first_ceilings, sources_of
from pipeline.executors import Executor, execute
from pipeline.executors.local import LocalExecutor
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.listing import DataFolders
from pipeline.inputs.quality.quality import open_steps
from pipeline.inputs.survey import SourceInputs, refuse_shared_files, survey
from pipeline.judges.judges import Judges
from pipeline.report import plural, say
from pipeline.report import size as report_size
from pipeline.stages.eligible import Choice, Eligible, read_eligible
from pipeline.stages.ingest import (
    Ingest,
    IngestPlan,
    IngestUnit,
    PlannedTokenizer,
    loaded_tokenizer,
)
from pipeline.stages.mix_folder import Layout, prepare_folder
from pipeline.stages.score import Score, delete_texts
from pipeline.stages.select import Select, num_partitions
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.stages.write import (
    CHUNK_BYTES,
    SLICE_CHUNKS,
    WRITE_FORMAT,
    SliceUnit,
    Write,
    WritePlan,
)
from pipeline.store.mixes import note_mix, noted_mix
from pipeline.store.records import is_done
from pipeline.store.rules import TokenRule, short_key
from pipeline.store.store import Store
from pipeline.store.trust import Trust
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class BuildRequest:
    """What a build is asked to do. data: folders to read instead of the hub; chunk_bytes and
    slice_chunks: see `Layout`; remote: where out and store are working copies.
    """

    recipe: LoadedRecipe
    out: Path
    store: Path
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    size: Size = field(default_factory=Size)
    executor: Executor = field(default_factory=LocalExecutor)
    chunk_bytes: int = CHUNK_BYTES
    slice_chunks: int = SLICE_CHUNKS
    remote: RemotePlaces = field(default_factory=RemotePlaces)
    tokenized_to: Mapping[str, int] = field(default_factory=dict)
    """Keys up to which sources are tokenized, whatever their quotas need."""
    told: bool = False
    """Whether notes on the files and their rows were printed already."""


def build(
    request: BuildRequest, trusted: set[Path] | None = None, chain: Path | None = None
) -> manifests.Manifest:
    """Build a mix, or finish one that was begun, and return its manifest.

    With more than one worker, call it under `if __name__ == "__main__":`, since workers import the
    calling module again.

    Args:
        trusted: folders of the store that need not be hashed again, since this build wrote or
            verified them; it grows.
        chain: that of which this is a part, if a cluster builds (`pipeline.executors.slurm`).

    Raises:
        AnnealmixError: of the kind that the exit codes list; nothing is then visible at
            `request.out`.
    """
    output.refuse_nested(request.out, request.store)
    output.refuse_foreign(request.out, request.recipe.digest, request.size.as_json())
    request.remote.begin(request.recipe.digest, request.size.as_json())
    store = Store(request.store)
    with store.lock():
        refuse_busy(request.store if store.writable else None, request.out, chain)
        store.sweep()
        manifest = _Build(request, store, Trust() if trusted is None else Trust(trusted)).run()
        request.remote.push()
    request.remote.end(manifest)
    return manifest


@dataclass(frozen=True)
class Judged:
    """What a mix takes of each source and what its filters remove there, before it is written.
    placebos: what they imitate, by number of the filter.
    """

    plan: SelectPlan
    choices: Mapping[str, Choice]
    placebos: Mapping[int, PlaceboClaim]


def judge(request: BuildRequest, trusted: set[Path]) -> Judged:
    """Read, judge and select as `build` does, and write no mix; `request.out` is not looked at.

    Args:
        trusted: as of `build`.

    Raises: as `build`.
    """
    store = Store(request.store)
    with store.lock():
        store.sweep()
        building = _Build(request, store, Trust(trusted))
        selected, _ = building.selected()
        return Judged(selected.plan, building.choices(selected), selected.placebos)


@dataclass(frozen=True)
class _Selected:
    """What is eligible, and what each source gives. placebos: what they imitate, by number of the
    filter.
    """

    plan: SelectPlan
    eligible: dict[str, Eligible]
    quotas: Quotas
    placebos: Mapping[int, PlaceboClaim]


class _Build:
    """The state of one build.

    readings: sources that read one definition under the same quality steps, by that reading's name.
        inputs: what the files of each reading are now.
    """

    def __init__(self, request: BuildRequest, store: Store, trust: Trust) -> None:
        self.request, self.store, self.trust = request, store, trust
        self.recipe = request.recipe.recipe
        self.judges = Judges(store, request.recipe.filters, request.recipe.benchmarks)
        tokenizer = request.recipe.tokenizer
        self.bands = band_rule(self.recipe.near) if self.recipe.near else None
        self.rule = TokenRule(
            tokenizer.digest,
            self.recipe.special_tokens,
            tokenizer.eod_id,
            tokenizer.bos_id,
            tokenizer.dtype.itemsize,
        )
        refuse_lacking(request.recipe, request.data)
        self.sources = sources_of(request.recipe, request.data)
        self.mine = [source for source in self.sources if not source.excluded]
        self.readings: dict[str, list[BuildSource]] = {}
        for source in self.sources:
            self.readings.setdefault(source.reading, []).append(source)
        self.request.remote.pull_sources(store, self.sources, self.rule, self.judges.score_folders)
        self.inputs: dict[str, SourceInputs] = {}
        self._survey(self.readings)
        self._told = request.told
        notes = [note for found in self.inputs.values() for note in found.notes]
        for note in dict.fromkeys(notes if not self._told else ()):
            say(note)

    def run(self) -> manifests.Manifest:
        return self._write(*self.selected())

    def selected(self) -> tuple[_Selected, Found | None]:
        """What the mix takes, and the search for near-duplicates."""
        unread = [name for name, found in self.inputs.items() if found.new_groups]
        if unread:
            first = self.inputs[unread[0]].new_groups[0][0].url
            self.store.require_writable(f"files of {', '.join(sorted(unread))}, such as {first}")
        self._open_quality(set(unread))
        set_first_ceilings(
            self.request.recipe,
            self.request.size,
            self.mine,
            self.inputs,
            self.rule,
            self._tokenizer,
        )
        for source in self.mine:
            source.ceiling = max(
                source.ceiling, self.request.tokenized_to.get(source.name, source.ceiling)
            )
        while True:
            self._ingest()
            self.request.remote.push()
            self._score()
            near = self._near()
            self.request.remote.push()
            selected = self._select(near)
            quotas, eligible = selected.quotas, selected.eligible
            if not quotas.wanted:
                return selected, near
            say(
                f"{', '.join(quotas.wanted)}: more is needed than was estimated; tokenizing further"
            )
            raise_ceilings(
                self.mine, quotas, {name: found.tokens for name, found in eligible.items()}
            )

    @cached_property
    def _tokenizer_path(self) -> Path:
        """The tokenizer's file; looked for when something must be tokenized, since a mix from a
        store that has all tokens needs none.
        """
        recipe = self.request.recipe
        return find_tokenizer(recipe.tokenizer, self.request.tokenizer or recipe.tokenizer_file)

    def _tokenizer(self) -> Tokenizer:
        return loaded_tokenizer(
            self._tokenizer_path, self.request.recipe.tokenizer, self.recipe.special_tokens
        )

    def _survey(self, readings: Container[str]) -> None:
        """Look at the inputs of some readings."""
        for name, (*_, source) in self.readings.items():
            if name not in readings:
                continue
            with at_source(self.request.recipe, source.name):
                found = survey(self.store, source.definition, source.quality, source.data)
            self.inputs[name] = found
        refuse_shared_files(self.inputs)

    def _needs(self, reading: str) -> Needs:
        """What must be known of the documents of a reading."""
        sources = self.readings[reading]
        mine = [source for source in sources if not source.excluded and source.tokenized.width > 0]
        judged = [source.tokenized for source in mine if not source.insert]
        searched = [source.keys for source in sources if competes(self.recipe.near, source)]
        return Needs(
            self.rule,
            self.judges,
            [source.tokenized for source in mine],
            judged,
            self.bands,
            searched,
        )

    def _open_quality(self, readings: set[str]) -> None:
        """Open the quality steps of what is to be read, so that one that cannot be done is refused
        before the first row.
        """
        for name in sorted(readings):
            if steps := self.inputs[name].quality:
                open_steps(steps)

    def _ingest(self) -> None:
        units: list[IngestUnit] = []
        for name, found in self.inputs.items():
            units += ingest_units(self.store, found, self._needs(name))
        if units:
            tokenizes = any(unit.ranges for unit in units)
            kinds = ["tokens"] if tokenizes else []
            if any(unit.annotations for unit in units):
                kinds.append("what filters, evaluation sets or near-duplicates need")
            self.store.require_writable(
                f"{' and '.join(kinds)} of {Ingest.describe(units[0])}, in"
                f" {plural(len(units), 'group')} of input files in all"
            )
            self._open_quality({unit.source for unit in units})
            plan = self._ingest_plan(units, tokenizes=tokenizes)
            if tokenizes:
                self._announce_tokenizer(units)
            fresh = [
                folder
                for unit in units
                for folder in Ingest.outputs(plan, unit)
                if not is_done(folder)
            ]
            say(f"ingest: {plural(len(units), 'group')} of input files to read")
            execute(
                self.request.executor,
                Ingest,
                plan,
                self.store.work_folder / f"ingest-{short_key(plan.as_json())}",
            )
            self.trust.add(fresh)
            self._survey({unit.source for unit in units})
        refuse_unread(self.inputs)
        by_source = {source.name: self.inputs[source.reading] for source in self.sources}
        if not self._told:
            report_rows(by_source)
            self._told = True
        refuse_bad_rows(by_source, self.recipe.max_quarantined)

    def _announce_tokenizer(self, units: list[IngestUnit]) -> None:
        """Say which engine tokenizes, if it is not the fast one, and what is read again only
        because another tokenizer has read it; and keep the tokenizer for those who read the mix.
        """
        tokenizer = self._tokenizer()
        keep_tokenizer(tokenizer.path, self.request.recipe.tokenizer)
        if tokenizer.fallback_reason:
            say(f"tokenizing with {tokenizer.speed}")
        again = [unit for unit in units if unit.ranges and other_tokens(unit.folder, self.rule)]
        if again:
            size = sum(file.size for unit in again for file in unit.files)
            say(
                f"{plural(len(again), 'group')} ({report_size(size)} of input files) were tokenized"
                f" by another tokenizer: they are read again for {tokenizer.definition.name};"
                " ledgers, annotations, scores and the other tokens stay"
            )

    def _ingest_plan(self, units: list[IngestUnit], *, tokenizes: bool) -> IngestPlan:
        tokenizer = PlannedTokenizer(
            path=self._tokenizer_path if tokenizes else None,
            sha256=self._tokenizer().sha256 if tokenizes else None,
            definition=self.request.recipe.tokenizer,
            special_tokens=self.recipe.special_tokens,
            folders=self.rule.folders,
        )
        return IngestPlan(
            definitions={name: reading.definition for name, reading in self.inputs.items()},
            quality={
                name: canonical_quality(reading.quality) for name, reading in self.inputs.items()
            },
            tokenizer=tokenizer,
            blocklists=self.judges.blocklists,
            benchmarks=self.judges.planned_benchmarks,
            near=self.bands.near if self.bands else None,
            units=tuple(units),
        )

    def _score(self) -> None:
        """Score what waits for a classifier, and delete the texts that no other waits for.

        Texts are looked up again rather than taken of the jobs: several classifiers may share one,
        and an earlier build may have been stopped between scoring and deleting.
        """
        groups = [
            (group, self._needs(name).judged)
            for name, found in self.inputs.items()
            for group, _ in found.groups
        ]
        for job in self.judges.scoring(groups):
            self.store.require_writable(f"scores of {job.bundle.definition.name}")
            self.trust.verify(job.texts)
            plan = job.plan()
            say(
                f"score: {report_size(plan.text_bytes)} of escalated text for"
                f" {job.bundle.definition.name}"
            )
            execute(
                self.request.executor,
                Score,
                plan,
                self.store.work_folder / f"score-{short_key(plan.as_json())}",
            )
            job.table.seal(plan.folder, job.scored)
        if self.store.writable:
            delete_texts(self.judges.scored([group for group, _ in groups]))

    @property
    def _documents(self) -> int:
        """Documents of all ledgers, each once."""
        return sum(
            group.record.documents for found in self.inputs.values() for group, _ in found.groups
        )

    def _near(self) -> Found | None:
        """Search for near-duplicates, or find the search done."""
        if self.recipe.near is None:
            return None
        partitions = num_partitions(self._documents)
        search = NearSearch(
            self.store,
            self.recipe.near,
            self.sources,
            self.inputs,
            partitions=partitions,
            executor=self.request.executor,
            trust=self.trust,
        )
        self.request.remote.pull([search.folder])
        found = search.run()
        tell_clusters(found)
        check_clusters(found, self.recipe.near)
        return found

    def _select(self, near: Found | None) -> _Selected:
        """Select, and find the partners of placebos in what the imitated mix takes."""
        plan = SelectPlan(
            partitions=num_partitions(self._documents),
            sources=tuple(
                source.as_selected(self.inputs[source.reading], self.rule, self.judges)
                for source in self.sources
            ),
            filters=tuple(self.judges.rules),
            counts=tuple(self.judges.counts),
            decontaminate=self.recipe.decontaminate.action if self.recipe.decontaminate else None,
            scores=tuple(map(tuple, self.judges.scores())),
            near=(near.drops, near.digest) if near else None,
            shrink=self.recipe.shrinks,
            copies=self.recipe.copies == "approved",
        )
        if not plan.placebos:
            return self._select_by(plan)
        try:
            imitated = self._select_by(plan.imitated())
        except SupplyError as error:
            labels = [plan.filters[number].label for number in plan.placebos]
            raise SupplyError(
                f"{', '.join(labels)}: the mix that is imitated cannot be built: {error}"
            ) from None
        if imitated.quotas.wanted:
            return imitated
        found = find_partners(
            self.choices(imitated), matchings(self.judges.filters), spared=imitated.plan.spared
        )
        return self._select_by(plan.model_copy(update={"partners": found.partners}), found.claims)

    def _select_by(
        self, plan: SelectPlan, placebos: Mapping[int, PlaceboClaim] | None = None
    ) -> _Selected:
        """Make what the store lacks of a selection. placebos: as of `_Selected`."""
        plan = plan.placed(self.store.folder)
        self.trust.verify(inputs_of(plan))
        todo = [unit for unit in plan.all_units if not Select.is_done(plan, unit)]
        if todo:
            self.store.require_writable("a selection from these sources under these filters")
        partitions = [
            partition for unit in plan.all_units for partition in Select.outputs(plan, unit)
        ]
        self.trust.verify(filter(is_done, partitions))
        execute(
            self.request.executor,
            Select,
            plan.having(todo),
            self.store.work_folder / f"select-{plan.folder.name}",
        )
        self.trust.add(partitions)
        eligible = read_eligible(plan, [*self.recipe.sources, *self.recipe.insert])
        return _Selected(plan, eligible, self._quotas(eligible), placebos or {})

    def choices(self, selected: _Selected) -> dict[str, Choice]:
        """What the quotas take of each source."""
        return {
            name: (
                selected.eligible[name].select(
                    selected.quotas.resolved[name],
                    asked=request.all
                    or max(selected.quotas.asked[name], selected.quotas.resolved[name]) > 0,
                )
            )
            for name, request in self.recipe.sources.items()
        }

    def _quotas(self, eligible: dict[str, Eligible]) -> Quotas:
        supplies = {
            name: Supply(eligible[name].tokens, eligible[name].complete)
            for name in self.recipe.sources
        }
        inserted = {name: choice.quota for name, choice in self._inserts(eligible).items()}
        return resolve_quotas(
            self.recipe, self.request.size, supplies, shown(self.request.recipe.file), inserted
        )

    def _inserts(self, eligible: dict[str, Eligible]) -> dict[str, Choice]:
        """Whole documents: of a preview the same share as of the recipe, but always one; of a
        larger mix, or of an insert that says so, all of them.
        """
        scale = min(scale_of(self.recipe, self.request.size), Fraction(1))
        return {
            name: (
                eligible[name].select_whole(
                    math.ceil((1 if insert.whole else scale) * eligible[name].documents),
                    insert.times,
                )
            )
            for name, insert in self.recipe.insert.items()
        }

    def _write(self, selected: _Selected, near: Found | None) -> manifests.Manifest:
        chosen = self.choices(selected) | self._inserts(selected.eligible)
        choices = {name: choice.rotated() for name, choice in chosen.items()}
        strands = [strand for choice in choices.values() for strand in choice.strands]
        total = sum(strand.tokens for strand in strands)
        if total == 0:
            removed = any(sum(choice.removed()) for choice in choices.values())
            what = (
                "every document of it is removed"
                if removed
                else "every quota resolves to 0 tokens; ask for more tokens"
            )
            raise RecipeError(f"{self.recipe.name}: nothing is left at this size: {what}")
        token_bytes, tokenizer = self.rule.token_bytes, self.request.recipe.tokenizer
        layout = Layout(
            token_bytes, self.request.chunk_bytes // token_bytes, self.request.slice_chunks
        )
        documents = sum(strand.documents for strand in strands)
        slices = range(-(-total // layout.slice_tokens))
        plan = WritePlan(
            layout=layout,
            total_documents=documents,
            total_tokens=total,
            eod_id=tokenizer.eod_id,
            bos_id=tokenizer.bos_id,
            select=selected.plan,
            selections=tuple(strands),
            units=tuple(SliceUnit(slice=number) for number in slices),
            format=WRITE_FORMAT,
        )
        described = describe(
            Chosen(
                recipe=self.request.recipe,
                size=self.request.size,
                layout=layout,
                quotas=selected.quotas,
                choices=choices,
                inputs=self.inputs,
                contamination=contamination_report(
                    self.request.recipe, self.judges.index, selected.plan, choices
                ),
                near=near,
                placebos=selected.placebos,
            )
        )
        refuse_unlike(self.recipe.name, described.filters)
        key = short_key([plan.decisive(), described.as_json()])
        with output.building(self.request.out, key) as folder:
            if folder is None:
                found = output.finished(self.request.out, described, layout)
                self._note(described)
                return found
            prepare_folder(folder, layout, total, documents)
            execute(
                self.request.executor,
                Write,
                plan.model_copy(update={"folder": folder}),
                # beside those of other stages, where the store may be written
                self.store.work_folder / f"write-{key}" if self.store.writable else folder / "work",
            )
            sealed = seal.seal(folder, described, strands, len(slices))
            self._note(described)
            output.publish(folder, self.request.out)
            return sealed

    def _note(self, described: Description) -> None:
        """Note the mix in the store, which `audit --store` holds it against."""
        if self.store.writable:
            note_mix(self.store.folder, described.as_json())
        elif not noted_mix(self.store.folder, described.as_json()):
            say(
                f"{self.store.folder}: is read-only here, so the mix is not noted there, and"
                " `audit --store` will miss its note"
            )
