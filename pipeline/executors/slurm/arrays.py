"""A stage's tasks as job arrays, through datatrove's SlurmPipelineExecutor.

datatrove knows the options of sbatch. Its way of launching is replaced: it pickles the pipeline,
lets the next stage depend on the last array alone, overwrites the list of ranks when it is launched
again, and writes values into a script unquoted. Here options are arguments of sbatch, the script
holds quoted paths, a node reads the frozen plan, and which units are done is in our done-records
alone. A task is the stage's step by itself (`pipeline.commands.slurm.worker`): the import of an
executor, of clients of the hub and of object stores, takes a fifth of a second.
"""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from mixtures.errors import RecipeError
from pipeline.executors.slurm import client
from pipeline.executors.slurm.chain import CONDUCT
from pipeline.executors.slurm.logs import LOGS
from pipeline.executors.slurm.profile import Profile, Resources
from pipeline.executors.stage import Stage, StageClass
from pipeline.store.records import write_whole

TASKS = 1000  # elements of a stage's arrays at most, where the profile does not say
# Others may write to a node's scratch, too, and a cache of compiled code that they put there would
# be run.
_OWN_CACHE = (
    'export NUMBA_CACHE_DIR="$TMPDIR/numba-$(id -u)"',
    (
        'mkdir -p -m 700 "$NUMBA_CACHE_DIR" && [ -O "$NUMBA_CACHE_DIR" ] || { echo'
        ' "$NUMBA_CACHE_DIR (tmp of the profile): cannot be made, or is somebody else\'s" >&2; exit'
        " 1; }"
    ),
)


class Arrays(SlurmPipelineExecutor):  # type: ignore[misc]  # datatrove publishes no types
    """The tasks of one stage.

    Args:
        stage: with the plan that was frozen. tasks: ranks among which its units are dealt out.
            folder: of the plan.
    """

    def __init__(
        self, stage: Stage[Any, Any], tasks: int, folder: Path, resources: Resources, job_name: str
    ) -> None:
        super().__init__(
            pipeline=[stage],
            tasks=tasks,
            time=resources.time,
            partition=resources.partition,
            cpus_per_task=resources.cpus or 1,
            workers=resources.parallel or -1,
            job_name=job_name,
            qos=resources.qos,
            sbatch_args=options_of(resources),
            logging_dir=str(folder / "logs"),
            skip_completed=False,
            slurm_logs_folder=str(folder / LOGS),
        )

    def submit(self, script: Path) -> list[str]:
        """Submit arrays for all ranks, as many as the cluster's MaxArraySize asks. Returns their
        ids.

        The script is given the first rank of its array.

        Raises:
            AnnealmixError: Slurm refuses; arrays before may have been submitted.
        """
        most, jobs = client.max_array_size(), []
        for first in range(0, self.tasks, most):
            options = self.get_sbatch_args(min(most, self.tasks - first))
            jobs.append(
                client.submit(
                    [*arguments(options), f"--chdir={Path(self.slurm_logs_folder)}"],
                    script,
                    str(first),
                )
            )
        return jobs


def resources_of(profile: Profile, stage: StageClass) -> Resources:
    """What the jobs of a stage ask for: the profile's values, and the memory that a task of the
    stage may need where it names none.
    """
    resources = profile.resources(stage.name)
    if resources.memory is None:
        return resources.model_copy(update={"memory": f"{stage.task_bytes >> 20}M"})
    return resources


def is_conducted(profile: Profile, stage: StageClass, units: int) -> bool:
    """Whether a job that goes on with the build does a stage by itself: a single unit, for which
    the profile gives that job what it would give a task. Two more jobs would have to wait for nodes
    and to import libraries.
    """
    return units == 1 and resources_of(profile, stage) == profile.resources(CONDUCT)


def num_tasks(units: int, resources: Resources) -> int:
    """Tasks among which the units of a stage are dealt out.

    Raises:
        AnnealmixError: Slurm does not answer.
    """
    tasks = min(units, resources.tasks or TASKS)
    # Slurm limits the elements of one array that run at a time
    return min(tasks, client.max_array_size()) if resources.parallel else tasks


def options_of(resources: Resources) -> dict[str, str]:
    """Options of sbatch that every job of annealmix has: logs grow when a job runs again, and one
    that can never run does not wait.
    """
    values = {
        "account": resources.account,
        "constraint": resources.constraint,
        "mem": resources.memory,
    }
    named = {name: value for name, value in values.items() if value is not None}
    return {
        **resources.options,
        **named,
        "open-mode": "append",
        "kill-on-invalid-dep": "yes",
        "export": "ALL",
    }


def arguments(options: Mapping[str, object]) -> list[str]:
    """Options as arguments; None is not said, and an empty value is an option without one."""
    said = {
        name: value
        for name, value in options.items()
        if value is not None and name != "mem-per-cpu"
    }
    return [f"--{name}={value}" if value != "" else f"--{name}" for name, value in said.items()]


def write_script(path: Path, profile: Profile, words: Sequence[str]) -> Path:
    """Write a job's script: the profile's setup, then `annealmix WORDS ...` with the arguments that
    sbatch gives the script.
    """
    tmp = [f"export TMPDIR={shlex.quote(profile.tmp)}", *_OWN_CACHE] if profile.tmp else []
    lines = [
        "#!/bin/bash",
        *(
            line
            for number, setup in enumerate(profile.setup, start=1)
            for line in (setup, _checked(number))
        ),
        *tmp,
        f'exec {shlex.join([console_script(), *words])} "$@"',
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("\n".join(lines) + "\n").encode(), mode=0o755)
    return path


def _checked(number: int) -> str:
    return (
        f'status=$?; [ $status -eq 0 ] || {{ echo "setup[{number - 1}] of the profile: exit code'
        ' $status" >&2; exit 1; }'
    )


def console_script() -> str:
    """Absolute path of the command `annealmix` of this environment, which the nodes run.

    Raises:
        RecipeError: it is not installed.
    """
    beside = Path(sys.executable).parent / "annealmix"
    script = beside if beside.is_file() else Path(sysconfig.get_path("scripts")) / "annealmix"
    if not script.is_file():
        raise RecipeError(
            f"{script}: not there; install annealmix (pip install) on a file system that the nodes"
            " share"
        )
    return str(script)


def refuse_path(path: Path, what: str) -> None:
    """Paths that Slurm would read otherwise than they are written.

    Raises:
        RecipeError: it holds a control character, `%` or a backslash.
    """
    if not str(path).isprintable() or "%" in str(path) or "\\" in str(path):
        raise RecipeError(
            f"{what} {str(path)!r}: holds a control character, '%' or a backslash, which Slurm"
            " reads its own way; choose another"
        )
