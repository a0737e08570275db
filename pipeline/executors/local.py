"""Tasks as processes of this machine (pipeline.executors.pool).

A stage is a step of datatrove's, but here nothing is asked of a datatrove executor: what is
complete is decided by our done-records alone, and its import, of clients of the hub and of object
stores, takes a fifth of a second in each process.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError
from pipeline.executors.memory import available_memory
from pipeline.executors.pool import run_tasks
from pipeline.executors.server import begin_server
from pipeline.executors.stage import Plan, Stage, StageClass, forget, freeze, in_hand
from pipeline.report import plural, say, size
from pipeline.store.records import named

# a task costs little to begin with, a long last task costs idle workers, of which a single worker
# has none
TASKS_A_WORKER = 8


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class LocalTask:
    """A rank's share of a frozen plan."""

    stage: StageClass
    plan: Path
    digest: str
    world_size: int

    def __call__(self, rank: int) -> None:
        """Do it. What libraries say meanwhile, and what is waited for, is in a log beside the plan:
        the terminal belongs to the build's progress.
        """
        logs = self.plan.parent / "logs"
        logs.mkdir(exist_ok=True)
        with (
            (logs / f"{rank:05d}.log").open("a", 1, "utf-8", "backslashreplace") as log,
            redirect_stderr(log),
        ):
            deque(self._step.run(None, rank, self.world_size), 0)

    @cached_property
    def _step(self) -> Stage[Any, Any]:
        """The stage as this process does it, rank after rank."""
        return self.stage(self.plan, self.digest)


@dataclass(frozen=True)
class LocalExecutor:
    """Runs stages on this machine.

    workers: processes at a time (default: the cores, as far as memory and work allow). tasks:
        shares of the units (default: a few a worker; one for a single worker).
    """

    workers: int | None = None
    tasks: int | None = None

    def get_ready(self, tokenizer: Path | None) -> None:
        """Begin what workers are forked from, if there may be several: a caller that knows that
        there is work goes on meanwhile with what it must know to plan it. tokenizer: see
        `begin_server`.
        """
        if (self.workers or cores()) > 1 and self.tasks != 1:
            begin_server(tokenizer)

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units.

        Raises:
            AnnealmixError: of the first task that failed, or twice lost its worker; the units that
                were done stay done.
        """
        units = len(plan.units)
        if units == 0:
            return
        forget(folder, "logs")
        path, digest = freeze(folder, plan)
        useful = min(cores(), units, stage.useful_workers(plan))
        workers = self.workers or workers_that_fit(stage, useful)
        shares = self.tasks or (TASKS_A_WORKER * workers if workers > 1 else 1)
        tasks = min(shares, units)
        task = LocalTask(stage, path, digest, tasks)
        with named(folder):
            if min(workers, tasks) == 1:
                for rank in range(tasks):
                    task(rank)
            else:
                _run(task, min(workers, tasks))


def workers_that_fit(stage: StageClass, wanted: int) -> int:
    """Workers for which there is memory, at least one; says so if they are fewer than wanted."""
    available = available_memory()
    fit = max(min(wanted, available // stage.task_bytes), 1)
    if fit < wanted:
        need = (
            f"a task may need {size(stage.task_bytes)} of memory, {size(available)} are available"
        )
        say(
            f"{stage.name}: {plural(fit, 'worker')} instead of {wanted}: {need}; --workers sets"
            " another number"
        )
    return fit


def _run(task: LocalTask, workers: int) -> None:
    """Do all ranks; those whose worker is killed once more, one at a time, since memory may have
    been short for several.

    Raises:
        AnnealmixError: a worker was killed over the same rank again.
    """
    stopped = partial(_tell_stopped, task)
    lost = run_tasks(task, range(task.world_size), workers, stopped)
    for rank, code in sorted(lost.items()):
        say(f"{_lost(task, rank, code)}; doing it once more, alone")
    again = run_tasks(task, sorted(lost), 1, stopped) if lost else {}
    if again:
        rank, code = min(again.items())
        advice = (
            "memory is short for a single task"
            if code == -signal.SIGKILL
            else f"the log is {task.plan.parent / 'logs'}"
        )
        raise AnnealmixError(
            f"{_lost(task, rank, code)}, again; {advice}; the same command goes on from what is"
            " done"
        )


def _tell_stopped(task: LocalTask, rank: int, pid: int) -> None:
    say(
        f"{_at(task, rank)}, is stopped by a signal and does nothing; kill -CONT {pid} lets it go"
        " on"
    )


def _at(task: LocalTask, rank: int) -> str:
    """Names a worker by its task and its unit."""
    note = in_hand(task.plan.parent, rank)
    what = note.read_text("utf-8") if note.is_file() else "its first unit"
    return f"{task.stage.name}: the worker of task {rank} of {task.world_size}, at {what}"


def _lost(task: LocalTask, rank: int, code: int) -> str:
    """What happened to a worker, at which unit."""
    if code == -signal.SIGKILL:
        ended = "was ended by signal 9, most likely for want of memory"
    else:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"{_at(task, rank)}, {ended}"
