"""One element of an array: does a rank's share of a stage's units, and notes how it ended."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path

from mixtures.errors import AnnealmixError, RecipeError
from pipeline.executors.slurm.logs import ENDED
from pipeline.executors.slurm.package import refuse_other_package
from pipeline.executors.stage import stage_named
from pipeline.store.records import write_json


def do_task(plan: Path, digest: str, stage: str, tasks: int, package: str, first: int) -> None:
    """Do the share of the rank that this element of an array stands for.

    Args:
        plan, digest: the frozen plan and its sha256. tasks: ranks of the stage. first: rank of the
            array's first element.

    Raises:
        AnnealmixError: of the unit that failed; or the plan or the code is not what was submitted.
    """
    element = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if not element.isdigit():
        raise RecipeError(
            "annealmix worker: is run by jobs that `annealmix build --executor slurm` submits, as"
            " elements of an array"
        )
    rank, began = first + int(element), int(time.time())
    ended = plan.parent / ENDED / f"{rank:06d}.json"
    ended.parent.mkdir(parents=True, exist_ok=True)
    ended.unlink(missing_ok=True)  # of a run that was requeued
    code, message = 0, ""
    try:
        refuse_other_package(package)
        deque(stage_named(stage)(plan, digest).run(None, rank, tasks), 0)
    except BaseException as error:
        code, message = (
            (error.exit_code if isinstance(error, AnnealmixError) else 1),
            str(error) or type(error).__name__,
        )
        if isinstance(error, KeyboardInterrupt):
            message = (
                "was told to end, by scancel, for a job that goes before it, or because its time"
                " was over"
            )
        raise
    finally:
        job, host = f"{os.environ.get('SLURM_ARRAY_JOB_ID', '')}_{element}", os.uname().nodename
        took = int(time.time()) - began
        write_json(
            ended,
            {
                "rank": rank,
                "job": job,
                "host": host,
                "began": began,
                "seconds": took,
                "exit_code": code,
                "message": message,
            },
        )
