"""The same damaged inputs, given to datatrove's own readers and its LocalPipelineExecutor: how it
ends, and what it lets through.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.logging import logger

from tests.faults.endings import COUNT, Input
from tests.pipeline.corpus import prose, sharded, write_files


@dataclass(frozen=True)
class StockEnding:
    """code: what a script that runs the pipeline would exit with; documents: lines that it wrote;
    complete: ranks that it marked so.
    """

    code: int
    documents: int
    complete: int

    def __str__(self) -> str:
        marked = "complete" if self.complete else "not complete"
        return f"exit {self.code}, {self.documents:,} out, {marked}"


def run_stock(folder: Path, reader: Any, tasks: int = 1) -> StockEnding:
    """One pipeline from the reader to JSON lines below `folder`, as a script of the documentation
    runs it.
    """
    writer = JsonlWriter(str(folder / "written"), compression=None)
    logger.remove()
    code = 0
    try:
        with redirect_stderr(StringIO()):
            LocalPipelineExecutor(
                [reader, writer], tasks=tasks, workers=1, logging_dir=str(folder / "logs")
            ).run()
    except Exception:
        code = 1
    written = sum(path.read_bytes().count(b"\n") for path in sorted((folder / "written").glob("*")))
    return StockEnding(code, written, len(list((folder / "logs" / "completions").glob("*"))))


def stock_ending(given: Input, folder: Path) -> StockEnding:
    """Read a damaged input; pins are no thing that datatrove knows, and neither is the format that
    a source is published in.
    """
    data = folder / "data" / "a"
    data.mkdir(parents=True)
    given.write(data)
    data = data.resolve()
    (data / "SHA256SUMS").unlink(missing_ok=True)
    kind, pattern = (
        (ParquetReader, "*.parquet")
        if given.packing == "parquet"
        else (JsonlReader, f"*.{given.packing}")
    )
    return run_stock(folder, kind(str(data), glob_pattern=pattern))


def _reader(folder: Path) -> Any:
    return JsonlReader(str(folder / "data" / "a"), glob_pattern="*.jsonl")


def _new_file(folder: Path) -> StockEnding:
    write_files(folder / "data", "a", {"x": prose(1, COUNT)}, "jsonl")
    run_stock(folder, _reader(folder))
    write_files(folder / "data", "a", {"y": prose(2, COUNT)}, "jsonl")
    return run_stock(folder, _reader(folder))


def _another_task_count(folder: Path) -> StockEnding:
    write_files(folder / "data", "a", sharded(prose(1, COUNT), 4), "jsonl")
    run_stock(folder, _reader(folder), 2)
    return run_stock(folder, _reader(folder), 4)


STOCK_BUILDS: dict[str, Callable[[Path], StockEnding]] = {
    "21": _new_file,
    "22": _another_task_count,
}
"""Faults beside the input, as datatrove meets them: the same command when there is one file more,
and with four tasks for two.
"""
