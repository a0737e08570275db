"""What a build would submit to Slurm: its arrays, and what each of their jobs asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.commands.plan.stage_arrays import SEAL, StageArray
from pipeline.executors.slurm import client
from pipeline.executors.slurm.arrays import is_conducted, num_tasks, resources_of
from pipeline.executors.slurm.chain import CONDUCT
from pipeline.executors.slurm.profile import Profile
from pipeline.executors.stage import stage_named
from pipeline.report import Column, Table, count, minutes

WRITE, ARMS = "write", "arms"


@dataclass(frozen=True)
class StageJobs:
    """The jobs of a stage; None: the cluster decides, or it is not known."""

    stage: str
    units: int
    tasks: int
    arrays: int
    """0: each is a job of its own."""
    cpus: int
    """Of a task."""
    memory: str | None
    """Of a task, as sbatch is asked."""
    time_limit: str | None
    """Likewise."""
    partition: str | None
    task_seconds: int | None
    """That a task may take, estimated."""


def rehearsal(stages: Sequence[StageArray], profile: Profile, arms: int = 0) -> list[StageJobs]:
    """The arrays of a build, in order, by the rules of the stages that are submitted; then the jobs
    that go on after each of them, which do single units, and the last of which seals the mix.

    Args:
        stages: as the plan estimates them. arms: of a study, each of which has the slices of its
            base.

    Raises:
        AnnealmixError: Slurm does not answer.
    """
    most = client.max_array_size()
    found, submitted = [], [stage for stage in stages if stage.stage != SEAL]
    submitted += [
        replace(stage, stage=ARMS, units=arms * stage.units, core_seconds=None)
        for stage in stages
        if arms and stage.stage == WRITE
    ]
    submitted = [
        stage
        for number, stage in enumerate(submitted)
        if number == 0 or not is_conducted(profile, stage_named(stage.stage), stage.units)
    ]
    for stage in submitted:
        asked = resources_of(profile, stage_named(stage.stage))
        tasks = num_tasks(stage.units, asked)
        found.append(
            StageJobs(
                stage=stage.stage,
                units=stage.units,
                tasks=tasks,
                arrays=-(-tasks // most),
                cpus=asked.cpus or 1,
                memory=asked.memory,
                time_limit=asked.time,
                partition=asked.partition,
                task_seconds=stage.seconds_at(tasks),
            )
        )
    asked, jobs = profile.resources(CONDUCT), len(submitted)
    seal = sum(stage.core_seconds or 0 for stage in stages if stage.stage == SEAL)
    conduct = StageJobs(
        CONDUCT, jobs, jobs, 0, asked.cpus or 1, asked.memory, asked.time, asked.partition, seal
    )
    return [*found, conduct]


def show(rows: Sequence[StageJobs]) -> None:
    """Print them."""
    Table(rows, _COLUMNS).print("jobs of a build with an empty store; nothing is submitted")


def _asked(value: str | None) -> str:
    return value or "the cluster's"


_COLUMNS = (
    Column("stage", "stage"),
    Column("units", "units", count),
    Column("tasks", "tasks", count),
    Column("arrays", "arrays", count),
    Column("cpus", "cpus", count),
    Column("memory", "memory", _asked),
    Column("time limit", "time_limit", _asked),
    Column("partition", "partition", _asked),
    Column("minutes a task", "task_seconds", minutes),
)
