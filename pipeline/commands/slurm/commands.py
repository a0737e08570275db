"""`annealmix build --executor slurm`: give a build to the cluster, look at it, follow it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mixtures.errors import RecipeError, SupplyError
from mixtures.mix.manifest import Manifest
from pipeline.build.request import BuildRequest
from pipeline.commands.plan import build_plan as planning
from pipeline.commands.slurm.conduct import launch
from pipeline.commands.slurm.rehearsal import rehearsal
from pipeline.commands.slurm.rehearsal import show as show_rehearsal
from pipeline.commands.slurm.request import Asked, freeze
from pipeline.commands.slurm.status import as_json, follow, show, status_of
from pipeline.executors.slurm.chain import FINISHED, Chain
from pipeline.executors.slurm.profile import Profile, load_profile
from pipeline.report import complain, plural, result, say


def give(asked: Asked, profile: Path | None, *, wait: bool) -> tuple[dict[str, Manifest], int]:
    """Submit what of a build is missing, and with `wait` follow it. Returns the manifests by name,
    none if it is not finished, and the exit code.

    Args:
        profile: file; without one the cluster's defaults.

    Raises:
        RecipeError: the profile, or jobs of a build are queued on this store already and are not to
            be waited for, or build something else. SupplyError: the plan says that it cannot work.
            AnnealmixError: see `launch`.
    """
    settings = load_profile(profile) if profile else Profile()
    chain = Chain.of(asked.request.store, asked.request.out)
    if wait and chain.jobs():
        chain.refuse_other(freeze(asked, settings))
    else:
        if chain.record is None:
            _refuse_hopeless(asked.request)
        found = launch(asked, settings)
        if found or not wait:
            return found, 0
    status = follow(chain)
    if status.state == FINISHED:
        return asked.finished(), 0
    complain(status.message)
    return {}, status.exit_code


def rehearse(asked: Asked, profile: Path | None, *, json: bool) -> int:
    """Print the arrays that a build with an empty store would be, and what their jobs ask for;
    nothing is submitted.

    Raises:
        RecipeError: the profile. SupplyError, RecipeError: the plan says that it cannot work.
            AnnealmixError: Slurm does not answer.
    """
    settings = load_profile(profile) if profile else Profile()
    arms = len(asked.study.study.arms) if asked.study else 0
    rows = rehearsal(_refuse_hopeless(asked.request).arrays, settings, arms)
    if json:
        result([asdict(row) for row in rows])
    else:
        show_rehearsal(rows)
    return 0


def _refuse_hopeless(request: BuildRequest) -> planning.BuildPlan:
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
    return build_plan


def cancel(request: BuildRequest, *, json: bool) -> int:
    """Cancel what is queued or runs of a build, and print how far it came.

    Raises:
        RecipeError: it was never given to Slurm. AnnealmixError: Slurm does not answer, or its jobs
            do not end.
    """
    chain = Chain.of(request.store, request.out)
    status_of(chain)
    say(f"{plural(chain.stop(), 'job')} cancelled" if chain.jobs() else "no job to cancel")
    status = status_of(chain)
    if json:
        result(as_json(status))
    else:
        show(status)
    return 0


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
