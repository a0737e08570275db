"""`annealmix build --executor slurm`: give a build to the cluster, look at it, follow it."""

from __future__ import annotations

from pathlib import Path

from mixtures.errors import RecipeError, SupplyError
from mixtures.mix.claims import read_claims
from mixtures.mix.manifest import Manifest
from pipeline.build.build import BuildRequest
from pipeline.commands.plan import build_plan as planning
from pipeline.commands.slurm.conduct import launch
from pipeline.commands.slurm.request import freeze
from pipeline.commands.slurm.status import as_json, follow, show, status_of
from pipeline.executors.slurm.chain import FINISHED, Chain
from pipeline.executors.slurm.profile import Profile, load_profile
from pipeline.report import complain, result, say


def give(
    request: BuildRequest, filters: Path | None, profile: Path | None, *, wait: bool
) -> tuple[Manifest | None, int]:
    """Submit what of a build is missing, and with `wait` follow it. Returns the manifest, if the
    mix is finished, and the exit code.

    Args:
        filters: folder of filters that the user brings. profile: file; without one the cluster's
            defaults.

    Raises:
        RecipeError: the profile, or jobs of a build are queued on this store already and are not to
            be waited for, or build something else. SupplyError: the plan says that it cannot work.
            AnnealmixError: see `launch`.
    """
    settings = load_profile(profile) if profile else Profile()
    chain = Chain.of(request.store, request.out)
    if wait and chain.jobs():
        chain.refuse_other(freeze(request, filters, settings))
    else:
        if chain.record is None:
            _refuse_hopeless(request)
        manifest = launch(request, filters, settings)
        if manifest is not None or not wait:
            return manifest, 0
    status = follow(chain)
    if status.state == FINISHED:
        return read_claims(request.out).as_json(), 0
    complain(status.message)
    return None, status.exit_code


def _refuse_hopeless(request: BuildRequest) -> None:
    """Ask the plan before the first job is submitted.

    Raises:
        SupplyError: a source is certainly short. RecipeError: a disk certainly has too little room.
    """
    build_plan = planning.plan(
        planning.PlanRequest(
            recipe=request.recipe,
            size=request.size,
            data=request.data,
            tokenizer=request.tokenizer,
            store=request.store,
            out=request.out,
        )
    )
    if shortages := build_plan.plan.shortages:
        raise SupplyError("\n".join(shortages))
    if refusals := build_plan.refusals:
        raise RecipeError("\n".join(refusals))
    for line in build_plan.warnings:
        say(f"warning: {line}")


def look(request: BuildRequest, *, json: bool) -> int:
    """Print how far a build is; exit code 0 while it goes on and when it is finished, otherwise
    that of what stopped it.

    Raises:
        RecipeError: it was never given to Slurm.
    """
    status = status_of(Chain.of(request.store, request.out))
    if json:
        result(as_json(status))
    else:
        show(status)
    return status.exit_code
