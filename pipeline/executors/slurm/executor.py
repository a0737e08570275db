"""The executor that submits a stage to Slurm, and the job that goes on after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError
from pipeline.executors.local import LocalExecutor
from pipeline.executors.slurm import arrays, client
from pipeline.executors.slurm.chain import CONDUCT, Chain
from pipeline.executors.slurm.logs import ENDED, LOGS
from pipeline.executors.slurm.package import package
from pipeline.executors.slurm.profile import Profile
from pipeline.executors.stage import Plan, StageClass, Unit, forget
from pipeline.executors.stage import freeze as freeze_plan
from pipeline.report import plural, say


class Submitted(Exception):  # noqa: N818  # no error: what remains is for the cluster to do
    """A stage was given to Slurm; the job that follows it goes on with the build."""


class SlurmExecutor:
    """Submits a stage and what follows it, instead of doing it (but `arrays.is_conducted`).

    Args:
        chain: of the build. digest: of its frozen request. trusted: see `pipeline.build.build`.
        follows: whether this is a job that follows a stage of the chain, whose units are done or
            never will be; a user's own command submits what is missing.
    """

    def __init__(
        self, chain: Chain, digest: str, profile: Profile, trusted: set[Path], *, follows: bool
    ) -> None:
        self._chain, self._digest, self._profile, self._trusted, self._follows = (
            chain,
            digest,
            profile,
            trusted,
            follows,
        )

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Submit the units that are not done.

        Raises:
            Submitted: always, but where no unit is left. AnnealmixError: Slurm refuses, or the
                units were submitted before; or of a unit that is done here.
        """
        units = [unit for unit in plan.units if not self._is_done(stage, plan, unit)]
        if not units:
            return
        plan = plan.having(units)
        if self._follows:
            self._chain.refuse_repeated(stage, plan)
            if arrays.is_conducted(self._profile, stage, len(units)):
                LocalExecutor(workers=1).execute(stage, plan, folder)
                return
        forget(folder, ENDED)
        path, digest = freeze_plan(folder, plan)
        resources = arrays.resources_of(self._profile, stage)
        tasks = arrays.num_tasks(len(units), resources)
        name = f"{self._profile.job_name}-{self._chain.key}-"
        words = ["worker", "task", str(path), digest, stage.name, str(tasks), package()]
        script = arrays.write_script(folder / LOGS / "job.sh", self._profile, words)
        try:
            jobs = arrays.Arrays(
                stage(path, digest), tasks, folder, resources, name + stage.name
            ).submit(script)
            conductor = self._submit_conductor(name, jobs)
            self._chain.trust(
                self._trusted | {folder for unit in units for folder in stage.outputs(plan, unit)}
            )
            self._chain.add(
                stage, folder, tasks=tasks, units=len(units), jobs=jobs, conductor=conductor
            )
        except BaseException:
            self._cancel()
            raise
        raise Submitted(
            f"{stage.name}: {plural(len(units), 'unit')} in {plural(tasks, 'task')}, jobs"
            f" {', '.join(jobs)}"
        )

    def _cancel(self) -> None:
        try:
            self._chain.cancel()
        # what was first is the reason; jobs that are left keep others from this store and place
        except AnnealmixError as error:
            say(f"jobs that were submitted are not cancelled: {error}")

    def _submit_conductor(self, name: str, jobs: list[str]) -> str:
        resources = self._profile.resources(CONDUCT)
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
        return client.submit(
            arrays.arguments(options),
            arrays.write_script(self._chain.folder / "conduct.sh", self._profile, words),
        )

    def _is_done(self, stage: StageClass, plan: Plan[Any], unit: Unit) -> bool:
        """Whether a unit need not be submitted. What a stopped build left is checked again by a
        task if the stage writes in place.
        """
        return stage.is_done(plan, unit) and (self._follows or not stage.in_place)
