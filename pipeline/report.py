"""What people see: progress and tables on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def say(message: str) -> None:
    """Print one line to stderr. Text from data or recipes is printed as it is, without markup or control characters."""
    print("".join(char if char.isprintable() else " " for char in message), file=sys.stderr, flush=True)


def result(value: Any) -> None:
    """Print a machine's answer to stdout."""
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stderr; columns but the first are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console = Console(stderr=True, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=sys.stderr, width=200, highlight=False)
    console.print(drawn)


@contextmanager
def progress(what: str, total: int, done: Callable[[], int], seconds: float = 0.5) -> Iterator[None]:
    """Show how many of `total` units are done while the body runs; on a terminal only. done() is polled."""
    if not sys.stderr.isatty() or total == 0:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        ended = threading.Event()

        def poll() -> None:
            while not ended.wait(seconds):
                bar.update(task, completed=done())

        watcher = threading.Thread(target=poll, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            bar.update(task, completed=done())
