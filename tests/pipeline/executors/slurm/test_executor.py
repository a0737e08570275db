"""Which units are given to Slurm."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.executors.slurm import executor
from pipeline.executors.slurm.chain import Chain
from pipeline.executors.slurm.profile import Profile
from pipeline.executors.stage import Plan
from pipeline.stages.mix_folder import SliceUnit
from pipeline.stages.select import Select
from pipeline.stages.write import Write


@pytest.mark.parametrize(
    ("stage", "follows", "submitted"),
    [(Write, False, 2), (Write, True, 0), (Select, False, 0), (Select, True, 0)],
)
def test_of_units_that_are_recorded_only_slices_are_given_to_tasks_again(
    tmp_path, monkeypatch, stage, follows, submitted
):
    """Their bytes lie in files that all slices share, so that a record alone says too little."""
    given: list[SliceUnit] = []

    def freeze(folder: Path, plan: Plan[SliceUnit]) -> None:
        given.extend(plan.units)
        raise BlockingIOError

    monkeypatch.setattr(executor, "freeze_plan", freeze)
    monkeypatch.setattr(stage, "is_done", lambda plan, unit: True)
    monkeypatch.setattr(Chain, "refuse_repeated", lambda *_: None)
    chain = Chain.of(tmp_path / "store", tmp_path / "mix")
    slurm = executor.SlurmExecutor(chain, "", Profile(), set(), follows=follows)
    plan = Plan[SliceUnit](units=(SliceUnit(slice=0), SliceUnit(slice=1)))
    with suppress(BlockingIOError):
        slurm.execute(stage, plan, tmp_path)
    assert len(given) == submitted
