"""What runs a stage's tasks: processes of this machine (local), a batch system (slurm), a Ray
cluster (ray).

An executor decides where and when units are done, never what they are or which of them are
complete: that is in the plan and in the done-records.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.report import progress

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.executors.stage import Plan, StageClass


class Executor(Protocol):
    """Does the units of a plan."""

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units.

        Raises:
            AnnealmixError: of the first task that failed; the units that were done stay done.
        """


def execute(executor: Executor, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
    """Do all units of a plan, and show how many are done."""
    with progress(stage.name, len(plan.units), partial(stage.num_done, plan)):
        executor.execute(stage, plan, folder)
