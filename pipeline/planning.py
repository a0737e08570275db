"""`annealmix plan`: list the recipes, or show what one of them will take and cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixtures.plan import SupplyEstimate, make_plan, published_supplies
from mixtures.quotas import Size
from mixtures.recipe import LoadedRecipe, Recipe, list_recipes, load_recipe
from pipeline import report


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


def plan(name_or_file: str, size: Size, data: Path | None, tokenizer: Path | None, filters: Path | None = None) -> dict[str, Any]:
    """Plan a recipe. Supplies are probed in a data folder (given, or the recipe's own), or else are the publishers' figures."""
    recipe = load_recipe(name_or_file, filters)
    folder = data or recipe.data
    return make_plan(recipe, size, _probed(recipe, folder, tokenizer) if folder else published_supplies(recipe))


def _probed(recipe: LoadedRecipe, data: Path, file: Path | None) -> dict[str, SupplyEstimate]:
    from pipeline.build_sources import probe
    from pipeline.inputs import list_inputs
    from pipeline.tokenizing import Tokenizer, find_tokenizer

    tokenizer = Tokenizer(find_tokenizer(recipe.tokenizer, file), recipe.tokenizer, recipe.recipe.special_tokens)
    estimates: dict[str, SupplyEstimate] = {}
    for name, definition in recipe.definitions.items():
        if (reading := recipe.reading(name)) not in estimates:
            estimates[reading] = probe(definition, recipe.recipe.sources[name].quality, list_inputs(definition, data), tokenizer)
    return {name: estimates[recipe.reading(name)] for name in recipe.definitions}


def show(plan: Mapping[str, Any]) -> None:
    """Print a plan as tables."""
    total = plan["total_tokens"]
    rows = [
        [
            name,
            f"{row['asked_tokens']:,}",
            f"{row['resolved_tokens']:,}",
            f"{100 * row['resolved_tokens'] / total:.4f}%" if total else "-",
            "-" if row["supply_tokens_estimated"] is None else f"{row['supply_tokens_estimated']:,}",
            f"[{row['keys'][0]}, {row['keys'][1]})",
            row["key_ceiling_estimated"],
            str(row["epochs"]),
            row["licence"],
        ]
        for name, row in plan["sources"].items()
    ]
    rows.append(["total", f"{sum(row['asked_tokens'] for row in plan['sources'].values()):,}", f"{total:,}", "", "", "", "", "", ""])
    columns = ["source", "asked", "resolved", "share", "supply (estimate)", "keys", "tokenized up to", "epochs", "licence"]
    report.table(f"{plan['recipe']}: tokens by source", columns, rows)
    bases = sorted({row["supply_basis"] for row in plan["sources"].values()})
    report.say(f"supply estimates: {', '.join(bases)}; a build counts the real ones")
    for name, row in plan["sources"].items():
        for giver, tokens in row["refilled"].items():
            report.say(f"sources.{name} is about {tokens:,} tokens short; {giver} gives them")
    for note in plan["notes"]:
        report.say(note)
    _show_resources(plan["resources"])
    report.fit_table(plan["trainer_fit"])


def _show_resources(resources: Mapping[str, int]) -> None:
    cost = [
        ["text to read", report.size(resources["text_bytes"])],
        ["disk for the store", report.size(resources["store_bytes"])],
        ["disk for the mix", report.size(resources["mix_bytes"])],
        ["memory for each worker", report.size(resources["worker_bytes"])],
        ["core-hours", f"{resources['core_seconds'] / 3600:,.1f}"],
    ]
    report.table("estimated cost", ["what", "how much"], cost)
