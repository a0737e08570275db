"""How a mix, planned or finished, fits the trainers: at its recipe's schedule where the budget is
given in steps.

Plans, builds, audits, traces and pages all ask here, so that they cannot name different schedules
for one mix.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mixtures.trainers.fit import TrainerFit, trainer_fit


def budget_fit(
    budget: Any, *, whole: bool, num_tokens: int, quota_tokens: int | None = None
) -> TrainerFit:
    """How a mix fits the trainers: at its recipe's schedule where the budget is given in steps and
    the mix is of full size.

    Args:
        budget: of a canonical recipe, {tokens} or {steps, batch, sequence}; untrusted, since a
            manifest may hold it.
        quota_tokens: of a mix that shrank, what it would hold otherwise: trainers keep the schedule
            that was meant for that.
    """
    asked = budget if isinstance(budget, dict) else {}
    numbers = [
        value
        for name in ("sequence", "batch", "steps")
        if isinstance(value := asked.get(name), int) and 0 < value < 1 << 48
    ]
    sequence, batch, steps = numbers if len(numbers) == 3 else (2048, 2048, None)
    if steps is None or not whole:
        steps = trainer_fit(quota_tokens, sequence, batch).steps if quota_tokens else None
    return trainer_fit(num_tokens, sequence, batch, steps)


def fit_json(fit: TrainerFit) -> dict[str, object]:
    """A trainer fit in integers and text; shares of documents in per cent with one decimal."""
    readings = {}
    for reading in fit.readings:
        value = asdict(reading)
        if reading.exposure:
            value["exposure"] = {
                name: f"{100 * share:.1f}%" for name, share in asdict(reading.exposure).items()
            }
        readings[reading.trainer] = {**value, "warnings": list(reading.warnings)}
    return {
        "steps": fit.steps,
        "inferred": fit.inferred,
        "batch": fit.batch,
        "sequence": fit.sequence,
        "trainers": readings,
    }
