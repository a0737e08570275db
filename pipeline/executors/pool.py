"""Worker processes that do numbered tasks, and a caller that hears at once of one that is killed.

Each worker has a pipe of its own: the caller sends it a rank and waits for all pipes. An answer is
what the task returned, or its exception; the end of the file is a worker that was killed, since
nobody else holds the other end. Nothing is shared between workers, so there is no lock that one
could take along. They are forked from a server that has imported the stages: a start costs
milliseconds.

pebble.ProcessPool names a killed worker's task and exit code, too, but its workers receive and send
through one pair of pipes under locks that they share.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from mixtures.errors import (
    AnnealmixError,
    AuditFailed,
    InputError,
    ManifestError,
    RecipeError,
    SupplyError,
)
from pipeline.executors.server import begin_server, served

END_SECONDS = 5  # an idle worker that does not end by then is killed
# Python obeys a signal that comes just before it waits, or to another thread, only when it has
# waited
LISTEN_SECONDS = 1
STOPPED_SECONDS = 3  # a worker that is stopped for so long is named

Task = Callable[[int], None]
Question = TypeVar("Question")
Answer = TypeVar("Answer")


def run_tasks(
    task: Task,
    ranks: Iterable[int],
    workers: int,
    stopped: Callable[[int, int], None] = lambda rank, pid: None,
) -> dict[int, int]:
    """Do a task for each rank, so many at a time.

    Args:
        task: picklable. stopped: told the rank and the process of a worker that a signal has
            stopped (SIGSTOP) and nobody has let go on for seconds.

    Returns:
        The exit codes of workers that ended without an answer, by rank, -9 for signal 9. All other
        ranks are done.

    Raises:
        Exception: that of the first task that failed; all workers are then ended.
    """
    waiting, lost, crew = deque(ranks), dict[int, int](), list[_Worker]()
    try:
        while waiting or any(worker.rank is not None for worker in crew):
            while waiting and len(crew) < workers:
                crew.append(_Worker(task))
                crew[-1].give(waiting.popleft())
            ready = wait(
                [worker.pipe for worker in crew if worker.rank is not None], LISTEN_SECONDS
            )
            for worker in crew:
                if worker.has_stopped() and worker.rank is not None:
                    stopped(worker.rank, worker.pid)
            for worker in [worker for worker in crew if worker.pipe in ready]:
                rank, worker.rank = worker.rank, None
                assert rank is not None
                try:
                    answer = worker.pipe.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    lost[rank] = worker.end()
                    continue
                if isinstance(answer, _Failure):
                    raise answer.error()
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in crew:
            worker.end()
    return lost


@contextmanager
def answering(
    function: Callable[[Question], Answer],
    tokenizer: Path,
    stopped: Callable[[int], None] = lambda pid: None,
) -> Iterator[Callable[[Question], Answer]]:
    """A function that needs a tokenizer, as one worker does it, where the server loads that one:
    then this process need not. Elsewhere, or if the worker is killed, this process does it.

    Args:
        function: picklable, as are what it is asked and returns. stopped: as of `run_tasks`, told
            the process.

    Raises (when it is asked):
        Exception: that of the function.
    """
    if tokenizer not in served:
        yield function
        return
    worker = _Worker(function)

    def ask(question: Question) -> Answer:
        worker.give(question)
        while not worker.pipe.poll(LISTEN_SECONDS):
            if worker.has_stopped():
                stopped(worker.pid)
        worker.rank = None
        try:
            answer: Answer | _Failure = worker.pipe.recv()
        except (EOFError, OSError):
            return function(question)
        if isinstance(answer, _Failure):
            raise answer.error()
        return answer

    try:
        yield ask
    finally:
        worker.end()


class _Worker:
    """A worker as its caller sees it. rank: what it does, if anything; or another question."""

    def __init__(self, task: Callable[[Any], Any]) -> None:
        begin_server()
        context = multiprocessing.get_context("forkserver")
        self.rank: Any = None
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(task, theirs, gc.get_threshold()), daemon=True
        )
        self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0
        self._stopped_at: float | None = None
        self._told = False

    def give(self, rank: Any) -> None:
        self.rank = rank
        with suppress(OSError):  # killed meanwhile: its pipe ends
            self.pipe.send(rank)

    def has_stopped(self) -> bool:
        """Whether it has been stopped by a signal for `STOPPED_SECONDS`; True once a stop."""
        if not _is_stopped(self.pid):
            self._stopped_at, self._told = None, False
            return False
        now = time.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
        tell = now - self._stopped_at >= STOPPED_SECONDS and not self._told
        self._told |= tell
        return tell

    def end(self) -> int:
        """End it, at once if it does something. Returns its exit code."""
        self.pipe.close()
        if self.rank is None:
            self._process.join(END_SECONDS)
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped, as far as the system tells it (Linux, /proc/PID/stat)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"T", b"t")


def _work(task: Callable[[Any], Any], pipe: Connection, collected: tuple[int, int, int]) -> None:
    """Do tasks until the caller closes the pipe. collected: how often cycles are looked for."""
    gc.set_threshold(*collected)
    end_with_caller()
    while True:
        try:
            rank = pipe.recv()
        except EOFError:
            return
        try:
            answer = task(rank)
        except Exception as error:
            answer = _Failure.of(error)
        pipe.send(answer)


def end_with_caller() -> None:
    """In a worker: leave interrupts to the caller, which ends its workers, and end when it is
    killed.

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


@dataclass(frozen=True)
class _Failure:
    """What a worker says of an exception: plain text and numbers, since not every exception
    survives the trip.

    kind: exit code of an AnnealmixError; None: another. arguments: its message, or those of an
        OSError.
    """

    kind: int | None
    arguments: tuple[str | int | None, ...]
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        text = "".join(traceback.format_exception(error))
        if isinstance(error, AnnealmixError):
            return cls(error.exit_code, (str(error),), text)
        if isinstance(error, OSError):
            name = None if error.filename is None else str(error.filename)
            return cls(None, (error.errno, error.strerror or str(error), name), text)
        said = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        return cls(None, (said,), text)

    def error(self) -> Exception:
        """The exception again: of the same kind where the command line tells kinds apart, else a
        RuntimeError.
        """
        error: Exception
        if self.kind is not None:
            kinds = (RecipeError, AuditFailed, InputError, SupplyError, ManifestError)
            error = next((kind for kind in kinds if kind.exit_code == self.kind), AnnealmixError)(
                *self.arguments
            )
        elif len(self.arguments) > 1:
            error = OSError(*self.arguments)
        else:
            error = RuntimeError(*self.arguments)
        error.__cause__ = _RemoteTraceback(self.traceback)
        return error
