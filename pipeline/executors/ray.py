"""Tasks as actors of an existing Ray cluster, through datatrove's RayPipelineExecutor; the nodes
share the file system of store and output.

An actor gets a class of ours, the path of the frozen plan and its hash, and reads the plan that was
frozen. datatrove reserves a core and the task's memory, and does a task whose actor or node was
lost up to three times more; then it goes on without it. So what is complete is decided afterwards,
by our done-records. An actor does its task itself: datatrove's does it in a child, and waits for
ever for one that is killed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.executor import ray as datatrove_ray
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.ray import RankWorker, RayPipelineExecutor
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

from mixtures.errors import AnnealmixError, RecipeError
from pipeline.executors.local import TASKS_A_WORKER
from pipeline.executors.stage import Plan, StageClass, Unit, forget, freeze
from pipeline.report import size, some
from pipeline.store.records import read_json, write_json

CONNECT_SECONDS = 10
NOWHERE = open(os.devnull, "w")  # noqa: SIM115  # loguru keeps writing to it later
NAMED_UNITS = 3  # in a message; a stage may have thousands


@dataclass(frozen=True)
class RayExecutor:
    """Runs stages on a Ray cluster.

    address: of the cluster (default: that of RAY_ADDRESS, or the one that runs on this machine).
        workers: tasks at a time (default: the
    cluster's cores). tasks: shares of the units (default: a few a worker).
    """

    address: str | None = None
    workers: int | None = None
    tasks: int | None = None

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units.

        Raises:
            RecipeError: there is no such cluster, or no node of it has enough memory.
                AnnealmixError: units were not done; of the kind of the first task that failed.
        """
        units = len(plan.units)
        if units == 0:
            return
        cores = _connect(self.address, stage)
        forget(folder, "logs", "failed")
        path, digest = freeze(folder, plan)
        workers = self.workers or cores
        tasks = min(self.tasks or TASKS_A_WORKER * workers, units)
        logger.remove()
        executor = _Tasks(
            pipeline=[stage(path, digest)],
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=str(folder / "logs"),
            skip_completed=False,
            mem_per_cpu_gb=stage.task_bytes / (1 << 30),
        )
        with _actors(), redirect_stderr(NOWHERE):
            executor.run()
        _refuse_undone(stage, plan, folder, tasks)


class _Tasks(RayPipelineExecutor):  # type: ignore[misc]  # datatrove publishes no types
    """The tasks of a stage."""

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        """As on one machine: logs go to the stage's folder, not by way of a folder that all users
        of a node share.
        """
        return PipelineExecutor._run_for_rank(self, rank, local_rank, node_rank)


class _Actor(RankWorker):  # type: ignore[misc]  # datatrove publishes no types
    """A process of the cluster that does tasks, and notes an error beside the plan."""

    def run_for_rank(
        self, executor_ref: _Tasks, ranks: Sequence[int], node_ips: Sequence[str], node_idx: int
    ) -> PipelineStats:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ.setdefault("RAYON_NUM_THREADS", "1")
        for rank in ranks:
            try:
                executor_ref._run_for_rank(rank)
            except Exception as error:
                path = _failure(executor_ref.pipeline[0].plan_path.parent, rank)
                path.parent.mkdir(exist_ok=True)
                code = error.exit_code if isinstance(error, AnnealmixError) else 1
                write_json(path, {"exit_code": code, "message": str(error) or type(error).__name__})
                raise
        return PipelineStats()


@contextmanager
def _actors() -> Iterator[None]:
    """Within the body datatrove makes actors of our class."""
    datatrove_ray.RankWorker = _Actor
    try:
        yield
    finally:
        datatrove_ray.RankWorker = RankWorker


def _connect(address: str | None, stage: StageClass) -> int:
    """Connect with the cluster. Returns its cores.

    Raises:
        RecipeError: it is not there, or none of its nodes can do a task of the stage, for which Ray
            would wait for ever.
    """
    ray = open_ray()
    if not ray.is_initialized():
        try:
            _reach(address or "auto")
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            where, reason = address or "auto", str(error).partition("\n")[0]
            raise RecipeError(
                f"--ray-address {where}: no Ray cluster there ({reason}); start one with `ray start"
                " --head`"
            ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(
        node.get("CPU", 0) >= 1 and node.get("memory", 0) >= stage.task_bytes for node in nodes
    ):
        most = max(
            (int(node.get("memory", 0)) for node in nodes if node.get("CPU", 0) >= 1), default=0
        )
        raise RecipeError(
            f"{stage.name}: a task reserves a core and {size(stage.task_bytes)} of memory; no node"
            f" of the Ray cluster has both (the largest offers {size(most)}); start a node with"
            " more (`ray start --memory`)"
        )
    return int(sum(node.get("CPU", 0) for node in nodes))


def _reach(address: str) -> None:
    """Knock at HOST:PORT, since Ray tries for minutes.

    Raises:
        OSError: nobody answers.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


def open_ray() -> Any:
    """The module ray.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise RecipeError("--executor ray needs Ray: pip install 'annealmix[ray]'") from None
    return ray


def _failure(folder: Path, rank: int) -> Path:
    return folder / "failed" / f"{rank:05d}.json"


def _refuse_undone(stage: StageClass, plan: Plan[Any], folder: Path, tasks: int) -> None:
    """Hold the plan against what is done.

    Raises:
        AnnealmixError: names units that are not.
    """
    undone = [
        unit
        for number, unit in enumerate(plan.units)
        if not _is_done(stage, plan, folder, number % tasks, unit)
    ]
    if not undone:
        return
    failed = sorted((folder / "failed").glob("*.json"))
    failure = (
        read_json(failed[0])
        if failed
        else {"exit_code": 1, "message": "the processes or nodes that did them were lost"}
    )
    kind = next(
        (
            kind
            for kind in AnnealmixError.__subclasses__()
            if kind.exit_code == failure["exit_code"]
        ),
        AnnealmixError,
    )
    names = some(list(map(stage.describe, undone)), NAMED_UNITS)
    raise kind(
        f"{failure['message']}\n{stage.name}: {len(undone):,} of {len(plan.units):,} units were"
        f" not done: {names}; logs are in {folder / 'logs'}; the same command goes on from what is"
        " done"
    )


def _is_done(stage: StageClass, plan: Plan[Any], folder: Path, rank: int, unit: Unit) -> bool:
    """Whether a unit is done; one that is written in place only if its task has ended well now,
    since a record may be an older one.
    """
    return stage.is_done(plan, unit) and (
        not stage.in_place or (folder / "logs" / "completions" / f"{rank:05d}").is_file()
    )
