"""Writes RESULTS.md: how each numbered fault ends here, and how datatrove ends on the same damaged
files. `make faults` runs it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tests.faults.cases import CASES, ELSEWHERE, NUMBERS
from tests.faults.endings import COUNT, Case, Ending
from tests.faults.stock import STOCK_BUILDS, StockEnding, stock_ending

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """\
# Faults and how they end

Written by `make faults`; `tests/faults` holds every row true. **F** fails with a named error \
and a non-zero exit, nothing published;
**Q** quarantines the document with file, row and reason, counts it, and fails above the \
recipe's limit; **S** the same bytes as a clean
build; **H** handled. Anything else would be silent damage (?). Inputs have 1,000 documents \
unless the case is of another kind; datatrove
{datatrove} read the same files with its own readers and LocalPipelineExecutor (– where the case \
has no counterpart there).

{date}, {machine}, Python {python}: {numbers} faults, {silent} silent here; datatrove ended \
{passed} of {compared} with exit 0 where the
list demands an error, or with other documents than are there.

| case | fault | expected | ending | exit | documents | message | datatrove {datatrove} |
|---|---|---|---|---|---|---|---|
"""


class Row(NamedTuple):
    """A row of the table, as text."""

    number: str
    title: str
    expected: str
    letter: str
    code: str
    documents: str
    message: str
    stock: str


def row_of(case: Case, ending: Ending, stock: str) -> Row:
    """The row of a case that was run."""
    documents = "" if ending.documents is None else f"{ending.documents:,}"
    return Row(
        case.number,
        case.title,
        " or ".join(case.expected),
        ending.letter,
        str(ending.code),
        documents,
        ending.message,
        stock,
    )


def written(row: Row) -> str:
    """A row in Markdown, in which a bar is no border."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"


def read_rows() -> dict[str, Row]:
    """The rows of RESULTS.md, by number."""
    lines = [
        line for line in RESULTS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ][1:]
    rows = [
        Row(*(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]))
        for line in lines
    ]
    return {row.number: row for row in rows}


def stock_of(case: Case) -> StockEnding | None:
    """How datatrove ends on a case, None where there is nothing to compare."""
    with tempfile.TemporaryDirectory() as folder:
        if case.number in STOCK_BUILDS:
            return STOCK_BUILDS[case.number](Path(folder))
        if case.input is None or case.input.packing == "zip":  # which datatrove has no reader for
            return None
        return stock_ending(case.input, Path(folder))


def _let_through(case: Case, stock: str) -> bool:
    """`loses`, of what a row says."""
    if not stock.startswith("exit 0, "):
        return False
    documents = int(stock.split(", ")[1].split()[0].replace(",", ""))
    return loses(case, StockEnding(0, documents, 1))


def loses(case: Case, stock: StockEnding) -> bool:
    """Whether datatrove ended well although what it wrote is not what is there, or is damaged."""
    whole = case.expected in ("H", "S") and stock.documents == (
        case.input.good if case.input else COUNT
    )
    return stock.code == 0 and not whole


def main() -> None:
    """Run all cases on both sides and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.table", description=__doc__)
    parser.add_argument(
        "--new", action="store_true", help="run only cases without a row, and keep the others' rows"
    )
    only_new = parser.parse_args().new
    known = read_rows() if only_new else {}
    rows, silent, compared, passed = {}, 0, 0, 0
    for case in CASES:
        if case.number in known:
            rows[case.number] = row = known[case.number]
            compared += row.stock != "–"
            passed += _let_through(case, row.stock)
            continue
        with tempfile.TemporaryDirectory() as folder:
            ending = case.run(Path(folder))
        stock = stock_of(case)
        rows[case.number] = row_of(case, ending, str(stock or "–"))
        silent += ending.letter not in case.expected
        compared += stock is not None
        passed += stock is not None and loses(case, stock)
    for number, (title, expected, tests) in ELSEWHERE.items():
        rows[number] = Row(number, title, " or ".join(expected), "", "", "", f"see `{tests}`", "–")
    facts = {
        "datatrove": version("datatrove"),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
    }
    counts = {"numbers": len(CASES), "silent": silent, "compared": compared, "passed": passed}
    head = HEAD.format(
        **facts,
        **counts,
        machine=f"a {os.cpu_count()}-core {platform.machine().replace('_', '-')} machine",
    )
    RESULTS.write_text(
        head + "".join(written(rows[number]) for number in NUMBERS), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
