"""All numbered faults, in their order, and the line `Also` of the fault list."""

from __future__ import annotations

from tests.faults.build_cases import BUILD_CASES
from tests.faults.endings import Case
from tests.faults.folder_cases import FOLDER_CASES
from tests.faults.hostile_cases import HOSTILE_CASES
from tests.faults.input_cases import INPUT_CASES, LATER_INPUT_CASES
from tests.faults.judged_cases import JUDGED_CASES

ELSEWHERE = {
    "30": ("array > MaxArraySize, dependency never satisfied", "FH", "tests/slurm"),
    "41": ("shell metacharacters or newlines in Slurm fields", "F", "tests/slurm"),
    "stream": ("a remote error in mid-stream", "F", "tests/pipeline/inputs/test_hub.py"),
    "revision": ("a moved upstream revision", "FS", "tests/pipeline/store/test_store.py"),
}
"""Faults that need a cluster or a hub: title, expected endings, and the tests that are there for
them.
"""


def _place(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdigit() else (10**6, number)


CASES: list[Case] = sorted(
    [*INPUT_CASES, *BUILD_CASES, *LATER_INPUT_CASES, *HOSTILE_CASES, *FOLDER_CASES, *JUDGED_CASES],
    key=lambda case: _place(case.number),
)
NUMBERS = sorted([*(case.number for case in CASES), *ELSEWHERE], key=_place)
