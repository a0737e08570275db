"""Builds that are killed again and again, in every stage: nothing partial is visible, and the same
command ends with the same bytes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.conftest import Full
from tests.faults.full_builds import STAGES, STUDY_STAGES
from tests.faults.warm import Warm
from tests.pipeline.command_line import PATIENCE_SECONDS

LONGEST_SECONDS = (
    0.3  # how far into a stage a kill falls at most: about what the longest of them takes
)


class Victim:
    """One build that is killed and started again. at: place of the stage that it had come to when
    it was killed last.
    """

    def __init__(self, warm: Warm, full: Full, work: Path, options: tuple[object, ...]) -> None:
        self.warm, self.full, self.work = warm, full, work
        self.words = full.words(work, *options)
        self.stages = stages_of(full)
        self.at = 0
        work.mkdir()

    def kill(self, stage: int, seconds: float) -> str | None:
        """Start it and kill it so long after that stage, or a later one, has begun. Returns the
        stage that was hit, None: none.
        """
        process = self.warm.start(self.words)
        begun, stages = None, []
        while begun is None or time.monotonic() < begun + seconds:
            kind, value = self.warm.told(
                PATIENCE_SECONDS if begun is None else begun + seconds - time.monotonic()
            )
            if kind == "ended":
                assert value == "0", self.warm.said
                return None
            stages += [value] if kind else []
            if begun is None and self.stages.index(value) >= stage:
                begun = time.monotonic()
        os.killpg(process, signal.SIGKILL)
        more, code = self.warm.rest()
        self.check()
        if code != -signal.SIGKILL:
            return None
        hit = [*stages, *more][-1]
        self.at = self.stages.index(hit)
        return hit

    def check(self) -> None:
        """Of a mix all is visible (between the rename and the end) or nothing."""
        assert self.full.shows_no_part(self.work / "out")
        assert {path.name for path in self.work.iterdir() if not path.name.startswith(".")} <= {
            "store",
            "out",
        }

    def finish(self) -> None:
        """Let the build come to its end."""
        _, code, told = self.warm.run(self.words)
        assert code == 0, told
        assert self.full.holds(self.work / "out")
        assert not [*self.work.glob(".*"), *(self.work / "out").glob(".*")]
        assert not list((self.work / "store").rglob("*.tmp"))
        shutil.rmtree(self.work)


def kill_often(
    warm: Warm,
    full: Full,
    folder: Path,
    draw: random.Random,
    kills: int,
    each: int,
    options: tuple[object, ...] = (),
    first: str = "ingest",
) -> Counter[str]:
    """Kill builds `kills` times, `each` times one after another, and finish every one. Returns how
    often each stage was hit.

    Args:
        first: the stage that a build has come to when it is killed first, or a later one.
    """
    hit: Counter[str] = Counter()
    number = 0
    stages = stages_of(full)
    begin = stages.index(first)
    while hit.total() < kills:
        victim = Victim(warm, full, folder / f"{number}", options)
        rare = min(range(begin, len(stages)), key=lambda place: hit[stages[place]])
        for turn in range(min(each, kills - hit.total())):
            left = range(max(victim.at, begin), len(stages))
            # the first kill of a build falls early in the stage that was hit least, so that a short
            # one is hit too
            stage = victim.kill(
                draw.choice(left) if turn else rare,
                draw.uniform(0, LONGEST_SECONDS if turn else LONGEST_SECONDS / 30),
            )
            if stage is None:
                break
            hit[stage] += 1
        victim.finish()
        number += 1
    return hit


def stages_of(full: Full) -> tuple[str, ...]:
    """That its build has, in order."""
    return STUDY_STAGES if full.recipe == "study.yaml" else STAGES


def test_the_builds_that_are_killed_have_every_stage(full, study):
    assert tuple(dict.fromkeys(full.stages)) == STAGES
    assert tuple(dict.fromkeys(study.stages)) == STUDY_STAGES


def test_a_build_that_is_killed_five_times_ends_with_the_same_bytes(
    warm, full, scratch, record_property
):
    (scratch / "five").mkdir()
    hit = kill_often(warm, full, scratch / "five", random.Random(5), 5, 5)
    record_property("kills", hit.total())
    assert hit.total() == 5


def test_a_study_that_is_killed_five_times_while_its_arms_are_written_ends_with_the_same_bytes(
    warm, study, scratch, record_property
):
    (scratch / "arms").mkdir()
    hit = kill_often(warm, study, scratch / "arms", random.Random(6), 5, 5, first="arms")
    record_property("kills", hit.total())
    assert set(hit) <= {"arms", "seal-arms"}


KILLS = 52  # of each seed: with four seeds more than 200


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(4))
def test_builds_that_are_killed_in_every_stage_end_with_the_same_bytes(
    warm, full, scratch, seed, record_property
):
    folder = scratch / f"seed-{seed}"
    folder.mkdir()
    hit = kill_often(warm, full, folder, random.Random(seed), KILLS, 4)
    record_property("kills", hit.total())
    print(f"{hit.total()} kills: {dict(hit)}")
    assert hit.total() >= KILLS
    assert set(hit) == set(STAGES)


@pytest.mark.campaign
@pytest.mark.parametrize(("first", "options"), [("ingest", ()), ("arms", ("--workers", "2"))])
def test_studies_that_are_killed_in_every_stage_end_with_the_same_bytes(
    warm, study, scratch, first, options, record_property
):
    folder = scratch / f"studies-{first}"
    folder.mkdir()
    hit = kill_often(warm, study, folder, random.Random(7), KILLS, 4, options, first)
    record_property("kills", hit.total())
    print(f"{hit.total()} kills: {dict(hit)}")
    assert set(hit) == set(STUDY_STAGES[STUDY_STAGES.index(first) :])


@pytest.mark.campaign
def test_builds_with_two_workers_that_are_killed_end_with_the_same_bytes(
    warm, full, scratch, record_property
):
    (scratch / "two").mkdir()
    hit = kill_often(warm, full, scratch / "two", random.Random(2), 8, 8, ("--workers", "2"))
    record_property("kills", hit.total())
    assert hit.total() >= 8
