"""Every numbered fault ends as it must, and as the table of results says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.cases import CASES, ELSEWHERE, NUMBERS
from tests.faults.endings import Case
from tests.faults.table import RESULTS, read_rows, row_of, stock_of

ROWS = read_rows()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.number, marks=[pytest.mark.campaign] * case.slow)
        for case in CASES
    ],
)
def test_a_fault_ends_as_expected_and_as_the_table_says(
    tmp_path: Path, case: Case, record_property
):
    ending = case.run(tmp_path)
    assert ending.letter in case.expected, ending
    row = ROWS[case.number]
    assert row_of(case, ending, row.stock)[:6] == row[:6], "make faults writes the table again"
    record_property("faults", 1)


def test_the_table_has_every_fault_in_order_and_no_silent_damage():
    assert list(ROWS) == NUMBERS
    assert [number for number in NUMBERS if number.isdigit()] == [
        str(number) for number in range(1, 43)
    ]
    assert all(ROWS[number].letter for number in NUMBERS if number not in ELSEWHERE)
    found = re.search(r": (\d+) faults, (\d+) silent here", RESULTS.read_text(encoding="utf-8"))
    assert found is not None
    assert found.groups() == (str(len(CASES)), "0")


@pytest.mark.campaign
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.number) for case in CASES if ROWS[case.number].stock != "–"]
)
def test_datatrove_ends_on_the_same_input_as_the_table_says(case: Case):
    assert str(stock_of(case)) == ROWS[case.number].stock
