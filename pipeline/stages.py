"""Every stage by its name, for those who have only the name: a node that is to do a task of one."""

from __future__ import annotations

from types import ModuleType

from pipeline.stage import Stage

NAMES = (
    *("ingest", "score"),
    *("near-spill", "near-link", "near-candidates", "near-shingle", "near-verify", "near-reduce"),
    *("select", "write"),
)


def stage_named(name: str) -> type[Stage]:
    """A stage's class. Only its own module is imported: a task starts in half the time."""
    found = vars(_module(name)).values()
    return next(item for item in found if isinstance(item, type) and issubclass(item, Stage) and item.name == name)


def _module(name: str) -> ModuleType:
    if name.startswith("near-"):
        from pipeline.near import stages

        return stages
    if name == "ingest":
        from pipeline import ingest

        return ingest
    if name == "score":
        from pipeline import score

        return score
    if name == "select":
        from pipeline import select

        return select
    from pipeline import write

    return write
