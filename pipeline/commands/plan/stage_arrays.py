"""The arrays of tasks that a build hands out on a cluster: units of each stage, tasks, and about
how long one takes.

The rules are those of the stages themselves. Where no files are listed, the groups of an ingest are
estimated from the text: they are then at most as many as there are files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixtures.plan.plan import Plan
from mixtures.recipe.loaded import LoadedRecipe
from pipeline.build.near import SORT_BYTES, key_partitions
from pipeline.executors.local import TASKS_A_WORKER
from pipeline.inputs import survey
from pipeline.stages.near.edges import num_partitions as band_partitions
from pipeline.stages.select import num_partitions
from pipeline.stages.write import CHUNK_BYTES, SLICE_CHUNKS
from pipeline.store.scores import SCORE_PARTITIONS

SEAL = "seal"
"""What is done when all stages are: no stage of its own, but a time of the plan."""
PACKED = 3  # bytes of text in a byte of a compressed input file
_NEAR_PARTS = {
    "near-spill": 50,
    "near-link": 35,
    "near-reduce": 15,
}  # per cent of the search's time, of a build of 180,000 documents


@dataclass(frozen=True)
class StageArray:
    """The tasks of a stage. The seconds are None where the time is not known."""

    stage: str
    units: int
    tasks: int
    core_seconds: int | None
    """Of the stage."""
    task_seconds: int | None
    """Of one task."""
    seconds: int | None
    """Of the stage, at as many tasks at a time as there are workers."""

    def seconds_at(self, tasks: int) -> int | None:
        """Of one task, if there are so many."""
        return None if self.core_seconds is None else -(-self.core_seconds // tasks)


def arrays(
    recipe: LoadedRecipe,
    plan: Plan,
    *,
    groups: Mapping[str, int],
    text_bytes: Mapping[str, int],
    workers: int,
) -> list[StageArray]:
    """One for each stage of a build that begins with an empty store, in order.

    Args:
        groups: of input files, by reading, where the files are listed. text_bytes: by reading.
            workers: tasks at a time.
    """
    resources = plan.resources
    units = {"ingest": sum(groups.get(name, _groups(size)) for name, size in text_bytes.items())}
    seconds = {name: stage.core_seconds for name, stage in resources.stages.items()}
    if "score" in seconds:
        units["score"] = SCORE_PARTITIONS
    near, near_seconds = resources.near, seconds.pop("near", None)
    if near and near_seconds is not None:
        documents = near.near_documents
        units |= {
            "near-spill": key_partitions(documents),
            "near-link": _bands(recipe, documents),
            "near-reduce": 1,
        }
        seconds |= {name: near_seconds * share // 100 for name, share in _NEAR_PARTS.items()}
    documents = sum(row.supply_documents_estimated or 0 for row in plan.sources.values())
    slice_bytes = CHUNK_BYTES * SLICE_CHUNKS
    mix_bytes = plan.left_tokens_estimated * recipe.tokenizer.dtype.itemsize
    units |= {"select": num_partitions(documents), "write": -(-mix_bytes // slice_bytes), SEAL: 1}
    return [
        _array(stage, count, seconds[stage], workers) for stage, count in units.items() if count
    ]


def _bands(recipe: LoadedRecipe, documents: int) -> int:
    near = recipe.recipe.near
    return band_partitions(documents, near.effective, SORT_BYTES) if near else 0


def _groups(text_bytes: int) -> int:
    """Groups of input files that hold so much text."""
    packed = text_bytes // PACKED
    return -(-packed // survey.group_target(packed))


def _array(stage: str, units: int, core_seconds: int | None, workers: int) -> StageArray:
    tasks = min(units, workers * TASKS_A_WORKER if workers > 1 else 1)
    a_task = None if core_seconds is None else -(-core_seconds // tasks)
    in_all = None if a_task is None else -(-tasks // workers) * a_task
    return StageArray(stage, units, tasks, core_seconds, a_task, in_all)
