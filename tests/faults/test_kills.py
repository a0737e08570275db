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
from tests.faults.full_builds import STAGES, words_of
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
        self.words = words_of(full.inputs, work, *options)
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
            if begun is None and STAGES.index(value) >= stage:
                begun = time.monotonic()
        os.killpg(process, signal.SIGKILL)
        more, code = self.warm.rest()
        self.check()
        if code != -signal.SIGKILL:
            return None
        hit = [*stages, *more][-1]
        self.at = STAGES.index(hit)
        return hit

    def check(self) -> None:
        """What is visible is nothing, or (between the rename and the end) all of the mix."""
        out = self.work / "out"
        assert not out.exists() or self.full.holds(out)
        assert {path.name for path in self.work.iterdir() if not path.name.startswith(".")} <= {
            "store",
            "out",
        }

    def finish(self) -> None:
        """Let the build come to its end."""
        _, code, told = self.warm.run(self.words)
        assert code == 0, told
        assert self.full.holds(self.work / "out")
        assert not [path for path in self.work.iterdir() if path.name.startswith(".")]
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
) -> Counter[str]:
    """Kill builds `kills` times, `each` times one after another, and finish every one. Returns how
    often each stage was hit.
    """
    hit: Counter[str] = Counter()
    number = 0
    while hit.total() < kills:
        victim = Victim(warm, full, folder / f"{number}", options)
        rare = min(range(len(STAGES)), key=lambda place: hit[STAGES[place]])
        for turn in range(min(each, kills - hit.total())):
            left = range(victim.at, len(STAGES))
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


def test_the_build_that_is_killed_has_every_stage(full):
    assert tuple(dict.fromkeys(full.stages)) == STAGES


def test_a_build_that_is_killed_five_times_ends_with_the_same_bytes(
    warm, full, scratch, record_property
):
    (scratch / "five").mkdir()
    hit = kill_often(warm, full, scratch / "five", random.Random(5), 5, 5)
    record_property("kills", hit.total())
    assert hit.total() == 5


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
def test_builds_with_two_workers_that_are_killed_end_with_the_same_bytes(
    warm, full, scratch, record_property
):
    (scratch / "two").mkdir()
    hit = kill_often(warm, full, scratch / "two", random.Random(2), 8, 8, ("--workers", "2"))
    record_property("kills", hit.total())
    assert hit.total() >= 8
