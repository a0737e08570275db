"""A build, on one page: recipe -> ingest -> select -> quotas -> write -> seal.

    ingest   reads what the store lacks (pipeline.ingest), tokenizing below each source's ceiling
    select   sorts and deduplicates by key partition (pipeline.select)
    quotas   fits the recipe to the supply (mixtures.quotas); a source that needs more tokens raises its ceiling and the two stages go on
    write    the stream, slice by slice (pipeline.write)
    seal     manifest, flush, rename into place (pipeline.seal, pipeline.output)

The output appears under its final name only when all of it is written and counted. A build that is stopped is started again with the same
command: every unit that was done stays done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from mixtures import manifest as manifests
from mixtures.errors import InputError, RecipeError, SupplyError
from mixtures.keys import KEY_SPACE, KeyRange
from mixtures.quotas import Quotas, Size, Supply, asked_quotas, resolve_quotas
from mixtures.recipe import LoadedRecipe
from mixtures.selection import select
from mixtures.source import SourceDefinition
from pipeline import intake, output, seal
from pipeline.executors.local import LocalExecutor
from pipeline.ingest import Ingest, tested_tokenizer
from pipeline.intake import SourceInputs
from pipeline.records import is_done
from pipeline.report import progress, say
from pipeline.select import SELECT_FORMAT, Eligible, Select, num_partitions, partition_folder, read_eligible
from pipeline.stage import Plan, Unit
from pipeline.store import Store, TokenRule, short_key, token_folder_name
from pipeline.tokenizing import Tokenizer, find_tokenizer
from pipeline.verify import Verify
from pipeline.write import CHUNK_BYTES, SLICE_CHUNKS, WRITE_FORMAT, Layout, Write, prepare_folder, selection_json, slice_record


@dataclass(frozen=True)
class BuildRequest:
    """What a build is asked to do. data: folder in the published layouts instead of the hub; chunk_bytes and slice_chunks: see `Layout`."""

    recipe: LoadedRecipe
    out: Path
    store: Path
    data: Path | None = None
    tokenizer: Path | None = None
    size: Size = field(default_factory=Size)
    executor: LocalExecutor = field(default_factory=LocalExecutor)
    chunk_bytes: int = CHUNK_BYTES
    slice_chunks: int = SLICE_CHUNKS


@dataclass(frozen=True)
class Source:
    """A source of the build, or one of an excluded recipe (which takes its documents away from the others)."""

    name: str
    definition: SourceDefinition
    keys: KeyRange
    excluded: bool


def build(request: BuildRequest) -> manifests.Manifest:
    """Build a mix, or finish one that was begun, and return its manifest.

    Raises:
        AnnealmixError: of the kind that the exit codes list; nothing is then visible at `request.out`.
    """
    output.refuse_foreign(request.out, request.recipe.digest, seal.size_json(request.size))
    store = Store(request.store)
    with store.lock():
        store.sweep()
        return _Build(request, store).run()


class _Build:
    """The state of one build."""

    def __init__(self, request: BuildRequest, store: Store) -> None:
        self.request, self.store = request, store
        self.recipe = request.recipe.recipe
        tokenizer = request.recipe.tokenizer
        self.rule = TokenRule(tokenizer.digest, self.recipe.special_tokens, tokenizer.dtype.itemsize)
        self.sources = _excluded_sources(request.recipe) + [
            Source(name, request.recipe.definitions[name], item.key_range, excluded=False) for name, item in self.recipe.sources.items()
        ]
        self.ceilings: dict[str, int] = {}
        self.trusted: set[Path] = set()  # folders that this build wrote or verified

    def run(self) -> manifests.Manifest:
        self.ceilings = self._first_ceilings()
        while True:
            self._ingest()
            plan, eligible = self._select()
            quotas = self._quotas(eligible)
            if not quotas.wanted:
                break
            self._raise_ceilings(quotas, eligible)
        return self._write(plan, eligible, quotas)

    @cached_property
    def _tokenizer_path(self) -> Path:
        """The tokenizer's file; looked for when something must be tokenized, since a mix from a store that has all tokens needs none."""
        return find_tokenizer(self.request.recipe.tokenizer, self.request.tokenizer)

    def _tokenizer(self) -> Tokenizer:
        return tested_tokenizer(str(self._tokenizer_path), self.request.recipe.tokenizer, self.recipe.special_tokens)

    def _survey(self) -> dict[str, SourceInputs]:
        """The inputs of every definition, by its name."""
        definitions = {source.definition.name: source.definition for source in self.sources}
        found = {name: intake.survey(self.store, definition, self._data()) for name, definition in definitions.items()}
        intake.refuse_shared_files(found)
        return found

    def _data(self) -> Path | None:
        return self.request.data or self.request.recipe.data

    def _first_ceilings(self) -> dict[str, int]:
        """How far to tokenize each source at first: what the store has, else an estimate. Only a saving: no result depends on it."""
        inputs = self._survey()
        mine = [source for source in self.sources if not source.excluded]
        ceilings, supplies = {}, {}
        for source in mine:
            found = inputs[source.definition.name]
            ceilings[source.name] = intake.covered_to(found, self.rule, source.keys)
            if ceilings[source.name] == source.keys[0] or self.recipe.sources[source.name].all:
                tokens = intake.probe(found, self._tokenizer()).tokens * (source.keys[1] - source.keys[0]) // KEY_SPACE
                supplies[source.name] = Supply(tokens, complete=True)
        try:
            asked = asked_quotas(self.recipe, self.request.size, supplies)
        except SupplyError:  # an estimate may be too large; whether the sources fit is judged when they are counted
            return {source.name: source.keys[1] for source in mine}
        for source in mine:
            if self.recipe.sources[source.name].all:
                ceilings[source.name] = source.keys[1]
            elif ceilings[source.name] == source.keys[0]:
                supply = supplies[source.name].tokens
                ceilings[source.name] = intake.ceiling(source.keys, asked[source.name] / supply if supply else 1.0)
        return ceilings

    def _raise_ceilings(self, quotas: Quotas, eligible: dict[str, Eligible]) -> None:
        for source in self.sources:
            wanted = quotas.wanted.get(source.name)
            if wanted is None or source.excluded:
                continue
            low, high = source.keys
            have = eligible[source.name].tokens
            covered = (self.ceilings[source.name] - low) / (high - low)
            share = covered * wanted / have if have else 1.0
            raised = intake.ceiling(source.keys, share)
            self.ceilings[source.name] = high if raised <= self.ceilings[source.name] else raised

    def _ingest(self) -> None:
        inputs = self._survey()
        units = []
        for name, found in inputs.items():
            ranges = [
                (source.keys[0], self.ceilings[source.name])
                for source in self.sources
                if source.definition.name == name and not source.excluded and self.ceilings[source.name] > source.keys[0]
            ]
            units += intake.ingest_units(self.store, found, self.rule, ranges)
        plan: Plan = {
            "definitions": {name: found.definition.model_dump(mode="json") for name, found in inputs.items()},
            "tokenizer": {
                "path": str(self._tokenizer_path) if units else "",
                "definition": self.request.recipe.tokenizer.model_dump(mode="json"),
                "special_tokens": self.recipe.special_tokens,
            },
            "units": units,
        }
        if units:
            say(f"ingest: {len(units)} groups of input files to read")
            with progress("ingest", len(units), lambda: sum(all(map(is_done, _unit_folders(unit, self.rule))) for unit in units)):
                self.request.executor.execute(Ingest, plan, self.store.work_folder() / f"ingest-{short_key(plan)}")
            self.trusted.update(folder for unit in units for folder in _unit_folders(unit, self.rule))
        self.inputs = self._survey()
        for found in self.inputs.values():
            if found.new_groups:
                raise InputError(f"{found.new_groups[0][0].url}: changed while it was read; nothing may write to the inputs during a build")
        self._refuse_bad_rows()

    def _refuse_bad_rows(self) -> None:
        """Fail if a source of the mix has more unreadable rows than the recipe allows."""
        faults = []
        for source in self.sources:
            groups = [group for group, _ in self.inputs[source.definition.name].groups]
            rows = sum(group.record["counts"].get("rows", 0) for group in groups)
            bad = sum(group.record["counts"].get("quarantined", 0) for group in groups)
            if not source.excluded and rows and not any(sum(group.segment_rows) for group in groups):
                faults.append(f"sources.{source.name}: none of its {rows:,} rows is a document{_by_where(source.definition)}")
            if not source.excluded and Decimal(bad) > self.recipe.max_quarantined * rows:
                worst = next(group for group in groups if group.record["counts"].get("quarantined", 0))
                faults.append(
                    f"sources.{source.name}: {bad:,} of {rows:,} rows are unreadable, max_quarantined allows a share of "
                    f"{self.recipe.max_quarantined}; see {worst.ledger / 'quarantine.jsonl'}, mend the files or raise max_quarantined"
                )
        if faults:
            raise InputError("\n".join(faults))

    def _select(self) -> tuple[Plan, dict[str, Eligible]]:
        ranks = {name: {file.path: rank for rank, file in enumerate(found.files)} for name, found in self.inputs.items()}
        sources: list[dict[str, Any]] = [
            {
                "name": source.name,
                "excluded": source.excluded,
                "keys": _hex_range(source.keys),
                "ceiling": f"{self.ceilings.get(source.name, source.keys[0]) if not source.excluded else 0:x}",
                "segments": self._segments(source, ranks[source.definition.name]),
            }
            for source in self.sources
        ]
        segments = [segment for source in sources for segment in source["segments"]]
        self._verify(Path(folder) for segment in segments for folder in (segment["ledger"], *(item[0] for item in segment["tokens"])))
        documents = sum(sum(group.segment_rows) for found in self.inputs.values() for group, _ in found.groups)
        plan: Plan = {"partitions": num_partitions(documents), "sources": sources, "format": SELECT_FORMAT}
        folder = self.store.folder / "select" / short_key(plan)
        partitions = [partition_folder(folder, number) for number in range(plan["partitions"])]
        plan |= {"folder": str(folder), "units": [{"partition": number} for number in range(plan["partitions"])]}
        folder.mkdir(parents=True, exist_ok=True)
        todo = [unit for unit, partition in zip(plan["units"], partitions, strict=True) if not is_done(partition)]
        self._verify(filter(is_done, partitions))
        self.trusted.update(partitions)
        with progress("select", len(todo), lambda: sum(map(is_done, partitions)) - len(partitions) + len(todo)):
            self.request.executor.execute(Select, {**plan, "units": todo}, self.store.work_folder() / f"select-{folder.name}")
        return plan, read_eligible(folder, plan["partitions"], list(self.recipe.sources))

    def _segments(self, source: Source, ranks: dict[str, int]) -> list[dict[str, Any]]:
        """A source's ledger segments with the token folders of its range, as a select plan lists them."""
        wanted = (source.keys[0], source.keys[0] if source.excluded else self.ceilings[source.name])
        segments = []
        for group, _ in self.inputs[source.definition.name].groups:
            tokens = [
                [str(item.folder), *_hex_range(item.keys)]
                for item in group.token_ranges(self.rule)
                if item.keys[0] < wanted[1] and item.keys[1] > wanted[0]
            ]
            for number in range(len(group.segment_rows)):
                segments.append(
                    {
                        "ledger": str(group.ledger),
                        "segment": number,
                        "file_ranks": [ranks[file["path"]] for file in group.inputs],
                        "tokens": tokens,
                    }
                )
        return segments

    def _verify(self, folders: Iterable[Path]) -> None:
        """Hash store folders that an earlier build published; each once a build."""
        todo = sorted(set(folders) - self.trusted)
        self.trusted.update(todo)
        plan: Plan = {"units": [{"folder": str(folder)} for folder in todo]}
        self.request.executor.execute(Verify, plan, self.store.work_folder() / "verify")

    def _quotas(self, eligible: dict[str, Eligible]) -> Quotas:
        supplies = {
            source.name: Supply(eligible[source.name].tokens, self.ceilings[source.name] == source.keys[1])
            for source in self.sources
            if not source.excluded
        }
        return resolve_quotas(self.recipe, self.request.size, supplies, str(self.request.recipe.file))

    def _write(self, select_plan: Plan, eligible: dict[str, Eligible], quotas: Quotas) -> manifests.Manifest:
        selections = [select(name, quotas.resolved[name], eligible[name].tables, eligible[name].lengths) for name in self.recipe.sources]
        token_bytes = self.rule.token_bytes
        layout = Layout(token_bytes, self.request.chunk_bytes // token_bytes, self.request.slice_chunks)
        documents = sum(selection.documents for selection in selections)
        if quotas.total == 0:
            raise RecipeError(f"{self.recipe.name}: every quota resolves to 0 tokens at this size; ask for more tokens")
        plan: Plan = {
            "layout": asdict(layout),
            "total_documents": documents,
            "total_tokens": quotas.total,
            "eod_id": self.request.recipe.tokenizer.eod_id,
            "select": {name: select_plan[name] for name in ("folder", "partitions", "sources")},
            "selections": [selection_json(selection) for selection in selections],
            "files": self._segment_files(),
            "units": [{"slice": number} for number in range(-(-quotas.total // layout.slice_tokens))],
            "format": WRITE_FORMAT,
        }
        described = seal.describe(self.request.recipe, self.request.size, layout, quotas, selections, eligible, self.inputs)
        with output.building(self.request.out, short_key([plan, described])) as folder:
            if folder is None:
                return output.finished(self.request.out, described, layout)
            plan["folder"] = str(folder)
            prepare_folder(folder, layout, quotas.total, documents)
            with progress(
                "write", len(plan["units"]), lambda: sum(slice_record(folder, unit["slice"]).is_file() for unit in plan["units"])
            ):
                self.request.executor.execute(Write, plan, folder / "work")
            sealed = seal.seal(folder, described, selections, len(plan["units"]))
            output.publish(folder, self.request.out)
            return sealed

    def _segment_files(self) -> list[list[str]]:
        """Input paths of every ledger segment, in the order of the select plan."""
        return [
            [file["path"] for file in group.inputs]
            for source in self.sources
            for group, _ in self.inputs[source.definition.name].groups
            for _ in group.segment_rows
        ]


def _by_where(definition: SourceDefinition) -> str:
    if not definition.where:
        return "; look at its quarantine and its empty texts"
    return f" for its `where` {definition.where}; mend the values in the source definition"


def _excluded_sources(recipe: LoadedRecipe) -> list[Source]:
    return [
        Source(f"{other.recipe.name}/{name}", other.definitions[name], request.key_range, excluded=True)
        for other in recipe.excluded
        for name, request in other.recipe.sources.items()
    ]


def _hex_range(keys: KeyRange) -> list[str]:
    return [f"{keys[0]:x}", f"{keys[1]:x}"]


def _unit_folders(unit: Unit, rule: TokenRule) -> list[Path]:
    """What an ingest unit publishes, or has published before."""
    folder = Path(unit["folder"])
    return [folder / "ledger", *(folder / token_folder_name(rule, (int(low, 16), int(high, 16))) for low, high in unit["ranges"])]
