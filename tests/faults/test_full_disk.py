"""A disk that is full, or files that may not grow, in every stage: exit 1 and a name, nothing
published, and then the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Full
from tests.faults.full_builds import STAGES, STUDY_STAGES
from tests.faults.warm import Warm

LIMITS = (0, 100, 4000)  # bytes: of no file, of nearly all records, of the larger columns
DISK = "64m"


@pytest.fixture(scope="module")
def disk(scratch: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = scratch / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def check_refused(full: Full, work: Path, code: int, told: str) -> None:
    """It ended with 1, named a place below its folder and what to do, and shows nothing."""
    last = told.splitlines()[-1]
    assert code == 1, told
    assert last.startswith(f"annealmix: {work}/"), told
    assert last.endswith("when that is mended, the same command goes on from here"), told
    assert "Traceback" not in told
    assert full.shows_no_part(work / "out")
    assert not full.holds(work / "out")


def starve(warm: Warm, full: Full, work: Path, **trouble: Any) -> int:
    """Build under a trouble, then without. Returns how often it stopped the build: 0 where it did
    not come to what there was to write.
    """
    words = full.words(work)
    work.mkdir(exist_ok=True)
    _, code, told = warm.run(words, **trouble)
    if code != 0:
        check_refused(full, work, code, told)
    (work / "ballast").unlink(missing_ok=True)
    stopped = int(code != 0)
    _, code, told = warm.run(words)
    assert code == 0, told
    assert full.holds(work / "out")
    shutil.rmtree(work / "out")
    return stopped


def test_a_file_that_may_not_grow_ends_with_its_name_and_the_next_build_is_the_same(
    warm, full, scratch, record_property
):
    record_property("faults", starve(warm, full, scratch / "limit", stage="ingest", limit=100))
    shutil.rmtree(scratch / "limit")


MIXES = [("full", stage) for stage in STAGES]
ARMS = [("study", stage) for stage in STUDY_STAGES[len(STAGES) :]]


@pytest.mark.campaign
@pytest.mark.parametrize(("built", "stage"), [*MIXES, *ARMS])
def test_files_that_may_not_grow_in_a_stage_end_with_their_name_and_the_next_build_is_the_same(
    warm, request, scratch, built, stage, record_property
):
    work, stopped = scratch / f"limit-{stage}", 0
    for limit in LIMITS:
        stopped += starve(warm, request.getfixturevalue(built), work, stage=stage, limit=limit)
        shutil.rmtree(work)
    record_property("faults", stopped)
    assert stopped >= 2


@pytest.mark.parametrize(
    ("built", "stage"),
    [
        *(pytest.param(*one, marks=[pytest.mark.campaign] * (one[1] != "write")) for one in MIXES),
        *ARMS,
    ],
)
def test_a_disk_that_is_full_in_a_stage_ends_with_a_name_and_the_next_build_is_the_same(
    warm, request, disk, built, stage, record_property
):
    work = disk / stage
    work.mkdir()
    fill = [str(work), 4096]
    stopped = starve(warm, request.getfixturevalue(built), work, stage=stage, fill=fill)
    record_property("faults", stopped)
    assert stopped == 1
    shutil.rmtree(work)
