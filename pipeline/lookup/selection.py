"""A finished mix beside the store that it was made from: the select plan of the mix, found again
from its manifest alone.

    manifest -> definitions, inputs, filters, key ranges -> groups of the store -> select plan ->
    what each quota takes of it

The plan is the one that the build would make now. If the selection is no longer there (`annealmix
store gc`, or the store has grown since), it is made again as a build makes it, from what is
verified first. What it takes is held against the manifest, so that no answer comes from another
store than the mix.

A build's own sources (`pipeline.build.sources`) come of a recipe file, of data folders that are
listed and of filters that are brought. A finished mix has to be answered for without any of them:
the recipe may have been edited, the data moved or grown. Its manifest holds what they were resolved
to, and is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.recipe import read_definition, require_recipe
from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import ALL_KEYS, KeyRange, key_bound
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.mix.manifest import MANIFEST
from mixtures.recipe.near_request import read_near
from mixtures.recipe.quality.steps import Quality, read_quality
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.build.near import Found, NearSearch
from pipeline.build.placebo import Matching, find_partners
from pipeline.executors.local import LocalExecutor
from pipeline.executors.stage import freeze
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.file import InputFile
from pipeline.inputs.survey import SourceInputs, cover
from pipeline.judges.judges import counted_folders
from pipeline.lookup.filters import MixFilter
from pipeline.report import say
from pipeline.stages.eligible import Choice, Eligible, read_eligible
from pipeline.stages.select import Select, num_partitions
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.store.rules import GramRule, Rule, TermRule, TokenRule
from pipeline.store.store import ColumnRange, Group, Store
from pipeline.store.trust import Trust


class MixStore:
    """The sources of a mix in a store.

    Raises:
        RecipeError: there is no store. ManifestError: it is damaged, or not the one that the mix
            was made from.
    """

    def __init__(self, claims: Claims, folder: Path) -> None:
        assert claims.study is None, "an arm is no selection (pipeline.commands.trace.arm)"
        if not (folder / "store.json").is_file():
            raise RecipeError(
                f"{folder}: no store there; name the one that the mix was built from with"
                " --store DIR"
            )
        require_recipe(claims, MANIFEST)
        self.claims, self.store = claims, Store(folder.absolute())
        self.rule = TokenRule(
            claims.tokenizer.digest,
            claims.tokenizer.special_tokens,
            claims.tokenizer.eod_id,
            claims.tokenizer.bos_id,
            claims.layout.dtype.itemsize,
        )
        self.definitions = definitions(claims)
        asked = claims.recipe
        self._quality = {
            one["name"]: read_quality(one.get("quality", ())) for one in asked["sources"]
        }
        self._taken = [
            (one["definition"]["name"], _keys(one), read_quality(one.get("quality", ())))
            for one in asked["exclude"]
        ]
        sets = asked.get("decontaminate", {}).get("sets", [])
        self.grams = GramRule(tuple(item["identity"] for item in sets)) if sets else None
        self._filters_by_list: dict[TermRule, int] = {}
        self.filters = [
            MixFilter.of(said, self.store, self._filters_by_list) for said in claims.filters
        ]
        self.sources = self._sources()
        readings = {source.reading: source for source in self.sources}
        self.inputs = {
            name: self._inputs(source.definition, source.quality)
            for name, source in readings.items()
        }
        for source in self.sources:
            source.ceiling = self._ceiling(source)

    @property
    def own_filters(self) -> dict[int, MixFilter]:
        """Those of the mix, by number among `filters`."""
        return dict(enumerate(self.filters))

    def counted(self, group: Group, keys: KeyRange) -> tuple[tuple[ColumnRange, ...], ...]:
        """Folders of counts, as `pipeline.judges.judges.Judges.counted`."""
        return counted_folders(self._counting, group, keys)

    @property
    def _counting(self) -> list[Rule]:
        """What counts: blocklists in the order of the filters, then the evaluation sets."""
        return [*self._filters_by_list, *([self.grams] if self.grams else [])]

    @cached_property
    def plan(self) -> SelectPlan:
        """The select plan, with its folder; where there are placebos, after the mix that they
        imitate is selected.
        """
        plan = self._plan
        if not plan.placebos:
            return self._placed(plan)
        imitated = self._placed(plan.imitated())
        self._make_selection(imitated)
        matchings = {
            number: Matching(tuple(said.matched.partners), said.matched.tolerance)
            for number, said in enumerate(self.claims.filters)
            if said.matched
        }
        found = find_partners(self._imitated(imitated), matchings, spared=imitated.spared)
        for number, claim in found.claims.items():
            _require(claim == self.claims.filters[number].matched, self.store.folder, "a placebo")
        return self._placed(plan.model_copy(update={"partners": found.partners}))

    def _placed(self, plan: SelectPlan) -> SelectPlan:
        """The plan with the folder of its selection: of the store, or a temporary one where the
        store lacks it and is read-only.
        """
        placed = plan.placed(self.store.folder)
        if self.store.writable or _is_made(placed):
            return placed
        return plan.placed(Path(self._scratch.name))

    @cached_property
    def _scratch(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="annealmix-")

    def _imitated(self, plan: SelectPlan) -> dict[str, Choice]:
        """What the mix takes of each source that the placebos imitate."""
        said = next(item.matched for item in self.claims.filters if item.matched).sources
        strands = [strand for strand in self._strands if not strand.insert]
        for strand in strands:
            _require(strand.name in said, self.store.folder, strand.name)
        eligible = read_eligible(plan, [strand.name for strand in strands])
        return {
            strand.name: self._chosen(strand, eligible, said[strand.name].quota_tokens)
            for strand in strands
        }

    def _chosen(self, strand: SourceClaim, eligible: Mapping[str, Eligible], quota: int) -> Choice:
        """What fills a quota of a source."""
        found = eligible[strand.name]
        _require(found.tokens or not quota, self.store.folder, strand.name)
        asked = strand.name in self._whole or max(strand.asked_tokens, quota) > 0
        return found.select(quota, asked=asked)

    @property
    def _strands(self) -> list[SourceClaim]:
        """What the manifest says of each source and insert, copies aside."""
        return [strand for strand in self.claims.sources if not strand.copy_number]

    @property
    def _plan(self) -> SelectPlan:
        """The select plan without partners."""
        recipe = self.claims.recipe
        return SelectPlan(
            partitions=self._partitions,
            sources=tuple(
                source.as_selected(self.inputs[source.reading], self.rule, self)
                for source in self.sources
            ),
            filters=tuple(item.rule for item in self.filters),
            counts=("terms",) * len(self._filters_by_list) + (("grams",) if self.grams else ()),
            decontaminate=recipe["decontaminate"]["action"] if self.grams else None,
            scores=tuple(
                tuple(item.table.folders(ALL_KEYS)) if item.table else () for item in self.filters
            ),
            near=(self.near.drops, self.near.digest) if self.near else None,
            shrink=recipe.get("removed") == "shrink",
            copies=recipe.get("copies") == "approved",
        )

    @property
    def _partitions(self) -> int:
        return num_partitions(sum(found.documents for found in self.inputs.values()))

    @cached_property
    def near(self) -> Found | None:
        """The mix's search for near-duplicates, made again where the store no longer has it.

        Raises:
            ManifestError: it would have to read texts again, which a build does.
        """
        asked = self.claims.recipe.get("near")
        if asked is None:
            return None
        request = read_near(asked)
        search = NearSearch(
            self.store,
            request,
            self.sources,
            self.inputs,
            partitions=self._partitions,
            executor=LocalExecutor(1, 1),
            trust=Trust(),
        )
        if search.done:
            return search.found()
        if request.effective.verify is not None:
            raise ManifestError(
                f"{self.store.folder}: the search for near-duplicates of this mix is not there;"
                " build the mix again"
            )
        self.store.require_writable("the search for near-duplicates of this mix")
        say(
            f"{self.store.folder}: the search for near-duplicates of this mix is not there; making"
            " it again"
        )
        with self.store.lock():
            return search.run(read=False)

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """What the mix takes of each source and insert, by name.

        Raises:
            ManifestError: it is not what the manifest says.
        """
        self._make_selection(self.plan)
        eligible = read_eligible(self.plan, [strand.name for strand in self._strands])
        times = {item["name"]: item["times"] for item in self.claims.recipe.get("insert", [])}
        found = {}
        for strand in self._strands:
            name = strand.name
            if strand.insert:
                documents = strand.documents // times[name]
                found[name] = eligible[name].select_whole(documents, times[name])
            else:
                found[name] = self._chosen(strand, eligible, strand.resolved_tokens)
            self._require_taken(name, found[name])
        return found

    def _require_taken(self, name: str, taken: Choice) -> None:
        mine = [
            (said.documents, said.realised_tokens)
            for said in self.claims.sources
            if said.name == name
        ]
        theirs = [(strand.documents, strand.tokens) for strand in taken.strands]
        _require(mine == theirs, self.store.folder, name)

    def lacks(self, name: str, digest: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which removed documents of a source the mix lacks: all, but of an arm whose study has
        other filters, too. bool [num_docs]; digest: uint64 [num_docs, 2].
        """
        return np.ones(len(digest), np.bool_)

    @cached_property
    def _whole(self) -> set[str]:
        """Sources that the recipe uses whole."""
        return {item["name"] for item in self.claims.recipe["sources"] if item.get("all")}

    def _inputs(self, definition: SourceDefinition, quality: Quality) -> SourceInputs:
        """The groups of the store that hold exactly the files of the manifest, as they were."""
        name, said = definition.name, self.claims.inputs.get(definition.name)
        if said is None:
            raise ManifestError(
                f"{MANIFEST}: lists no inputs of {name}; it was not written by annealmix, or edited"
            )
        files = [InputFile(file.path, "", file.size, sha256=file.sha256) for file in said]
        groups, left = cover(self.store.groups(definition, quality), files, _has_content)
        if left:
            raise ManifestError(
                f"{self.store.folder}: does not hold {len(left):,} of {len(files):,} files of"
                f" {name}, such as {min(file.path for file in left)}, as the mix was made from"
                " them; name the store that it was built from with --store DIR"
            )
        return SourceInputs(definition, quality, files, groups, [])

    def _sources(self) -> list[BuildSource]:
        """The sources as `pipeline.build.sources.sources.sources_of` lists them."""
        found, taken = [], list(self._taken)
        for other in self.claims.excluded:
            name, keys = other.definition, other.key_range
            same = [item for item in taken if item[:2] == (name, keys)]
            if len(same) > 1:  # they differ in quality steps alone: the manifest has each once
                taken.remove(same[0])
            shown = f"{other.recipe}/{other.source}"
            found.append(
                BuildSource(shown, self.definitions[name], same[0][2], keys, True, None, keys.low)
            )
        for strand in self._strands:
            name, keys, definition = strand.name, strand.key_range, strand.definition
            quality = self._quality.get(name, ())
            found.append(
                BuildSource(
                    name,
                    self.definitions[definition],
                    quality,
                    keys,
                    excluded=False,
                    data=None,
                    ceiling=keys.high,
                    insert=strand.insert,
                )
            )
        return found

    def _ceiling(self, source: BuildSource) -> int:
        """How far a source is tokenized, as far as the store has all that selecting needs."""
        if source.excluded or source.insert or source.name in self._whole:
            return source.ceiling
        missing: list[KeyRange] = []
        rules: list[Rule] = [self.rule, *self._counting]
        for group, _ in self.inputs[source.reading].groups:
            missing += [part for rule in rules for part in group.missing(rule, source.keys)]
            missing += [part for item in self.filters for part in item.unscored(group, source.keys)]
        return min([source.keys.high, *(low for low, _ in missing)])

    def _make_selection(self, plan: SelectPlan) -> None:
        """Make a selection again where the store no longer has it."""
        if _is_made(plan):
            return
        say(f"{self.store.folder}: the selection of this mix is not there; making it again")
        with self.store.lock():
            Trust().verify(inputs_of(plan))
            plan = plan.having(plan.all_units)
            place = plan.folder.parents[1] / "work"  # of the store, or of what stands in for it
            path, digest = freeze(place / f"select-{plan.folder.name}", plan)
            for unit in plan.units:
                Select(path, digest).do(plan, unit)


def _is_made(plan: SelectPlan) -> bool:
    """Whether a selection is whole."""
    return all(Select.is_done(plan, unit) for unit in plan.all_units)


def _has_content(known: InputFile, file: InputFile) -> bool:
    return (known.size, known.sha256) == (file.size, file.sha256)


def definitions(claims: Claims) -> dict[str, SourceDefinition]:
    """What decided the texts of each source definition that a mix used, excluded recipes' and
    inserts' too, by its name.
    """
    recipe = claims.recipe
    asked = [*recipe["sources"], *recipe["exclude"], *recipe.get("insert", [])]
    return {item["definition"]["name"]: read_definition(item["definition"]) for item in asked}


def _keys(item: Mapping[str, Any]) -> KeyRange:
    return KeyRange(*(key_bound(Decimal(share)) for share in item["keys"]))


def _require(same: object, store: Path, name: str) -> None:
    if not same:
        raise ManifestError(
            f"{store}: what it holds of {name} does not make this mix; name the store that the mix"
            " was built from with --store DIR"
        )
