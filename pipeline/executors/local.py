"""Tasks as processes of this machine, through datatrove's LocalPipelineExecutor.

datatrove decides which rank runs where and keeps the logs; what is complete is decided by our done-records alone, so its own
completion marks are not asked (`skip_completed=False`).
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import multiprocess  # type: ignore[import-untyped]  # datatrove's own; it publishes no types
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.utils.logging import logger

from mixtures.errors import AnnealmixError
from pipeline.records import named
from pipeline.stage import Plan, Stage, freeze

if TYPE_CHECKING:
    from pathlib import Path


_NOWHERE = open(os.devnull, "w")  # noqa: SIM115  # loguru keeps writing to it after a rank has ended


class _QuietExecutor(LocalPipelineExecutor):  # type: ignore[misc]  # datatrove publishes no types
    """datatrove's executor, with its log lines in the log files only: the terminal belongs to the build's progress."""

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        if multiprocess.parent_process() is not None:
            _end_with_parent()
        with redirect_stderr(_NOWHERE):
            return super()._run_for_rank(rank, local_rank, node_rank)


_watching: set[int] = set()  # processes that end with their parent, by id, since a fork inherits this set


def _end_with_parent() -> None:
    """End this process when the build is killed: nobody would read its result, and it holds no lock on the store that it writes to."""
    if os.getpid() in _watching:
        return
    _watching.add(os.getpid())
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_executing = threading.Event()
# the manager that datatrove starts is such a fork, and would outlive a build that is killed
os.register_at_fork(after_in_child=lambda: _end_with_parent() if _executing.is_set() else None)


def _interrupt_main() -> None:
    """Raise KeyboardInterrupt in the main thread: by a signal, since one that waits for the pool's lock hears nothing else.

    SIGINT is ignored in a command that a script started in the background; the command line handles SIGTERM alike.
    """
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is signal.default_int_handler]
    signal.pthread_kill(threading.main_thread().ident or 0, handled[0] if handled else signal.SIGINT)


@contextmanager
def _watched_workers(name: str) -> Iterator[None]:
    """Interrupt the body if a worker process is killed: the pool would replace it and wait for its lost task for ever.

    Raises:
        AnnealmixError: says which signal ended a worker.
    """
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        seen: dict[int, Any] = {}  # kept here, since the pool forgets a worker that has ended
        while not ended.wait(0.2):
            seen |= {id(process): process for process in multiprocess.active_children()}
            codes = [process.exitcode or 0 for process in seen.values()]
            killed.extend(-code for code in codes if code < 0 and code != -signal.SIGTERM)  # SIGTERM is how a pool ends its own
            if killed:
                _interrupt_main()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not killed:
            raise
        raise AnnealmixError(
            f"{name}: a worker process was ended by signal {killed[0]}, most likely for want of memory; start the same command again "
            "(what is done stays done), with fewer --workers if it was memory"
        ) from None
    finally:
        ended.set()
        watcher.join()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


TASKS_A_WORKER = 8  # a task costs a start, a long last task costs idle workers, of which a single worker has none


@dataclass(frozen=True)
class LocalExecutor:
    """Runs stages on this machine.

    workers: processes at a time (default: cores). tasks: shares of the units (default: a few a worker; one for a single worker).
    """

    workers: int | None = None
    tasks: int | None = None

    def execute(self, stage: type[Stage], plan: Plan, folder: Path) -> None:
        """Freeze a plan in `folder` and do all of its units; one after another if the plan says `in_order`.

        Raises:
            AnnealmixError: of the first task that failed; the units that were done stay done.
        """
        units = len(plan["units"])
        if units == 0:
            return
        path, digest = freeze(folder, plan)
        shutil.rmtree(folder / "logs", ignore_errors=True)
        workers = self.workers or cores()
        shares = self.tasks or (TASKS_A_WORKER * workers if workers > 1 else 1)
        tasks = 1 if plan.get("in_order") else min(shares, units)
        logger.remove()  # datatrove's summary goes to stats.json
        executor = _QuietExecutor(
            pipeline=[stage(path, digest)],
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=str(folder / "logs"),
            skip_completed=False,
        )
        _executing.set()
        try:
            with named(folder), _watched_workers(stage.name):
                executor.run()
        finally:
            _executing.clear()
