"""What `annealmix plan` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from functools import partial

from mixtures.errors import RecipeError, SupplyError
from pipeline.commands.options import (
    add_command,
    add_data,
    add_filters,
    add_flag,
    add_json,
    add_option,
    add_size,
    add_store_folder,
    add_tokenizer,
    data_folders,
    local_path,
    positive,
    recipe_of,
    size_of,
    study_of,
)


def _plan(options: argparse.Namespace) -> int:
    from pipeline.commands.plan import listing

    if options.recipe is None and not options.calibrate:
        listing.show_recipes(as_json=options.json)
        return 0
    study = study_of(options) if options.recipe else None
    recipe = study.base if study else recipe_of(options) if options.recipe else None

    from pipeline import report
    from pipeline.commands.plan import build_plan as planning
    from pipeline.commands.plan.calibration import calibrate, load_rates

    rates = calibrate() if options.calibrate else load_rates()
    if recipe is None:
        listing.show_rates(rates, as_json=options.json)
        return 0
    request = planning.PlanRequest(
        recipe=recipe,
        study=study,
        size=size_of(options, recipe),
        data=data_folders(options),
        extract=data_folders(options, "--extract"),
        tokenizer=options.tokenizer,
        store=options.store,
        out=options.out,
        workers=options.workers or planning.CLUSTER_WORKERS,
        rates=rates,
    )
    build_plan = planning.plan(request)
    if options.json:
        report.result(build_plan.as_json())
    else:
        from pipeline.commands.plan import report as plan_report

        plan_report.show(build_plan)
    shortages, refusals = build_plan.shortages, build_plan.refusals
    for line in [*shortages, *refusals]:
        report.say(f"annealmix: {line}")
    if shortages:
        return SupplyError.exit_code
    return RecipeError.exit_code if refusals else 0


def add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `plan`."""
    plan = add_command(
        commands,
        "plan",
        "what a recipe will take and cost, before anything is built; without RECIPE, list the"
        " recipes",
        "annealmix plan sample",
        "annealmix plan annealing-50b --scale 1/1000",
    )
    option = partial(add_option, plan)
    option(
        "recipe", "RECIPE", "name of a shipped recipe, or a YAML file, of a study too", nargs="?"
    )
    add_size(plan)
    add_data(plan, "probe the files of DIR/SOURCE instead of taking the publishers' figures")
    add_data(
        plan,
        "probe them likewise for lengths and for what filters remove, and take the publishers'"
        " sizes, since DIR/SOURCE holds some files of many",
        "--extract",
    )
    add_tokenizer(plan, "the recipe's tokenizer.json (needed for a probe)")
    what = "time this machine for some seconds, for this plan and later ones"
    add_flag(plan, "--calibrate", what)
    option("--workers", "N", "tasks at a time on a cluster (64)", positive)
    add_store_folder(
        plan, "the build's store: is there room on its disk; and of a study, what it holds of it"
    )
    option("--out", "DIR", "the mix's folder: is there room on its disk?", local_path)
    add_json(plan, "the plan as JSON")
    add_filters(plan)
    plan.set_defaults(command=_plan)
