"""What `annealmix plan` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError, SupplyError
from pipeline.commands.options import local_path, positive

if TYPE_CHECKING:
    from mixtures.recipe.loaded import LoadedRecipe
    from mixtures.stream.quotas import Size
    from pipeline.inputs.listing import DataFolders
import argparse
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError
from pipeline.commands.options import (
    _add_filters,
    _add_size,
    _recipe,
    _size,
    add_data,
    data_folders,
    local_path,
    positive,
)

if TYPE_CHECKING:
    from mixtures.recipe.loaded import LoadedRecipe
    from mixtures.stream.quotas import Size


def add_plan_options(plan: argparse.ArgumentParser) -> None:
    """Add the options that only `plan` has."""
    plan.add_argument("--schema", action="store_true", help="print the JSON schema of a recipe")
    plan.add_argument("--calibrate", action="store_true", help="time this machine for some seconds, for this plan and later ones")
    plan.add_argument("--workers", type=positive, metavar="N", help="tasks at a time on a cluster (64)")
    plan.add_argument("--store", type=local_path, metavar="DIR", help="the build's store: is there room on its disk?")
    plan.add_argument("--out", type=local_path, metavar="DIR", help="the mix's folder: is there room on its disk?")


def run(options: argparse.Namespace, given: Callable[[], tuple[LoadedRecipe, Size, DataFolders]]) -> int:
    """Do what the command line asks. given: the recipe and what else `build` reads in the same way."""
    from pipeline import report
    from pipeline.commands.plan import plan as planning
    from pipeline.commands.plan.calibration import calibrate, load_rates

    if options.schema:
        report.result(planning.recipe_schema())
        return 0
    rates = calibrate() if options.calibrate else None
    if options.recipe is None:
        if rates:
            planning.show_rates(rates, as_json=options.json)
        else:
            planning.show_recipes(as_json=options.json)
        return 0
    recipe, size, data = given()
    more = {"workers": options.workers} if options.workers else {}
    request = planning.PlanRequest(recipe, size, data, options.tokenizer, options.store, options.out, rates=rates or load_rates(), **more)
    plan = planning.plan(request)
    if options.json:
        report.result(plan)
    else:
        from pipeline.commands.plan import report as plan_report

        plan_report.show(plan)
    for line in [*plan["shortages"], *plan["refusals"]]:
        report.say(f"annealmix: {line}")
    return SupplyError.exit_code if plan["shortages"] else RecipeError.exit_code if plan["refusals"] else 0


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser("plan", help="what a recipe will take and cost, before anything is built; without RECIPE, list the recipes")
    plan.add_argument("recipe", nargs="?", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    _add_size(plan)
    add_data(plan, "probe the files of DIR/SOURCE instead of taking the publishers' figures")
    plan.add_argument("--tokenizer", type=local_path, metavar="FILE", help="the recipe's tokenizer.json (needed for a probe)")
    add_plan_options(plan)
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    _add_filters(plan)
    plan.set_defaults(command=_plan)


def _plan(options: argparse.Namespace) -> int:
    return run_plan(options, lambda: (_recipe(options), _size(options), data_folders(options)))
