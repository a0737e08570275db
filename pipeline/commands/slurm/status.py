"""How far a build on the cluster is, and following it until it ends."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from pipeline.executors.slurm import client
from pipeline.executors.slurm.chain import (
    CANCELLED,
    FINISHED,
    QUEUED,
    Chain,
    ChainRecord,
    SubmittedStage,
)
from pipeline.executors.slurm.logs import ENDED, LOGS
from pipeline.executors.stage import in_hand, stage_named
from pipeline.report import Column, Table, count, plural, printable, say, size, tell
from pipeline.store.records import read_json

POLL_SECONDS = 5.0
LAST_LINES = 3
"""Of a job's output, shown where it ended without a note of its own."""
_LAST_BYTES = 4096
_WAITING = frozenset(
    ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
)


@dataclass(frozen=True)
class StageStatus:
    """How far one stage is.

    units_done: by done-records. waiting, running: tasks that Slurm knows; done, failed: tasks that
    have ended; failed ones said why, or were killed before they could. cancelled: tasks that had
    not ended when the build was. text_bytes: of input files that were read, None where the stage
    reads none. failure: where the log of a failed task is, and what it says.
    """

    stage: str
    units: int
    units_done: int
    tasks: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    seconds: int
    text_bytes: int | None
    failure: str | None


@dataclass(frozen=True)
class Status:
    """How far a chain is.

    state: queued, finished, failed, cancelled, or stopped: no job is left, and what is missing was
    not done. message: what jobs wait for, in Slurm's words, the identity of a finished mix, or why
    it ended.
    """

    state: str
    message: str
    exit_code: int
    stages: list[StageStatus]
    jobs: int


def status_of(chain: Chain) -> Status:
    """Ask Slurm and the done-records.

    Raises:
        RecipeError: there is no such build. AnnealmixError: Slurm does not answer.
    """
    record = chain.record
    if record is None:
        raise RecipeError(
            "no build of this --out was given to Slurm on this --store; leave out --status or"
            " --cancel to give it"
        )
    jobs = chain.jobs() if record.state == QUEUED else []
    if not jobs:
        record = chain.record or record  # the last job may have ended since
    latest = len(record.stages) - 1
    stages = [
        _stage(entry, jobs, record.state if number == latest else FINISHED)
        for number, entry in enumerate(record.stages)
    ]
    state, message, code = record.state, record.message, record.exit_code
    if state == QUEUED and not jobs:
        failures = [stage.failure for stage in stages if stage.failure]
        missing = (
            "its jobs have ended before the mix was whole; the same command submits what is missing"
        )
        state, message, code = (
            "stopped",
            "\n".join([missing, *(failures or _last_word(chain, record))]),
            1,
        )
    elif jobs:
        reasons = Counter(job.reason for job in jobs if job.state in _WAITING)
        message = "\n".join(
            f"{plural(jobs, 'job')} waiting: {reason}" for reason, jobs in reasons.most_common()
        )
    return Status(state, message, code, stages, len(jobs))


def _last_word(chain: Chain, record: ChainRecord) -> list[str]:
    """Where the job wrote that was to go on after the last stage, if it came so far."""
    log = chain.folder / f"conduct-{record.stages[-1].conductor}.out" if record.stages else None
    return (
        [
            f"the job that was to go on was killed, or out of memory or time; its log: {log}",
            *_last_lines([log]),
        ]
        if log and log.is_file()
        else []
    )


def _stage(entry: SubmittedStage, jobs: list[client.Job], state: str) -> StageStatus:
    """state: of the build, for its last stage; all tasks of the others ended well, or the next
    would not have begun, as all of a build that is finished did. The notes of these are not asked:
    those of the slices went with their hidden folder when the mix was published.
    """
    folder, whole = entry.folder, state == FINISHED
    alive = [job for job in jobs if job.job in entry.jobs]
    elements = {f"{job.job}_{job.element}" for job in alive}
    ended = {
        rank: item for rank, item in _ended(folder) if item["job"] not in elements
    }  # a requeued one is to begin again
    failed = {} if whole else {rank: item for rank, item in ended.items() if item["exit_code"]}
    states = [job.state for job in alive]
    waiting = sum(state in _WAITING for state in states)
    unended = 0 if whole else max(entry.tasks - len(states) - len(ended), 0)
    lost = 0 if state == CANCELLED else unended
    units_done, text_bytes = _units_done(entry, folder, whole=whole)
    began = min(
        (item["began"] for item in ended.values()),
        default=int(datetime.fromisoformat(entry.submitted).timestamp()),
    )
    until = (
        max((item["began"] + item["seconds"] for item in ended.values()), default=began)
        if not states
        else int(time.time())
    )
    return StageStatus(
        stage=entry.stage,
        units=entry.units,
        units_done=units_done,
        tasks=entry.tasks,
        waiting=waiting,
        running=len(states) - waiting,
        done=entry.tasks if whole else len(ended) - len(failed),
        failed=len(failed) + lost,
        cancelled=unended - lost,
        seconds=max(until - began, 0),  # a node's clock may be ahead of ours
        text_bytes=text_bytes,
        failure=_failure(entry, failed, elements | {item["job"] for item in ended.values()}, lost),
    )


def _units_done(entry: SubmittedStage, folder: Path, *, whole: bool) -> tuple[int, int | None]:
    """Units of a stage that are done, and bytes of the files that they read."""
    path = folder / "plan.json"
    if whole:  # and the plan of the slices went with their hidden folder when the mix was published
        return entry.units, None
    if not path.is_file():  # somebody deleted the folder
        return 0, None
    stage = stage_named(entry.stage)
    plan = stage.plan_type.model_validate(read_json(path))
    done = [unit for unit in plan.units if stage.is_done(plan, unit)]
    sizes = [file.size for unit in done for file in getattr(unit, "files", ())]
    return len(done), sum(sizes) if any(hasattr(unit, "files") for unit in plan.units) else None


def _ended(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rank and note of each task that has ended. A note goes when its task begins again."""
    for path in sorted((folder / ENDED).glob("*.json")):
        with suppress(FileNotFoundError):
            item = json.loads(path.read_bytes())
            yield item["rank"], item


def _failure(
    entry: SubmittedStage, failed: dict[int, dict[str, Any]], known: set[str], lost: int
) -> str | None:
    """known: elements that wait, run or have noted how they ended."""
    folder = entry.folder
    if failed:
        first = failed[min(failed)]
        log = folder / LOGS / f"{first['job']}.out"
        return (
            f"{entry.stage}: task {first['rank']} on {first['host']} failed:"
            f" {first['message']}\n  its log: {log}"
        )
    if lost:
        notes = [note for rank in range(entry.tasks) if (note := in_hand(folder, rank)).is_file()]
        where = f", one of them at {notes[0].read_text('utf-8')}" if notes else ""
        return "\n".join(
            [
                f"{entry.stage}: {plural(lost, 'task')} ended without a note of why: killed, out of"
                f" memory or time, or never started{where}; logs: {folder / LOGS}",
                *_last_lines(
                    log
                    for job in entry.jobs
                    for log in sorted((folder / LOGS).glob(f"{job}_*.out"))
                    if log.stem not in known
                ),
            ]
        )
    return None


def _last_lines(logs: Iterable[Path]) -> list[str]:
    """The last lines of the first log that has any: what a shell, Slurm or the kernel said of a job
    that could not say it itself.
    """
    for log in logs:
        with suppress(FileNotFoundError), log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _LAST_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
            if shown := [printable(line) for line in lines if line.strip()][-LAST_LINES:]:
                return [f"  {log.name} ends: {shown[0]}", *(f"    {line}" for line in shown[1:])]
    return []


def show(status: Status) -> None:
    """Print a status as a table."""
    title = f"{status.state}: {plural(status.jobs, 'job')} waiting or running"
    Table(status.stages, _STAGE_COLUMNS).print(title)
    for line in status.message.splitlines():
        tell(line)


def as_json(status: Status) -> dict[str, Any]:
    """A status for machines."""
    return asdict(status)


def _throughput(stage: StageStatus) -> str:
    if not stage.units_done or not stage.seconds:
        return "-"
    if stage.text_bytes is not None:
        return f"{size(stage.text_bytes // stage.seconds)}/s"
    return f"{stage.units_done * 3600 // stage.seconds:,} units/h"


_STAGE_COLUMNS = (
    Column("stage", "stage"),
    Column("units done", lambda stage: f"{stage.units_done:,} of {stage.units:,}"),
    Column("tasks", "tasks", count),
    Column("waiting", "waiting", count),
    Column("running", "running", count),
    Column("ended well", "done", count),
    Column("failed", "failed", count),
    Column("cancelled", "cancelled", count),
    Column("throughput", _throughput),
)


def follow(chain: Chain, sleep: Callable[[float], None] = time.sleep) -> Status:
    """Wait until a chain ends, saying what changes. Interrupted, it leaves the jobs alone."""
    last_line = ""
    while True:
        try:
            status = status_of(chain)
        except (RecipeError, ManifestError):
            raise
        except AnnealmixError as error:  # a controller that restarts answers again
            say(f"{error}")
            sleep(POLL_SECONDS)
            continue
        if status.state != QUEUED:
            return status
        if (line := _line(status)) and line != last_line:
            say(line)
            last_line = line
        sleep(POLL_SECONDS)


def _line(status: Status) -> str:
    if not status.stages:
        return ""
    stage = status.stages[-1]
    return (
        f"{stage.stage}: {stage.units_done:,} of {plural(stage.units, 'unit')} done;"
        f" {stage.running:,} tasks running, {stage.waiting:,} waiting, {stage.failed:,} failed"
    )
