"""`annealmix plan` without a recipe: the shipped ones, or how fast this machine is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mixtures.recipe.heading import Heading, shipped_headings
from pipeline.report import Column, Table, count, result

if TYPE_CHECKING:
    from mixtures.plan.cost import Rates


def show_recipes(*, as_json: bool) -> None:
    """List the shipped recipes."""
    recipes = shipped_headings()
    if as_json:
        result([{"name": recipe.name, "description": recipe.description} for recipe in recipes])
        return
    columns = [
        Column("name", "name"),
        Column("tokens", _budget, left=True),
        Column("what", "description", left=True),
    ]
    Table(recipes, columns).print("recipes")


def _budget(recipe: Heading) -> str:
    return f"{recipe.budget.total_tokens:,}" if recipe.budget else "all of its keys"


def show_rates(rates: Rates, *, as_json: bool) -> None:
    """Show how fast a core is."""
    if as_json:
        result(asdict(rates))
        return
    work = [(name, value) for name, value in asdict(rates).items() if name != "basis"]
    columns = [Column("stage", 0), Column("work", 1, count)]
    Table(work, columns).print(f"work of one core in a second, {rates.basis}")
