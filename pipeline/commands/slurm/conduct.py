"""A build on the cluster: it goes on until a stage must be done by others, submits that stage and a job that goes on after it, and ends.

Each time the build starts from its beginning and finds by the done-records what is done, as a build that was stopped does. So nothing
of its state travels from job to job but which folders it has verified.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError
from mixtures.mix.manifest import Manifest
from pipeline.build.build import BuildRequest, build
from pipeline.commands.slurm.request import freeze, thaw
from pipeline.executors.slurm import arrays, client
from pipeline.executors.slurm.chain import CONDUCT, FAILED, FINISHED, Chain
from pipeline.executors.slurm.package import package
from pipeline.executors.slurm.profile import Profile
from pipeline.executors.stage import Plan, Stage, forget
from pipeline.executors.stage import freeze as freeze_plan
from pipeline.report import plural, say


class Submitted(Exception):  # noqa: N818  # no error: what remains is for the cluster to do
    """A stage was given to Slurm; the job that follows it goes on with the build."""


class SlurmExecutor:
    """Submits a stage and what follows it, instead of doing it.

    Args:
        chain: of the build. digest: of its frozen request. trusted: see `pipeline.build.build`.
        follows: whether this is a job that follows a stage of the chain, whose units are done or never will be; a user's own command
            submits what is missing.
    """

    def __init__(self, chain: Chain, digest: str, profile: Profile, trusted: set[Path], *, follows: bool) -> None:
        self._chain, self._digest, self._profile, self._trusted, self._follows = chain, digest, profile, trusted, follows

    def execute(self, stage: type[Stage], plan: Plan, folder: Path) -> None:
        """Submit the units that are not done.

        Raises:
            Submitted: always, but where no unit is left. AnnealmixError: Slurm refuses, or the units were submitted before.
        """
        units = [unit for unit in plan["units"] if not self._is_done(stage, plan, unit)]
        if not units:
            return
        plan = {**plan, "units": units}
        if self._follows:
            self._chain.refuse_repeated(stage, plan)
        forget(folder, arrays.ENDED)
        path, digest = freeze_plan(folder, plan)
        resources = self._profile.resources(stage.name)
        if resources.memory is None:
            resources = resources.model_copy(update={"memory": f"{stage.task_bytes >> 20}M"})
        tasks = 1 if plan.get("in_order") else min(len(units), resources.tasks or arrays.TASKS)
        if resources.parallel:  # Slurm limits the elements of one array that run at a time
            tasks = min(tasks, client.max_array_size())
        name = f"{self._profile.job_name}-{self._chain.key}-"
        words = ["worker", "task", str(path), digest, stage.name, str(tasks), package()]
        script = arrays.write_script(folder / arrays.LOGS / "job.sh", self._profile, words)
        try:
            jobs = arrays.Arrays(stage(path, digest), tasks, folder, resources, name + stage.name).submit(script)
            conductor = self._submit_conductor(name, jobs)
            self._chain.trust(self._trusted | {folder for unit in units for folder in stage.outputs(plan, unit)})
            self._chain.add(stage, folder, tasks, len(units), jobs, conductor)
        except BaseException:
            self._cancel()
            raise
        raise Submitted(f"{stage.name}: {plural(len(units), 'unit')} in {plural(tasks, 'task')}, jobs {', '.join(jobs)}")

    def _cancel(self) -> None:
        try:
            self._chain.cancel()
        except AnnealmixError as error:  # what was first is the reason; jobs that are left keep others from this store and place
            say(f"jobs that were submitted are not cancelled: {error}")

    def _submit_conductor(self, name: str, jobs: list[str]) -> str:
        resources = self._profile.resources("conduct")
        log = str(self._chain.folder / "conduct-%j.out")
        options = {
            "job-name": f"{name}{CONDUCT}",
            "partition": resources.partition,
            "qos": resources.qos,
            "time": resources.time,
            "cpus-per-task": str(resources.cpus or 1),
            "nodes": "1",
            "ntasks": "1",
            "output": log,
            "error": log,
            "requeue": "",
            "chdir": str(self._chain.folder),
            **arrays.options_of(resources),
            "dependency": f"afterok:{':'.join(jobs)}",
        }
        words = ["worker", "conduct", str(self._chain.folder), self._digest, package()]
        return client.submit(arrays.arguments(options), arrays.write_script(self._chain.folder / "conduct.sh", self._profile, words))

    def _is_done(self, stage: type[Stage], plan: Plan, unit: dict[str, Any]) -> bool:
        """Whether a unit need not be submitted. What a stopped build left is checked again by a task if the stage writes in place."""
        return stage.is_done(plan, unit) and (self._follows or not stage.in_place)


def launch(request: BuildRequest, filters: Path | None, profile: Profile) -> Manifest | None:
    """Give a build to Slurm, or what is missing of it. Returns the manifest if there was nothing left to submit.

    Raises:
        RecipeError: jobs of this or another build are waiting or running on the store. AnnealmixError: as `build`, or Slurm refuses.
    """
    for path, what in ((request.out, "--out"), (request.store, "--store")):
        arrays.refuse_path(path, what)
    client.max_array_size()  # Slurm answers: a chain that was begun, and that nobody can ask about, keeps others from its store
    chain, trusted = Chain.of(request.store, request.out), set[Path]()
    executor = _Launch(chain, freeze(request, filters, profile), profile, trusted)
    try:
        manifest = build(replace(request, executor=executor), trusted)
    except Submitted as submitted:
        say(f"submitted: {submitted}; --status shows how far it is, --wait follows it")
        return None
    if chain.record:
        chain.end(FINISHED, 0, f"identity {manifest['identity']}")
    return manifest


class _Launch:
    """Opens the record of the chain when the first stage is submitted, under the store's lock and after `refuse_busy`."""

    def __init__(self, chain: Chain, request: dict[str, Any], profile: Profile, trusted: set[Path]) -> None:
        self._chain, self._request, self._profile, self._trusted = chain, request, profile, trusted

    def execute(self, stage: type[Stage], plan: Plan, folder: Path) -> None:
        """Submit a stage; see `SlurmExecutor.execute`."""
        digest = self._chain.begin(self._request, self._profile.job_name)
        SlurmExecutor(self._chain, digest, self._profile, self._trusted, follows=False).execute(stage, plan, folder)


def conduct(folder: Path, digest: str) -> None:
    """Go on with a build, in a job.

    Raises:
        AnnealmixError: as `build`; it is noted in the chain's record, too.
    """
    chain = Chain(folder)
    frozen = chain.request(digest)  # if there is another by now, that build's record is not ours to end
    if (younger := chain.younger()) is not None:
        say(f"job {younger} goes on with this build")
        return
    try:
        request, profile = thaw(frozen)
        trusted = chain.trusted()
        executor = SlurmExecutor(chain, digest, profile, trusted, follows=True)
        manifest = build(replace(request, executor=executor), trusted, chain=folder)
    except Submitted as submitted:
        say(f"submitted: {submitted}")
    except AnnealmixError as error:
        chain.end(FAILED, error.exit_code, str(error))
        raise
    except Exception as error:
        chain.end(FAILED, 1, f"{type(error).__name__}: {error}")
        raise
    else:
        chain.end(FINISHED, 0, f"identity {manifest['identity']}")
        say(f"{request.out}: identity {manifest['identity']}")
