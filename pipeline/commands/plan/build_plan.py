"""`annealmix plan RECIPE`: what it will take and cost; of a study, its base and its arms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.plan.cost import DEFAULT_RATES, Rates, text_bytes
from mixtures.plan.plan import Plan, make_plan
from mixtures.plan.removal_levels import estimated_removals, published_levels
from mixtures.plan.source_plan import published_supplies
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.recipe.tokenizer.form import contents
from mixtures.rules.levels import LEVELS
from mixtures.stream.quotas import Size
from mixtures.yaml.disk import read_bytes
from pipeline.executors.limits import few_open_files
from pipeline.inputs.listing import DataFolders

if TYPE_CHECKING:
    from mixtures.plan.arms import StudyPlan
    from mixtures.stream.arms.study import LoadedStudy
    from pipeline.build.request import BuildRequest
    from pipeline.commands.plan.disk import Disk
    from pipeline.commands.plan.stage_arrays import StageArray

CLUSTER_WORKERS = 64  # tasks at a time, where nobody says how many there will be


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned."""

    recipe: LoadedRecipe
    size: Size = field(default_factory=Size)
    study: LoadedStudy | None = None
    """Of which the recipe is the base."""
    data: DataFolders = field(default_factory=DataFolders)
    """Where there is a folder of a source, its files are probed."""
    extract: DataFolders = field(default_factory=DataFolders)
    """Likewise, of some of its files: sizes are then the publishers'."""
    tokenizer: Path | None = None
    """The recipe's tokenizer.json; None: where it is usually found."""
    store: Path | None = None
    """Of the build: is there room on its disk?"""
    out: Path | None = None
    """Likewise, of the mix."""
    workers: int = CLUSTER_WORKERS
    """Tasks at a time on a cluster."""
    rates: Rates = DEFAULT_RATES


@dataclass(frozen=True)
class BuildPlan:
    """A plan, and how its build fits a cluster and the disks."""

    plan: Plan
    workers: int
    """Tasks at a time."""
    arrays: list[StageArray]
    disks: list[Disk]
    """Of the folders that are given."""
    tokenizer: TokenizerDefinition
    engine: str | None = None
    """What makes its ids, how fast, and why not a faster one; None: nothing was probed."""
    template_begin: str | None = None
    """The token that its own template puts before a text, where the recipe's documents have none
    there."""
    study: StudyPlan | None = None
    """Of a study, of which the plan is its base's."""

    @property
    def shortages(self) -> list[str]:
        """What the supplies certainly do not cover, for people."""
        return [*self.plan.shortages, *(self.study.shortages if self.study else ())]

    @property
    def warnings(self) -> list[str]:
        """What may not work."""
        tight = [disk.line for disk in self.disks if disk.line and disk.possible]
        few = few_open_files()
        arms = self.study.warnings if self.study else ()
        return [*self.plan.warnings, *arms, *tight, *([few] if few else [])]

    @property
    def refusals(self) -> list[str]:
        """Why it cannot work, beside a short supply."""
        return [disk.line for disk in self.disks if not disk.possible]

    def as_json(self) -> dict[str, object]:
        """The plan's own JSON, with `arrays` and `refusals`, and of a study `study`."""
        return {
            **self.plan.as_json(),
            **({"study": self.study.as_json()} if self.study else {}),
            "tokenizer": self.tokenizer.facts(),
            "arrays": {"workers": self.workers, "stages": [asdict(item) for item in self.arrays]},
            "shortages": self.shortages,
            "warnings": self.warnings,
            "refusals": self.refusals,
        }


def plan(request: PlanRequest) -> BuildPlan:
    """Plan a recipe. Where there is a folder (given, or the recipe's own), a source's supply is
    probed in it, and what the filters remove if all of them are there; of an extract, the latter
    alone; of the others the published figures are taken.
    """
    from pipeline.build.sources.lacking import refuse_lacking
    from pipeline.commands.plan.disk import disks
    from pipeline.commands.plan.probing import probe_sources
    from pipeline.commands.plan.stage_arrays import arrays

    recipe = request.recipe
    loaded = [recipe, *recipe.excluded]
    known = [definition for one in loaded for definition in one.definitions.values()]
    request.data.refuse_unknown(known)
    request.extract.refuse_unknown(known, "--extract")
    refuse_lacking(recipe, request.data, probed=True)
    asked = request.study.judged if request.study else recipe
    whole, engine = probe_sources(asked, request.data, request.tokenizer)
    parts, other = probe_sources(asked, request.extract, request.tokenizer, skipped=set(whole))
    probed = {**parts, **whole}
    supplies = published_supplies(recipe) | {name: source.supply for name, source in whole.items()}
    removals, levels = estimated_removals(recipe), published_levels(recipe)
    for name, source in {} if request.study else probed.items():
        if name in recipe.recipe.sources and None in source.removals:
            removals[name] = source.removals[None]
            for level in LEVELS:
                if level in source.removals:
                    levels.setdefault(level, {})[name] = source.removals[level]
    planned = make_plan(recipe, request.size, supplies, removals, levels, request.rates)
    texts = {recipe.reading(name): text_bytes(supply) for name, supply in supplies.items()}
    groups = {recipe.reading(name): source.groups for name, source in whole.items()}
    study = None
    if request.study:
        from pipeline.commands.plan.study import plan_study

        study = plan_study(request.study, _build_of(request), planned, supplies, probed, levels)
    return BuildPlan(
        planned,
        request.workers,
        arrays(recipe, planned, groups=groups, text_bytes=texts, workers=request.workers),
        disks(planned, recipe.tokenizer.dtype.itemsize, request.store, request.out),
        recipe.tokenizer,
        engine or other,
        _template_begin(recipe),
        study,
    )


def _build_of(request: PlanRequest) -> BuildRequest | None:
    """The build that is planned, if it is known where; its notes are the plan's."""
    from pipeline.build.request import BuildRequest

    if request.store is None:
        return None
    return BuildRequest(
        recipe=request.recipe,
        out=request.out or Path(),
        store=request.store,
        data=request.data,
        tokenizer=request.tokenizer,
        size=request.size,
        told=True,
    )


def _template_begin(recipe: LoadedRecipe) -> str | None:
    if recipe.tokenizer_file is None or recipe.tokenizer.bos is not None:
        return None
    begin = contents(read_bytes(recipe.tokenizer_file)).begin
    return None if begin == recipe.tokenizer.eod else begin
