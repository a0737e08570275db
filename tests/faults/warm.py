"""Builds in processes that are warm and few: a parent that has imported everything, and runs
nothing, forks one for each command.

    python -m tests.faults.warm       reads commands from stdin, one JSON object a line, and answers
                                      on stdout:
    pid 123 / stage ingest / says "text" / stage write / stage seal / ended 9

A command is a list of words for `annealmix`. The child gives it to the command line as a user
would, in a process group of its own; it only tells, in addition, which stage begins. What a stage
may be told to meet is in `Trouble`.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from tests.pipeline.command_line import CHECKOUT, PATIENCE_SECONDS
from tests.pipeline.corpus import LAYOUT

SMALL = {
    "GROUP_BYTES": (1, 1),
    "SEGMENT_BYTES": 12_000,
    "PARTITION_DOCUMENTS": 60,
    "SORT_BYTES": 8_000,
}
"""So small that a tiny corpus has groups, segments and partitions; workers of a pool of their own
have only the plan's sizes.
"""


def shrink(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """Make what this process builds small."""
    from pipeline.build import near as search
    from pipeline.build import request
    from pipeline.build.sources import needs
    from pipeline.inputs import survey
    from pipeline.stages import select

    for module in (survey, needs, select, search):
        for name in SMALL.keys() & vars(module).keys():
            set_attribute(module, name, SMALL[name])
    set_attribute(
        request, "BuildRequest", partial(request.BuildRequest, **cast("dict[str, Any]", LAYOUT))
    )


def _tell(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


class _Told(io.TextIOBase):
    """What a command prints, told line by line: a log file would meet the same trouble as the
    build.
    """

    def write(self, text: str) -> int:
        _tell("says", json.dumps(text))
        return len(text)


class Trouble:
    """What happens when a stage begins: `fill` a folder's disk but for so many bytes, or `limit`
    the size of files, from then on.
    """

    def __init__(self, command: Mapping[str, Any]) -> None:
        self.stage = command.get("stage")
        self.fill, self.limit = command.get("fill"), command.get("limit")

    def meet(self, stage: str) -> None:
        """Make the trouble that waits for a stage."""
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
    from annealmix import __main__ as cli
    from pipeline.arms import writing
    from pipeline.build.claims import seal
    from pipeline.executors.local import LocalExecutor
    from pipeline.executors.stage import Stage

    signal.signal(signal.SIGINT, signal.default_int_handler)
    trouble, execute, read_plan = Trouble(command), LocalExecutor.execute, Stage.read_plan

    def told(self: Any, stage: Any, plan: Any, folder: Any) -> None:
        if plan.units:
            _tell("stage", stage.name)
        execute(self, stage, plan, folder)

    def met(self: Any) -> Any:
        plan = read_plan(self)
        trouble.meet(self.name)
        return plan

    def sealed(stage: str, sealing: Callable[..., Any], *arguments: Any) -> Any:
        _tell("stage", stage)
        trouble.meet(stage)
        return sealing(*arguments)

    LocalExecutor.execute = told  # type: ignore[method-assign]
    Stage.read_plan = met  # type: ignore[method-assign]
    seal.seal = partial(sealed, "seal", seal.seal)
    writing._sealed = partial(sealed, "seal-arms", writing._sealed)
    return cli.main(command["words"])


def _warm_up() -> None:
    """Import what a build imports, and make what every build makes alike; nothing here may start a
    thread, which a fork would lose.
    """
    import fastokens  # noqa: F401
    import multiprocess.managers  # type: ignore[import-untyped]  # noqa: F401
    import pandas  # type: ignore[import-untyped]  # noqa: F401
    import polars  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from mixtures.rules.near import NearRule
    from pipeline.arms import study  # noqa: F401
    from pipeline.build import build  # noqa: F401
    from pipeline.commands.build import report as mix_report  # noqa: F401
    from pipeline.judges import judges  # noqa: F401
    from pipeline.judges.annotators import annotator as annotators  # noqa: F401
    from pipeline.judges.annotators.bands import signatures
    from pipeline.judges.annotators.folding import Batch
    from pipeline.stages import score  # noqa: F401

    signatures(
        Batch(["a text of some words"]),
        NearRule.model_validate({"unit": "words", "shingle": 2, "bands": 3, "rows": 2}),
    )


def main() -> None:
    """Answer commands until stdin ends."""
    _warm_up()
    shrink()
    _tell("ready")
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            _tell("pid", os.getpid())
            sys.stdout = sys.stderr = _Told()
            os._exit(_child(command))
        _tell("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class Warm:
    """The warm parent, from the test's side."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-m", "tests.faults.warm"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdin=pipe, stdout=pipe, bufsize=0
        )
        self._buffer, self.said = b"", ""
        assert self.line(PATIENCE_SECONDS) == "ready"

    def line(self, seconds: float) -> str | None:
        """The next line that is told, None if there is none for so long."""
        limit = time.monotonic() + seconds
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, limit - time.monotonic()))[
                0
            ]:
                return None
            block = os.read(self.process.stdout.fileno(), 4096)
            assert block, "the warm parent has ended"
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def start(self, words: Sequence[object], **trouble: Any) -> int:
        """Begin a command. Returns the id of its process and of its group."""
        assert self.process.stdin is not None
        self.said = ""
        self.process.stdin.write(
            json.dumps({"words": [str(word) for word in words], **trouble}).encode() + b"\n"
        )
        kind, value = self.told(PATIENCE_SECONDS)
        assert kind == "pid"
        return int(value)

    def told(self, seconds: float) -> tuple[str, str]:
        """The next that is told of the command, ("", "") if there is nothing for so long; what it
        prints is added to `said`.
        """
        limit = time.monotonic() + seconds
        while (line := self.line(limit - time.monotonic())) is not None:
            kind, _, value = line.partition(" ")
            if kind != "says":
                return kind, value
            self.said += json.loads(value)
        return "", ""

    def rest(self) -> tuple[list[str], int]:
        """Wait for the command's end: the stages that were told until then, and its exit code,
        negative for a signal.
        """
        stages: list[str] = []
        while True:
            kind, value = self.told(PATIENCE_SECONDS)
            assert kind, "the command does not end"
            if kind == "ended":
                return stages, int(value)
            stages.append(value)

    def run(self, words: Sequence[object], **trouble: Any) -> tuple[list[str], int, str]:
        """Give a command and wait. Returns the stages, the exit code and what was printed."""
        self.start(words, **trouble)
        return *self.rest(), self.said

    def close(self) -> None:
        """End the parent."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
