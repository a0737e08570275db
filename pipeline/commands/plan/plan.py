"""`annealmix plan`: list the recipes, or show what one of them will take and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixtures.plan.levels import published_levels
from mixtures.plan.plan import make_plan
from mixtures.plan.removals import Removal, published_removals
from mixtures.plan.resources import DEFAULT_RATES, Rates, text_bytes
from mixtures.plan.supply import SupplyEstimate, published_supplies
from mixtures.recipe.load import LoadedRecipe, Recipe, list_recipes, load_recipe
from mixtures.rules.levels import LEVELS, Level
from mixtures.stream.quotas import Size
from pipeline import report
from pipeline.inputs.listing import DataFolders, list_files

CLUSTER_WORKERS = 64  # tasks at a time, where nobody says how many there will be


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for editors."""
    return Recipe.model_json_schema()


def show_recipes(*, as_json: bool) -> None:
    """List the shipped recipes."""
    recipes = [load_recipe(name).recipe for name in list_recipes()]
    if as_json:
        report.result(
            [{"name": recipe.name, "description": recipe.description} for recipe in recipes]
        )
        return
    rows = [
        [
            recipe.name,
            f"{recipe.budget.total_tokens:,}" if recipe.budget else "all of its keys",
            recipe.description,
        ]
        for recipe in recipes
    ]
    report.table("recipes", ["name", "tokens", "what"], rows, numbers=False)


def show_rates(rates: Rates, *, as_json: bool) -> None:
    """Show how fast a core is."""
    found = {name: value for name, value in asdict(rates).items() if name != "basis"}
    if as_json:
        report.result({**found, "basis": rates.basis})
        return
    report.table(
        f"work of one core in a second, {rates.basis}",
        ["stage", "work"],
        [[name, f"{value:,}"] for name, value in found.items()],
    )


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned. store, out: folders whose disks are looked at. workers: tasks at a
    time on a cluster.
    """

    recipe: LoadedRecipe
    size: Size = field(default_factory=Size)
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    store: Path | None = None
    out: Path | None = None
    workers: int = CLUSTER_WORKERS
    rates: Rates = DEFAULT_RATES


def plan(request: PlanRequest) -> dict[str, Any]:
    """Plan a recipe. Where there is a folder (given, or the recipe's own), a source's supply is
    probed in it, and what the filters remove if all of them are there; of the others the published
    figures are taken.

    Returns:
        As `make_plan`, with arrays (`pipeline.commands.plan.arrays`) and, where folders are given,
        disks. `refusals`: why it cannot work, beside a short supply.
    """
    from pipeline.commands.plan.arrays import arrays
    from pipeline.commands.plan.disk import disks

    recipe = request.recipe
    probed = _probed(request)
    supplies = published_supplies(recipe) | {name: source.supply for name, source in probed.items()}
    removals, levels = published_removals(recipe), published_levels(recipe)
    for name, source in probed.items():
        if name in recipe.recipe.sources and None in source.removals:
            removals[name] = source.removals[None]
            for level in LEVELS:
                if level in source.removals:
                    levels.setdefault(level, {})[name] = source.removals[level]
    made = make_plan(recipe, request.size, supplies, removals, levels, request.rates)
    texts = {recipe.reading(name): text_bytes(supply) for name, supply in supplies.items()}
    groups = {recipe.reading(name): source.groups for name, source in probed.items()}
    made["arrays"] = {
        "workers": request.workers,
        "stages": arrays(recipe, made, groups, texts, request.workers),
    }
    found = disks(made, recipe.tokenizer.dtype.itemsize, request.store, request.out)
    made["warnings"] += [disk.line for disk in found if disk.line and disk.possible]
    return {**made, "refusals": [disk.line for disk in found if not disk.possible]}


@dataclass(frozen=True)
class _Probed:
    """What a probe found of a source. removals: by level, as `probed_removals`. groups: of its
    files, in an ingest.
    """

    supply: SupplyEstimate
    removals: dict[Level | None, Removal]
    groups: int


def _probed(request: PlanRequest) -> dict[str, _Probed]:
    """What the files of sources and inserts are thought to hold, and what the filters would remove
    of it; by name.
    """
    recipe, data = request.recipe, request.data
    loaded = [recipe, *recipe.excluded]
    data.refuse_unknown(
        {definition.name for one in loaded for definition in one.definitions.values()}
    )
    folders = {
        name: folder
        for name, uses in recipe.definitions.items()
        if (folder := data.folder(uses.name, recipe.data))
    }
    if not folders:
        return {}
    from pipeline.commands.plan.removals import open_filters, probed_removals
    from pipeline.inputs.sample import take_sample
    from pipeline.inputs.survey import grouped
    from pipeline.tokens.tokenizer import Tokenizer, find_tokenizer

    tokenizer = Tokenizer(
        find_tokenizer(recipe.tokenizer, request.tokenizer),
        recipe.tokenizer,
        recipe.recipe.special_tokens,
    )
    filters, readings = open_filters(recipe), dict[str, _Probed]()
    for name, folder in folders.items():
        definition, source, reading = (
            recipe.definitions[name],
            recipe.recipe.sources.get(name),
            recipe.reading(name),
        )
        if reading not in readings:
            files = list_files(definition, folder)
            sample = take_sample(definition, source.quality if source else (), files)
            groups = len(grouped(files, sum(file.size for file in files)))
            readings[reading] = _Probed(
                sample.supply(tokenizer), probed_removals(recipe, filters, sample), groups
            )
    return {name: readings[recipe.reading(name)] for name in folders}
