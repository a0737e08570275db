"""Every stage by its name, for those who have only the name: a node that is to do a task of one."""

from __future__ import annotations

from types import ModuleType

from pipeline.executors.stage import Stage

MODULES = {
    "ingest": "pipeline.stages.ingest",
    "score": "pipeline.stages.score",
    "near": "pipeline.stages.near.stages",
    "select": "pipeline.stages.select",
    "write": "pipeline.stages.write",
}
"""Where stages are, by what their names begin with."""


def stage_named(name: str) -> type[Stage]:
    """A stage's class. Only its own module is imported: a task starts in half the time."""
    found = vars(_module(name.partition("-")[0])).values()
    return next(item for item in found if isinstance(item, type) and issubclass(item, Stage) and item.name == name)


def _module(kind: str) -> ModuleType:
    if kind == "ingest":

        return ingest
    if kind == "score":

        return score
    if kind == "near":
        from pipeline.stages.near import stages

        return stages
    if kind == "select":

        return select

    return write
