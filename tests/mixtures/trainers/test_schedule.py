"""Schedules are read from untrusted budgets, and a mix is read by its own or the user's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mixtures.trainers.fit import most_steps, trainer_fit
from mixtures.trainers.names import TRAINERS
from mixtures.trainers.schedule import Schedule, fit_json, mix_fit, schedule_for, schedule_of

BUDGET: dict[str, Any] = {"steps": 12, "batch": 4, "sequence": 32, "trainer": "megatron"}
LARGE = 1 << 48
MEANT = Schedule(12, 4, 32, "megatron")


def test_a_budget_in_steps_is_a_schedule_that_is_written_as_texts():
    assert schedule_of(BUDGET) == MEANT
    assert schedule_of(BUDGET | dict.fromkeys(("steps", "batch", "sequence"), 1)) == Schedule(
        1, 1, 1, "megatron"
    )
    assert schedule_of(BUDGET | {"steps": LARGE - 1}) == Schedule(LARGE - 1, 4, 32, "megatron")
    assert MEANT.as_json() == {name: str(value) for name, value in BUDGET.items()}


@pytest.mark.parametrize("name", ["steps", "batch", "sequence"])
@pytest.mark.parametrize("value", [0, -1, LARGE, LARGE + 1, "12", 1.5, None])
def test_what_is_no_number_of_steps_batches_or_tokens_is_no_schedule(name, value):
    assert schedule_of(BUDGET | {name: value}) is None


@pytest.mark.parametrize(
    "fields", [None, [], "steps", 12, {}, {"tokens": 5}, {**BUDGET, "trainer": "another"}]
)
def test_what_is_no_budget_in_steps_is_no_schedule(fields):
    assert schedule_of(fields) is None


def test_a_mix_is_read_by_what_the_user_says_then_what_it_is_meant_for_then_what_it_holds():
    tokens = 1_000_000
    assert schedule_for(MEANT, "neox", tokens) == Schedule(12, 4, 32, "neox")
    assert schedule_for(MEANT, "neox", tokens, steps=5) == Schedule(5, 4, 32, "neox")
    for trainer in TRAINERS:
        for words in ({"batch": 8}, {"sequence": 64}, {"batch": 32, "sequence": 4}):
            found = schedule_for(MEANT, trainer, tokens, **words)
            batch, sequence = words.get("batch", 4), words.get("sequence", 32)
            steps = most_steps(trainer, tokens, sequence, batch)
            assert found == Schedule(steps, batch, sequence, trainer)
        assert schedule_for(None, trainer, 10**9) == Schedule(
            most_steps(trainer, 10**9, 2048, 2048), 2048, 2048, trainer
        )
    assert schedule_for(None, "neox", 10).steps == 0


def test_a_mix_that_shrank_keeps_the_steps_of_what_it_would_hold():
    tokens, quota = 8 * 2048 * 2048, 10 * 2048 * 2048
    assert mix_fit(None, tokens).steps == 8
    assert mix_fit(None, tokens, quota) == trainer_fit(tokens, steps=10)


def test_a_fit_is_told_in_numbers_and_texts():
    fit = mix_fit(MEANT, 1_200)
    told = fit_json(fit)
    assert json.loads(json.dumps(told)) == told
    assert {name: told[name] for name in ("steps", "inferred", "batch", "sequence")} == {
        "steps": 12,
        "inferred": False,
        "batch": 4,
        "sequence": 32,
    }
    assert told["meant_for"] == "megatron-core"
    readings: Any = told["trainers"]
    assert list(readings) == [reading.trainer for reading in fit.readings]
    for reading in fit.readings:
        assert reading.exposure is not None
        assert readings[reading.trainer]["warnings"] == list(reading.warnings) != []
        assert readings[reading.trainer]["epochs"] == reading.epochs
        assert readings[reading.trainer]["exposure"] == {
            name: f"{getattr(reading.exposure, name):.1%}"
            for name in ("never", "once", "twice", "more")
        }
