"""`annealmix plan`: list the recipes, or show what one of them will take and cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.filter_request import RecipeFilter
from mixtures.plan import SupplyEstimate, make_plan, published_supplies
from mixtures.quotas import Size
from mixtures.recipe import LoadedRecipe, Recipe, list_recipes, load_recipe
from mixtures.removals import Removal, published_removals
from pipeline import report
from pipeline.inputs import DataFolders, list_files
from pipeline.places import Place

if TYPE_CHECKING:
    from pipeline.filters import Filter


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for editors."""
    return Recipe.model_json_schema()


def show_recipes(*, as_json: bool) -> None:
    """List the shipped recipes."""
    recipes = [load_recipe(name).recipe for name in list_recipes()]
    if as_json:
        report.result([{"name": recipe.name, "description": recipe.description} for recipe in recipes])
        return
    rows = [
        [recipe.name, f"{recipe.budget.total_tokens:,}" if recipe.budget else "all of its keys", recipe.description] for recipe in recipes
    ]
    report.table("recipes", ["name", "tokens", "what"], rows, numbers=False)


def plan(recipe: LoadedRecipe, size: Size, data: DataFolders, tokenizer: Path | None) -> dict[str, Any]:
    """Plan a recipe. Where there is a folder (given, or the recipe's own), a source's supply is probed in it, and what the filters remove
    if all of them are there; of the others the published figures are taken.
    """
    loaded = [recipe, *recipe.excluded]
    data.refuse_unknown({definition.name for one in loaded for definition in one.definitions.values()})
    folders = {name: folder for name, uses in recipe.definitions.items() if (folder := data.folder(uses.name, recipe.data))}
    supplies, removals = published_supplies(recipe), published_removals(recipe)
    if folders:
        probed = _probed(recipe, folders, tokenizer)
        supplies |= {name: supply for name, (supply, _) in probed.items()}
        if recipe.filters and all(item.bundle for item in recipe.filters):
            removals |= {name: removal for name, (_, removal) in probed.items() if name in recipe.recipe.sources}
    return make_plan(recipe, size, supplies, removals)


def _probed(recipe: LoadedRecipe, folders: Mapping[str, Place], file: Path | None) -> dict[str, tuple[SupplyEstimate, Removal]]:
    """What the files of sources and inserts are thought to hold, and what the filters that are there would remove of it; by name."""
    from pipeline.probing import take_sample
    from pipeline.tokenizing import Tokenizer, find_tokenizer

    tokenizer = Tokenizer(find_tokenizer(recipe.tokenizer, file), recipe.tokenizer, recipe.recipe.special_tokens)
    filters, copies = _opened(recipe), recipe.recipe.copies == "approved"
    readings: dict[str, tuple[SupplyEstimate, Removal]] = {}
    for name, folder in folders.items():
        definition, request, reading = recipe.definitions[name], recipe.recipe.sources.get(name), recipe.reading(name)
        if reading not in readings:
            sample = take_sample(definition, request.quality if request else (), list_files(definition, folder))
            readings[reading] = sample.supply(tokenizer), sample.removal(filters, copies=copies)
    return {name: readings[recipe.reading(name)] for name in folders}


def _opened(recipe: LoadedRecipe) -> list[tuple[RecipeFilter, Filter]]:
    """Those of the recipe's filters that the user has brought."""
    from pipeline.filters import Filter

    brought = [(item, item.bundle) for item in recipe.filters if item.bundle]
    return [(item, Filter.open(item.definition, bundle.folder, bundle.where)) for item, bundle in brought]


def show(plan: Mapping[str, Any]) -> None:
    """Print a plan as tables."""
    total = plan["total_tokens"]
    rows = [_source_row(name, row, total) for name, row in plan["sources"].items()]
    rows += [
        [f"{name} (insert)", "-", _number(row["tokens_estimated"]), "-", _number(row["tokens_estimated"]), "-", "-", f"{row['times']:,}"]
        for name, row in plan["inserts"].items()
    ]
    rows.append(["total", f"{sum(row['asked_tokens'] for row in plan['sources'].values()):,}", f"{total:,}", "", "", "", "", ""])
    licences = [row["licence"] for kind in ("sources", "inserts") for row in plan[kind].values()]
    rows = [[*row, licence] for row, licence in zip(rows, [*licences, ""], strict=True)]
    columns = ["source", "asked", "resolved", "share", "supply (estimate)", "keys", "tokenized up to", "epochs", "licence"]
    report.table(f"{plan['recipe']}: tokens by source", columns, rows)
    bases = sorted({row["supply_basis"] for row in plan["sources"].values()})
    report.say(f"supply estimates: {', '.join(bases)}; a build counts the real ones")
    if plan["filters"]:
        _show_removals(plan)
    for name, row in plan["sources"].items():
        for giver, tokens in row["refilled"].items():
            report.say(f"sources.{name} is about {tokens:,} tokens short; {giver} gives them")
    for note in plan["notes"]:
        report.say(note)
    _show_resources(plan["resources"])
    report.fit_table(plan["trainer_fit"])


def _source_row(name: str, row: Mapping[str, Any], total: int) -> list[str]:
    return [
        name,
        f"{row['asked_tokens']:,}",
        f"{row['resolved_tokens']:,}",
        f"{100 * row['resolved_tokens'] / total:.4f}%" if total else "-",
        _number(row["supply_tokens_estimated"]),
        f"[{row['keys'][0]}, {row['keys'][1]})",
        row["key_ceiling_estimated"],
        str(row["epochs"]),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _show_removals(plan: Mapping[str, Any]) -> None:
    """What filters are thought to remove, and what of each quota is then left."""
    rows = [
        [
            name,
            *("-" if share is None else f"{100 * float(share):.2f}%" for share in _shares(row)),
            f"{row['left_tokens_estimated']:,}",
            row["removal_basis"],
        ]
        for name, row in plan["sources"].items()
    ]
    labels = ", ".join(item["label"] for item in plan["filters"])
    columns = ["source", "removed (estimate)", "copied (estimate)", "tokens left of its quota", "basis"]
    report.table(f"filters: {labels}; removed: {plan['removed']}", columns, rows)


def _shares(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return row["removed_share_estimated"], row["copied_share_estimated"]


def _show_resources(resources: Mapping[str, int]) -> None:
    cost = [
        ["text to read", report.size(resources["text_bytes"])],
        ["disk for the store", report.size(resources["store_bytes"])],
        ["disk for the mix", report.size(resources["mix_bytes"])],
        ["memory for each worker", report.size(resources["worker_bytes"])],
        *_near_cost(resources),
        ["core-hours", f"{resources['core_seconds'] / 3600:,.1f}"],
    ]
    report.table("estimated cost", ["what", "how much"], cost)


def _near_cost(resources: Mapping[str, int]) -> list[list[str]]:
    if not resources.get("near_documents"):  # not asked for, or of unknown supply
        return []
    return [
        [f"disk for near-duplicates among {resources['near_documents']:,} documents", report.size(resources["near_store_bytes"])],
        ["memory for their reduction, in one process", report.size(resources["near_reduction_bytes"])],
    ]
