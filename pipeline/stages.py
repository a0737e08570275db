"""Every stage by its name, for those who have only the name: a node that is to do a task of one."""

from __future__ import annotations

from importlib import import_module

from pipeline.stage import Stage

MODULES = {
    "ingest": "pipeline.ingest",
    "score": "pipeline.score",
    "near": "pipeline.near.stages",
    "select": "pipeline.select",
    "write": "pipeline.write",
}
"""Where stages are, by what their names begin with."""


def stage_named(name: str) -> type[Stage]:
    """A stage's class. Only its own module is imported: a task starts in half the time."""
    found = vars(import_module(MODULES[name.partition("-")[0]])).values()
    return next(item for item in found if isinstance(item, type) and issubclass(item, Stage) and item.name == name)
