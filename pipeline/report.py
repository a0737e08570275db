"""What people see: answers (tables, lines, JSON) on stdout, progress and notes on stderr.

Each is flushed at once, so that the two stand in the order in which they were printed, wherever
they are led to.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mixtures.errors import without_secrets
from mixtures.words import plural

if TYPE_CHECKING:
    from mixtures.trainers.epochs import Exposure
    from mixtures.trainers.fit import TrainerFit

__all__ = [
    "Column",
    "Table",
    "complain",
    "count",
    "counted",
    "counts",
    "duration",
    "page",
    "plural",
    "print_fit",
    "printable",
    "printed_percent",
    "progress",
    "result",
    "say",
    "share",
    "short_hash",
    "size",
    "some",
    "tell",
    "text",
]


def say(message: str) -> None:
    """Print one line of progress, or a note, to stderr. Text from data or recipes is printed as it
    is, without markup or control characters. If nobody can read it, nothing fails.
    """
    try:
        print(printable(message), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # full, gone, or closed
        with suppress(OSError):  # what still waits would fail again when the interpreter ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)


def tell(message: str) -> None:
    """Print one line of the answer to stdout, likewise."""
    with _answering():
        print(printable(message), flush=True)


@contextmanager
def _answering() -> Iterator[None]:
    """Name stdout as what cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from None


def page(content: str) -> None:
    """Print a whole page of the answer to stdout, as it is."""
    with _answering():
        sys.stdout.write(content)
        sys.stdout.flush()


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
    """The text with a space for each control character, and without secrets of URLs."""
    return without_secrets("".join(char if char.isprintable() else " " for char in text))


def result(value: Any) -> None:
    """Print a machine's answer to stdout."""
    with _answering():
        print(json.dumps(value, indent=1, sort_keys=True), flush=True)


def count(number: int | None) -> str:
    """`1,234`; `-` for what is not known."""
    return "-" if number is None else f"{number:,}"


def size(num_bytes: int) -> str:
    """Bytes for people: `1.5 TB`."""
    value = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def minutes(seconds: int | None) -> str:
    """`12.5` minutes; `?` where it is not known."""
    return "?" if seconds is None else f"{seconds / 60:,.1f}"


def share(part: float | Decimal | None, decimals: int = 2) -> str:
    """A share of 1 in per cent: `12.34%`; `-` for what is not known."""
    return "-" if part is None else f"{100 * part:.{decimals}f}%"


def printed_percent(percent: str | None) -> str:
    """A percent as somebody printed it: `12.3%`; `-` for what is not known."""
    return f"{percent}%" if percent else "-"


def short_hash(digest: str) -> str:
    """The first 16 digits."""
    return digest[:16]


def text(value: object) -> str:
    """As it is; `-` for what is not known."""
    return "-" if value is None else str(value)


@dataclass(frozen=True)
class Column:
    """A column of a `Table`."""

    name: str
    value: str | int | Callable[[Any], Any]
    """Of a row: the field of that name, the key where rows are mappings (which may lack it), the
    number where they are sequences, or what a function says of it.
    """
    format: Callable[[Any], str] = text
    """`count`, `share`, `size`, `short_hash`, `text`, or a function of the caller's."""
    left: bool = False
    """Left-aligned, as the first column always is."""

    def cell(self, row: Any) -> str:
        if callable(self.value):
            return self.format(self.value(row))
        if isinstance(self.value, int):
            return self.format(row[self.value])
        mapping = isinstance(row, Mapping)
        return self.format(row.get(self.value) if mapping else getattr(row, self.value))


def counts(*names: str) -> list[Column]:
    """Columns of fields that are numbers, by their names; `_` is shown as a blank."""
    return [Column(name.replace("_", " "), name, count) for name in names]


@dataclass(frozen=True)
class Table:
    """Rows of one kind, and what is shown of each. Cells may hold untrusted text: who draws a table
    escapes them.
    """

    rows: Iterable[Any]
    columns: Sequence[Column]
    total: Mapping[str, Any] = field(default_factory=dict)
    """A last row: values by the columns' names; other columns stay empty."""

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def cells(self) -> list[list[str]]:
        """The text of each row."""
        cells = [[column.cell(row) for column in self.columns] for row in self.rows]
        if self.total:
            cells.append(
                [
                    column.format(self.total[column.name]) if column.name in self.total else ""
                    for column in self.columns
                ]
            )
        return cells

    def print(self, title: str) -> None:
        """Draw it on stdout, without markup or control characters."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        drawn = RichTable(
            title=Text(printable(title)),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
        )
        for number, column in enumerate(self.columns):
            left = number == 0 or column.left
            drawn.add_column(
                printable(column.name), justify="left" if left else "right", overflow="fold"
            )
        for row in self.cells:
            drawn.add_row(*(Text(printable(cell)) for cell in row))
        console = Console(highlight=False, soft_wrap=False)
        if not console.is_terminal:
            console = Console(file=sys.stdout, width=200, highlight=False)
        with _answering():
            console.print(drawn)
            sys.stdout.flush()


LINE_SECONDS = 60.0
"""Between two lines of progress where stderr is no terminal."""


@contextmanager
def progress(
    what: str, total: int, done: Callable[[], int], *, percent: bool = False
) -> Iterator[None]:
    """Show while the body runs how many of `total` units are done, how many a minute, and the time
    left: as a bar on a terminal, elsewhere (a log, a job) as a line a minute. done() is polled, and
    must not raise.

    Args:
        percent: whether the units are per cent of something.
    """
    if total == 0:
        yield
        return
    pace = _Pace(what, total, done, percent=percent)
    with pace.bar() if sys.stderr.isatty() else pace.lines() as (show, seconds):
        ended = threading.Event()

        def poll() -> None:
            while not ended.wait(seconds):
                show()

        watcher = threading.Thread(target=poll, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


class _Pace:
    """How fast units are done since this began: what was done before costs no time now."""

    def __init__(self, what: str, total: int, done: Callable[[], int], *, percent: bool) -> None:
        self._what, self._total, self._done, self._percent = what, total, done, percent
        self._began, self._first = time.monotonic(), done()

    @contextmanager
    def lines(self) -> Iterator[tuple[Callable[[], None], float]]:
        """Prints a line each time."""
        yield lambda: say(f"{self._what}: {self}"), LINE_SECONDS

    @contextmanager
    def bar(self) -> Iterator[tuple[Callable[[], None], float]]:
        """Draws a bar that each time is longer."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}")
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(self._what, total=self._total, pace=str(self))

            def show() -> None:
                bar.update(task, completed=self._done(), pace=str(self))

            try:
                yield show, 0.5
            finally:
                show()

    def __str__(self) -> str:
        """`37 of 412, 4.2 a minute, 1 h 29 min left`; without the rest until there is a rate."""
        done, seconds = self._done(), time.monotonic() - self._began
        unit = "%" if self._percent else ""
        so_far = f"{done}%" if self._percent else f"{done:,} of {self._total:,}"
        now = done - self._first
        if now <= 0 or done >= self._total:
            return so_far
        left = duration((self._total - done) * seconds / now)
        return f"{so_far}, {60 * now / seconds:,.1f}{unit} a minute, {left} left"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `1 h 29 min`, `3 d 4 h`, rounded up."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    whole = math.ceil(seconds / 60)
    if whole < 60:
        return f"{whole} min"
    hours, rest = divmod(whole, 60)
    return f"{hours} h {rest} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """As `progress`, in percent, of work that counts by itself: the body calls what this yields
    with (done, of how many).
    """
    percent = [0]

    def update(done: int, total: int) -> None:
        percent[0] = 100 * done // total if total else 100

    with progress(what, 100, lambda: percent[0], percent=True):
        yield update


def print_fit(fit: TrainerFit | None) -> None:
    """Print how a mix fits the trainers, and every warning; nothing of a mix without tokens."""
    if fit is None:
        return
    batches = f"{fit.batch:,} x {fit.sequence:,} tokens"
    if all(reading.single_epoch_steps == 0 for reading in fit.readings):
        tell(f"trainer fit: less than one step of {batches}")
        return
    basis = f" of {fit.meant_for}" if fit.meant_for else " (the nearest)" if fit.inferred else ""
    steps = "no whole step" if fit.steps is None else f"{fit.steps:,} steps{basis}"
    Table(fit.readings, _FIT_COLUMNS).print(f"trainer fit: batches of {batches}, {steps}")
    for warning in fit.warnings:
        say(f"warning: {warning}")


def _seen(exposure: Exposure | None) -> str:
    if exposure is None:
        return "-"
    return " / ".join(
        f"{100 * part:.1f}%" for part in (exposure.never, exposure.once, exposure.twice)
    )


_FIT_COLUMNS = (
    Column("trainer", "trainer"),
    Column("sequences in one epoch", "samples", count),
    Column("steps in one epoch", "single_epoch_steps", count),
    Column("tokens left over", "leftover_tokens", count),
    Column("epochs for those steps", "epochs", count),
    Column("documents seen never / once / twice", "exposure", _seen),
    Column("repeats a document from step", "first_repeat_step", count),
)
