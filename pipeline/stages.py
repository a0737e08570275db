"""Every stage by its name, for those who have only the name: a node that is to do a task of one."""

from __future__ import annotations

from importlib import import_module

from pipeline.stage import Stage

_CLASSES = {
    "ingest": "pipeline.ingest.Ingest",
    "score": "pipeline.score.Score",
    "near-spill": "pipeline.near.stages.Spill",
    "near-link": "pipeline.near.stages.Link",
    "near-candidates": "pipeline.near.stages.Candidates",
    "near-shingle": "pipeline.near.stages.Shingle",
    "near-verify": "pipeline.near.stages.Verify",
    "near-reduce": "pipeline.near.stages.Reduce",
    "select": "pipeline.select.Select",
    "write": "pipeline.write.Write",
}
NAMES = tuple(_CLASSES)


def stage_named(name: str) -> type[Stage]:
    """A stage's class. Only its own module is imported: a task starts in half the time."""
    module, _, name_of_class = _CLASSES[name].rpartition(".")
    stage: type[Stage] = getattr(import_module(module), name_of_class)
    return stage
