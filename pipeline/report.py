"""What people see: progress and tables on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mixtures.words import plural

__all__ = [
    "complain",
    "counted",
    "fit_table",
    "or_dash",
    "plural",
    "printable",
    "progress",
    "result",
    "say",
    "size",
    "some",
    "table",
]


def say(message: str) -> None:
    """Print one line to stderr. Text from data or recipes is printed as it is, without markup or
    control characters.
    """
    print(printable(message), file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print what went wrong to stderr, each line under the command's name."""
    for line in message.splitlines():
        say(f"annealmix: {line}")


def some(names: Sequence[str], most: int) -> str:
    """The first names in a row: `a, b and 1,234 more`."""
    return ", ".join(names[:most]) + (
        f" and {len(names) - most:,} more" if len(names) > most else ""
    )


def printable(text: str) -> str:
    """The text with a space for each control character."""
    return "".join(char if char.isprintable() else " " for char in text)


def result(value: Any) -> None:
    """Print a machine's answer to stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True
) -> None:
    """Print a table to stderr; where it holds numbers, all columns but the first are
    right-aligned.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=Text(printable(title)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        drawn.add_column(
            printable(column), justify="right" if numbers and number else "left", overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(stderr=True, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=sys.stderr, width=200, highlight=False)
    console.print(drawn)


@contextmanager
def progress(
    what: str, total: int, done: Callable[[], int], seconds: float = 0.5
) -> Iterator[None]:
    """Show how many of `total` units are done while the body runs; on a terminal only. done() is
    polled.
    """
    if not sys.stderr.isatty() or total == 0:
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
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


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """As `progress`, in percent, of work that tells by itself: the body is given what it calls with
    (done, of how many).
    """
    percent = [0]

    def told(done: int, total: int) -> None:
        percent[0] = 100 * done // total if total else 100

    with progress(what, 100, lambda: percent[0]):
        yield told


def or_dash(value: int | None) -> str:
    """`1,234`; `-` for what is not known."""
    return "-" if value is None else f"{value:,}"


def size(num_bytes: int) -> str:
    """Bytes for people: `1.5 TB`."""
    value = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def fit_table(fit: Mapping[str, Any]) -> None:
    """Print how a mix fits the trainers (`mixtures.plan.plan.fit_json`), and every warning."""
    if not fit:
        return
    rows = [
        [
            name,
            f"{reading['samples']:,}",
            f"{reading['single_epoch_steps']:,}",
            f"{reading['leftover_tokens']:,}",
            "-" if reading["epochs"] is None else str(reading["epochs"]),
            (
                "-"
                if not reading["exposure"]
                else " / ".join(reading["exposure"][seen] for seen in ("never", "once", "twice"))
            ),
        ]
        for name, reading in fit["trainers"].items()
    ]
    if all(reading["single_epoch_steps"] == 0 for reading in fit["trainers"].values()):
        say(f"trainer fit: less than one step of {fit['batch']:,} x {fit['sequence']:,} tokens")
        return
    steps = (
        "no whole step"
        if fit["steps"] is None
        else f"{fit['steps']:,} steps{' (the nearest)' if fit['inferred'] else ''}"
    )
    title = f"trainer fit: batches of {fit['batch']:,} x {fit['sequence']:,} tokens, {steps}"
    table(
        title,
        [
            "trainer",
            "sequences in one epoch",
            "steps in one epoch",
            "tokens left over",
            "epochs for those steps",
            "documents seen never / once / twice",
        ],
        rows,
    )
    for reading in fit["trainers"].values():
        for warning in reading["warnings"]:
            say(f"warning: {warning}")
