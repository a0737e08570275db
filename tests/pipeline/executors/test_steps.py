"""Stages as steps of a datatrove executor that the caller makes: the same mix, and no unit passes
for done that is not.
"""

from __future__ import annotations

import re

import pytest
from datatrove.executor import LocalPipelineExecutor

import annealmix
from mixtures.errors import AnnealmixError, InputError, RecipeError
from pipeline.executors.steps import StepsExecutor
from tests.pipeline.corpus import prose, write_files, write_recipe
from tests.pipeline.executors.test_pool import Touch, plan_of


def local(steps, units, logs):
    return LocalPipelineExecutor(steps, tasks=min(units, 4), workers=1, logging_dir=logs)


class Early(LocalPipelineExecutor):  # type: ignore[misc]  # datatrove publishes no types
    """One that submits and comes back, as those of batch systems do."""

    def run(self):
        self._run_for_rank(0)


def execute(folder, make, **more):
    plan = plan_of(folder, **more)
    StepsExecutor(make).execute(Touch, plan, folder / "work")
    return plan


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (4, 1), (12, 1), (2, 2)])
def test_every_unit_is_done_whatever_the_workers_and_tasks(tmp_path, tasks, workers):
    def make(steps, units, logs):
        assert units == 6
        return LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=logs)

    assert Touch.num_done(execute(tmp_path, make)) == 6
    execute(tmp_path, make)  # the marks of the first time are not taken for those of the second
    assert {path.read_text() for path in tmp_path.glob("*.begun")} == {"x"}


def test_a_task_that_fails_fails_the_stage_and_what_is_done_stays_done(tmp_path):
    with pytest.raises(InputError, match=r"^a\.jsonl: row 7: no text$"):
        execute(tmp_path, local, b={"error": "input"})
    assert (tmp_path / "a").exists()
    assert Touch.num_done(execute(tmp_path, local)) == 6


def test_an_executor_that_comes_back_before_its_tasks_have_ended_is_an_error(tmp_path):
    with pytest.raises(
        AnnealmixError, match=r"4 of 6 units are not done.*: file b, file c, file d"
    ):
        execute(tmp_path, lambda steps, _, logs: Early(steps, 4, logging_dir=logs))


def test_units_of_a_rank_without_a_mark_are_not_taken_for_done(tmp_path):
    execute(tmp_path, local)
    with pytest.raises(AnnealmixError, match="4 of 6 units are not done"):
        execute(tmp_path, lambda steps, _, logs: Early(steps, 4, logging_dir=logs))


def test_marks_of_earlier_tasks_are_refused(tmp_path):
    own = str(tmp_path / "own")
    execute(tmp_path, lambda steps, units, _: local(steps, units, own))
    with pytest.raises(RecipeError, match=f"^touch: {re.escape(own)} has marks of tasks"):
        execute(tmp_path, lambda steps, units, _: local(steps, units, own))


@pytest.mark.parametrize("where", ["before", "after", "instead"])
def test_other_steps_in_the_pipeline_are_refused(tmp_path, where):
    def make(steps, units, logs):
        pipelines = {"before": [print, *steps], "after": [*steps, print], "instead": [print]}
        return local(pipelines[where], units, logs)

    with pytest.raises(RecipeError, match="run steps of yours in a pipeline of their own"):
        execute(tmp_path, make)
    assert not list(tmp_path.glob("*.begun"))


def test_a_mix_of_every_stage_is_the_one_that_a_build_of_its_own_makes(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        texts = prose(seed, 60, (20, 60))
        write_files(tmp_path / "data", name, {"one": texts[:30], "two": [*texts[30:], texts[0]]})
    sources = {"a": {"tokens": 900}, "b": {"weight": 1}}
    recipe = write_recipe(tmp_path, sources, budget={"tokens": 1500}, near="words")
    stages = []

    def make(steps, units, logs):
        stages.append(steps[0].name)
        return local(steps, units, logs)

    data = tmp_path / "data"
    mine = annealmix.build(
        recipe, out=tmp_path / "mine", store=tmp_path / "s1", data=data, executor=make
    )
    own = annealmix.build(recipe, out=tmp_path / "own", store=tmp_path / "s2", data=data, workers=1)
    assert {"ingest", "select", "write"} <= set(stages)
    assert (mine.identity, mine.mix_id) == (own.identity, own.mix_id)
    for name in ("manifest.json", "tokens.bin", "tokens.idx"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()
    assert annealmix.audit(mine).ok
    with pytest.raises(RecipeError, match="workers, tasks: the executor that you make has its own"):
        annealmix.build(recipe, out=tmp_path / "more", executor=make, workers=2)
