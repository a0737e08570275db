"""Tasks as processes of this machine, through datatrove's LocalPipelineExecutor.

datatrove decides which rank runs where and keeps the logs; what is complete is decided by our done-records alone, so its own
completion marks are not asked (`skip_completed=False`).
"""

from __future__ import annotations

import os
import shutil
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.utils.logging import logger

from pipeline.stage import Plan, Stage, freeze

if TYPE_CHECKING:
    from pathlib import Path


_NOWHERE = open(os.devnull, "w")  # noqa: SIM115  # loguru keeps writing to it after a rank has ended


class _QuietExecutor(LocalPipelineExecutor):  # type: ignore[misc]  # datatrove publishes no types
    """datatrove's executor, with its log lines in the log files only: the terminal belongs to the build's progress."""

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        with redirect_stderr(_NOWHERE):
            return super()._run_for_rank(rank, local_rank, node_rank)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class LocalExecutor:
    """Runs stages on this machine. workers: processes at a time (default: cores); tasks: shares of the units (default: one a unit)."""

    workers: int | None = None
    tasks: int | None = None

    def execute(self, stage: type[Stage], plan: Plan, folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units.

        Raises:
            AnnealmixError: of the first task that failed; the units that were done stay done.
        """
        units = len(plan["units"])
        if units == 0:
            return
        path, digest = freeze(folder, plan)
        shutil.rmtree(folder / "logs", ignore_errors=True)
        tasks = min(self.tasks or units, units)
        logger.remove()  # datatrove's summary goes to stats.json
        _QuietExecutor(
            pipeline=[stage(path, digest)],
            tasks=tasks,
            workers=min(self.workers or cores(), tasks),
            logging_dir=str(folder / "logs"),
            skip_completed=False,
        ).run()
