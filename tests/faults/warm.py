"""Builds in processes that are warm and few: a parent that has imported everything, and runs nothing, forks one for each command.

    python -m tests.faults.warm       reads commands from stdin, one JSON object a line, and answers on stdout:
    pid 123 / stage ingest / stage write / stage seal / ended 9

A command is a list of words for `annealmix`. The child gives it to the command line as a user would, in a process group of its own; it
only tells, in addition, which stage begins. What a stage may be told to meet is in `Trouble`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.pipeline.command_line import CHECKOUT, PATIENCE_SECONDS

SMALL = {"GROUP_BYTES": (1, 1), "SEGMENT_BYTES": 12_000, "PARTITION_DOCUMENTS": 60, "CHUNK_BYTES": 1024, "SLICE_CHUNKS": 2, "SORT_BYTES": 8_000}
"""So small that a tiny corpus has groups, segments, partitions and slices; workers of a pool of their own have only the plan's sizes."""


def _shrink() -> None:
    from pipeline import build, intake, select, write
    from pipeline.near import search

    for module in (build, intake, select, write, search):
        for name, value in SMALL.items():
            if hasattr(module, name):
                setattr(module, name, value)


def _tell(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


class Trouble:
    """What happens when a stage begins: `fill` a folder's disk but for so many bytes, or `limit` the size of files, from then on."""

    def __init__(self, command: Mapping[str, Any]) -> None:
        self.stage = command.get("stage")
        self.fill, self.limit = command.get("fill"), command.get("limit")

    def meet(self, stage: str) -> None:
        """Tell that a stage begins, and make the trouble that waits for it."""
        _tell("stage", stage)
        if stage != self.stage:
            return
        if self.limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, resource.RLIM_INFINITY))
        if self.fill is not None:
            folder, left = self.fill
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            with open(Path(folder) / "ballast", "wb", buffering=0) as file:
                os.posix_fallocate(file.fileno(), 0, max(1, free - left))


def _child(command: Mapping[str, Any]) -> int:
    """In the forked process: tell the stages, and give the command."""
    from pipeline import cli, seal
    from pipeline.executors import local

    signal.signal(signal.SIGINT, signal.default_int_handler)
    trouble, execute, sealing = Trouble(command), local.LocalExecutor.execute, seal.seal

    def told(self: Any, stage: Any, plan: Any, folder: Any) -> None:
        if plan["units"]:
            trouble.meet(stage.name)
        execute(self, stage, plan, folder)

    def sealed(*arguments: Any) -> Any:
        trouble.meet("seal")
        return sealing(*arguments)

    local.LocalExecutor.execute, seal.seal = told, sealed  # type: ignore[assignment, method-assign]
    return cli.main(command["words"])


def main() -> None:
    """Answer commands until stdin ends."""
    from pipeline import annotators, auditing, build, contamination, judges, score  # noqa: F401  # what a build imports, once for all
    from pipeline.near import kernels  # noqa: F401

    _shrink()
    _tell("ready")
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            _tell("pid", os.getpid())
            log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 2)
            sys.stdout = sys.stderr
            code = _child(command)
            sys.stderr.flush()
            os._exit(code)
        _tell("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class Warm:
    """The warm parent, from the test's side."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-m", "tests.faults.warm"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdin=pipe, stdout=pipe, bufsize=0)
        self._buffer = b""
        assert self.line(PATIENCE_SECONDS) == "ready"

    def line(self, seconds: float) -> str | None:
        """The next line that is told, None if there is none for so long."""
        limit = time.monotonic() + seconds
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, limit - time.monotonic()))[0]:
                return None
            block = os.read(self.process.stdout.fileno(), 4096)
            assert block, "the warm parent has ended"
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def start(self, words: Sequence[object], log: Path, **trouble: Any) -> int:
        """Begin a command. Returns the id of its process and of its group."""
        command = {"words": [str(word) for word in words], "log": str(log), **trouble}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        told = self.line(PATIENCE_SECONDS)
        assert told is not None
        return int(told.removeprefix("pid "))

    def rest(self, seconds: float = PATIENCE_SECONDS) -> tuple[list[str], int]:
        """Wait for the command's end: the stages that were told until then, and its exit code, negative for a signal."""
        stages: list[str] = []
        while True:
            told = self.line(seconds)
            assert told is not None, "the command does not end"
            kind, _, value = told.partition(" ")
            if kind == "ended":
                return stages, int(value)
            stages.append(value)

    def run(self, words: Sequence[object], log: Path, **trouble: Any) -> tuple[list[str], int, str]:
        """Give a command and wait. Returns the stages, the exit code and what was printed."""
        self.start(words, log, **trouble)
        stages, code = self.rest()
        return stages, code, log.read_text(errors="replace")

    def close(self) -> None:
        """End the parent."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
