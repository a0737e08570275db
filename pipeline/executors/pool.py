"""Worker processes that do numbered tasks, and a caller that hears at once of one that is killed.

Each worker has a pipe of its own: the caller sends it a rank and waits for all pipes. An answer is None or the task's exception; the end of
the file is a worker that was killed, since nobody else holds the other end. Nothing is shared between workers, so there is no lock that one
could take along. They are forked from a server that has imported the stages: a start costs milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait

IMPORTED = ["pipeline.executors.local", "pipeline.stages"]
END_SECONDS = 5  # an idle worker that does not end by then is killed
LISTEN_SECONDS = 1  # Python obeys a signal that comes just before it waits, or to another thread, only when it has waited

Task = Callable[[int], None]


def run_tasks(task: Task, ranks: Iterable[int], workers: int) -> dict[int, int]:
    """Do a task for each rank, so many at a time.

    Args:
        task: picklable.

    Returns:
        The exit codes of workers that ended without an answer, by rank, -9 for signal 9. All other ranks are done.

    Raises:
        Exception: that of the first task that failed; all workers are then ended.
    """
    waiting, lost, crew = deque(ranks), dict[int, int](), list[_Worker]()
    try:
        while waiting or any(worker.rank is not None for worker in crew):
            while waiting and len(crew) < workers:
                crew.append(_Worker(task))
                crew[-1].give(waiting.popleft())
            ready = wait([worker.pipe for worker in crew if worker.rank is not None], LISTEN_SECONDS)
            for worker in [worker for worker in crew if worker.pipe in ready]:
                rank, worker.rank = worker.rank, None
                assert rank is not None
                try:
                    error = worker.pipe.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    lost[rank] = worker.end()
                    continue
                if error is not None:
                    raise error
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in crew:
            worker.end()
    return lost


class _Worker:
    """A worker as its caller sees it. rank: what it does, if anything."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.rank: int | None = None
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(task, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, rank: int) -> None:
        self.rank = rank
        with suppress(OSError):  # killed meanwhile: its pipe ends
            self.pipe.send(rank)

    def end(self) -> int:
        """End it, at once if it does something. Returns its exit code."""
        self.pipe.close()
        if self.rank is None:
            self._process.join(END_SECONDS)
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


def _work(task: Task, pipe: Connection) -> None:
    """Do tasks until the caller closes the pipe."""
    end_with_caller()
    while True:
        try:
            rank = pipe.recv()
        except EOFError:
            return
        try:
            task(rank)
        except Exception as error:
            pipe.send(_Failure(error))
        else:
            pipe.send(None)


def end_with_caller() -> None:
    """In a worker: leave interrupts to the caller, which ends its workers, and end when it is killed.

    Nobody would read the result then, and no lock is held on the store that this process writes to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    caller = multiprocessing.parent_process()
    assert caller is not None

    def watch() -> None:
        caller.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _RemoteTraceback(Exception):  # noqa: N818  # it is no error: it is printed above one
    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Failure:
    """An exception that becomes itself when it is unpickled, with its traceback as text."""

    def __init__(self, error: Exception) -> None:
        self._error, self._traceback = error, "".join(traceback.format_exception(error))

    def __reduce__(self) -> tuple[Callable[[bytes, str], Exception], tuple[bytes, str]]:
        try:
            pickle.loads(pickled := pickle.dumps(self._error))
        except Exception:
            pickled = pickle.dumps(RuntimeError(f"{type(self._error).__name__}: {self._error}"))
        return _failed, (pickled, self._traceback)


def _failed(pickled: bytes, text: str) -> Exception:
    error = pickle.loads(pickled)
    assert isinstance(error, Exception)
    error.__cause__ = _RemoteTraceback(text)
    return error
