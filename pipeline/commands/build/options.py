"""The options of `annealmix build`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError
from pipeline.commands.options import (
    DEFAULT_STORE,
    add_cache,
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
    positive,
    recipe_of,
    size_of,
    study_of,
    written,
)

if TYPE_CHECKING:
    from mixtures.mix.manifest import Manifest
    from mixtures.recipe.loaded import LoadedRecipe
    from mixtures.stream.arms.study import LoadedStudy
    from mixtures.stream.quotas import Size
    from pipeline.build.request import BuildRequest
    from pipeline.executors import Executor

LARGE_TOKENS = 8_000_000
"""Tokens of a mix whose ingest takes longer than a second worker takes to start."""


def add_executor(build: argparse.ArgumentParser) -> None:
    """Add them to a command that builds."""
    group = build.add_argument_group("how it runs")
    tasks = partial(add_option, group)
    tasks(
        "--workers", "N", "tasks at a time (the cores, as far as memory and work allow)", positive
    )
    what = "shares in which each stage's units are handed out (a few a worker)"
    tasks("--tasks", "N", what, positive)
    group.add_argument(
        "--executor",
        choices=("local", "slurm", "ray"),
        default="local",
        help="where tasks run: on this machine, as jobs of Slurm, or on a Ray cluster",
    )
    slurm = build.add_argument_group("with --executor slurm")
    add_option(slurm, "--profile", "FILE", "what jobs need of the cluster, as YAML", Path)
    add_flag(slurm, "--status", "how far the build is; nothing is submitted")
    add_flag(
        slurm, "--dry-run", "the jobs that would be submitted, their memory and time; nothing is"
    )
    add_flag(slurm, "--cancel", "cancel the build's jobs; what is done stays done")
    add_flag(slurm, "--wait", "follow the build until it ends, submitting what is missing first")
    ray = build.add_argument_group("with --executor ray")
    what = "the cluster (RAY_ADDRESS, or the one that runs on this machine)"
    add_option(ray, "--ray-address", "A", what)


_INSTEAD = ("status", "cancel", "dry_run")
"""Options that ask something of a build on a cluster instead of giving it."""


def refuse_mixed(options: argparse.Namespace) -> None:
    """Refuse options of one executor with another: they would do nothing.

    Raises:
        RecipeError: names them.
    """
    shares = ("workers", "tasks")
    own = {
        "slurm": ("profile", *_INSTEAD, "wait"),
        "local": shares,
        "ray": (*shares, "ray_address"),
    }
    foreign = {name for names in own.values() for name in names}.difference(own[options.executor])
    strangers = sorted(f"--{name.replace('_', '-')}" for name in foreign if getattr(options, name))
    if strangers:
        raise RecipeError(
            f"{', '.join(strangers)}: no option of --executor {options.executor}; leave it out"
        )
    given = [
        f"--{name.replace('_', '-')}" for name in (*_INSTEAD, "wait") if getattr(options, name)
    ]
    if len(given) > 1:
        raise RecipeError(f"{', '.join(given)}: each asks for something else; give one of them")


def executor_of(options: argparse.Namespace) -> Executor:
    """The executor of a build that this process runs to its end.

    Raises:
        RecipeError: it needs a package that is not installed.
    """
    if options.executor == "ray":
        from pipeline.executors.ray import RayExecutor, open_ray

        open_ray()
        return RayExecutor(options.ray_address, options.workers, options.tasks)
    from pipeline.executors.local import LocalExecutor

    return LocalExecutor(options.workers, options.tasks)


def add_build(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `build`."""
    build = add_command(
        commands,
        "build",
        "build a mix, or go on with one that was stopped",
        "annealmix build sample --out mix",
    )
    add_option(
        build, "recipe", "RECIPE", "name of a shipped recipe, or a YAML file, of a study too"
    )
    what = build.add_argument_group("what is built")
    add_size(what)
    add_filters(what)
    sources = build.add_argument_group("what it is built from")
    add_data(sources, "read DIR/SOURCE, in the published layout, instead of the hub")
    add_tokenizer(sources, "the recipe's tokenizer.json")
    places = build.add_argument_group("where it is built")
    what_out = "folder or URL of the mix; it appears when it is whole"
    add_option(places, "--out", "DIR", what_out, written, required=True)
    add_store_folder(
        places,
        f"token store, shared by all mixes ({DEFAULT_STORE})",
        folder=written,
        default=Path(DEFAULT_STORE),
    )
    add_cache(places)
    add_executor(build)
    add_json(build, "the manifest, the status, or the jobs")
    build.set_defaults(command=_build)


def _build(options: argparse.Namespace) -> int:
    refuse_mixed(options)
    study = study_of(options)
    # before the libraries that build: its faults are told at once
    recipe = study.base if study else recipe_of(options)
    size = size_of(options, recipe)
    if options.executor == "local":
        _get_ready(options, recipe, size)

    from mixtures.mix.claims import typed
    from pipeline import report
    from pipeline.build.output.places import working_places
    from pipeline.build.request import BuildRequest
    from pipeline.commands.build import report as mix_report

    out, store, remote = working_places(options.out, options.store, options.cache)
    request = BuildRequest(
        recipe=recipe,
        out=out,
        store=store,
        data=data_folders(options),
        tokenizer=options.tokenizer,
        size=size,
        remote=remote,
    )
    found, code = _built(options, request, study)
    if not found:
        return code
    if options.json:
        report.result(found if study else next(iter(found.values())))
        return code
    for name, manifest in found.items():
        place = options.out / name if study else options.out
        mix_report.show(typed(manifest, str(place)), place)
    return code


def _get_ready(options: argparse.Namespace, recipe: LoadedRecipe, size: Size) -> None:
    """Begin the workers of this machine while the libraries that plan their work are imported,
    where there surely is some: nothing is in the store, and a core has seconds to do.
    """
    from mixtures.stream.quotas import scale_of
    from pipeline.executors.local import LocalExecutor
    from pipeline.tokens.find import likely_file

    budget = recipe.recipe.budget
    tokens = scale_of(recipe.recipe, size) * budget.total_tokens if budget else 0
    new = not (isinstance(options.store, Path) and options.store.exists())
    if new and tokens >= LARGE_TOKENS:
        file = likely_file(recipe.tokenizer, options.tokenizer or recipe.tokenizer_file)
        LocalExecutor(options.workers, options.tasks).get_ready(file)


def _built(
    options: argparse.Namespace, request: BuildRequest, study: LoadedStudy | None
) -> tuple[dict[str, Manifest], int]:
    """Build, or do with a build on a cluster what is asked. Returns the manifests of the finished
    mixes by name, none if there are none yet, and the exit code.
    """
    if options.executor == "slurm":
        from pipeline.commands.slurm import commands
        from pipeline.commands.slurm.request import Asked

        asked = Asked(request, options.filters, study)
        if options.status:
            return {}, commands.look(request, json=options.json)
        if options.cancel:
            return {}, commands.cancel(request, json=options.json)
        if options.dry_run:
            return {}, commands.rehearse(asked, options.profile, json=options.json)
        return commands.give(asked, options.profile, wait=options.wait)
    request = replace(request, executor=executor_of(options))
    if study:
        from pipeline.arms.study import StudyRequest, build_study

        return build_study(StudyRequest(study, request)), 0

    from pipeline.build.build import build

    return {request.recipe.recipe.name: build(request)}, 0
