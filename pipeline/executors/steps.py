"""Tasks as the steps of a datatrove executor of the caller's: how many there are, where and when
they run and what is logged is its affair.

What is complete is decided afterwards: every unit by its done-record, and every rank by datatrove's
own mark, since an older record does not say that what is written in place is still there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep

from mixtures.errors import AnnealmixError, RecipeError
from pipeline.executors.stage import Plan, StageClass, forget, freeze
from pipeline.report import some
from pipeline.store.records import named

NAMED_UNITS = 3  # in a message; a stage may have thousands

MakeExecutor: TypeAlias = Callable[[list[PipelineStep], int, str], PipelineExecutor]
"""Makes an executor that is yet to run, of a stage's steps, the number of its units (more tasks
than that do nothing), and a folder for its logs.
"""


@dataclass(frozen=True)
class StepsExecutor:
    """Runs each stage by an executor that `make` makes for it."""

    make: MakeExecutor

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units.

        Raises:
            RecipeError: the executor has other steps, or a folder of logs with marks of tasks that
                ended earlier, which would pass for these. AnnealmixError: it has come back before
                all units were done. What its tasks raise is raised as it gives it.
        """
        if not plan.units:
            return
        forget(folder, "logs")
        path, digest = freeze(folder, plan)
        steps = [stage(path, digest)]
        executor = self.make(steps, len(plan.units), str(folder / "logs"))
        if list(executor.pipeline) != steps:
            raise RecipeError(
                f"{stage.name}: the executor was not given the steps of the stage as its whole"
                " pipeline; a stage neither takes nor gives documents: run steps of yours in a"
                " pipeline of their own"
            )
        ranks = range(executor.world_size)
        if len(executor.get_incomplete_ranks(skip_completed=True)) < len(ranks):
            raise RecipeError(
                f"{stage.name}: {executor.logging_dir.path} has marks of tasks that ended earlier;"
                " give the executor the folder of logs that it was offered, or an empty one for"
                " each stage"
            )
        with named(folder):
            executor.run()
        missing = set(executor.get_incomplete_ranks(skip_completed=True))
        undone = [
            unit
            for number, unit in enumerate(plan.units)
            if number % len(ranks) in missing or not stage.is_done(plan, unit)
        ]
        if undone:
            names = some(list(map(stage.describe, undone)), NAMED_UNITS)
            raise AnnealmixError(
                f"{stage.name}: {len(undone):,} of {len(plan.units):,} units are not done, though"
                f" the executor has come back: {names}; it must do all of its tasks before `run`"
                " returns; the same call goes on from what is done"
            )
