"""The steps that a mix is meant for, and how it fits the trainers at them.

Plans, builds, audits, traces, exports and pages all ask here, so that they cannot name different
schedules for one mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mixtures.trainers.epochs import tokens_for_steps
from mixtures.trainers.fit import FULL_NAMES, TrainerFit, most_steps, trainer_fit
from mixtures.trainers.names import TRAINERS, Trainer


@dataclass(frozen=True)
class Schedule:
    """Steps of `batch` sequences, over all devices, of `sequence` tokens, by a trainer."""

    steps: int
    batch: int = 2048
    sequence: int = 2048
    trainer: Trainer = "neox"

    @property
    def tokens(self) -> int:
        """That a mix needs for them (`tokens_for_steps`)."""
        return tokens_for_steps(self.trainer, self.steps, self.batch, self.sequence)

    def as_json(self) -> dict[str, str]:
        """Texts, as sizes of mixes hold them."""
        return {name: str(value) for name, value in asdict(self).items()}


def schedule_of(fields: Any) -> Schedule | None:
    """The schedule of a canonical budget, {steps, batch, sequence, trainer}; None of one in tokens.

    Args:
        fields: untrusted, since a manifest may hold them.
    """
    asked = fields if isinstance(fields, Mapping) else {}
    steps, batch, sequence = (
        value if isinstance(value := asked.get(name), int) and 0 < value < 1 << 48 else 0
        for name in ("steps", "batch", "sequence")
    )
    trainer = next((one for one in TRAINERS if one == asked.get("trainer")), None)
    if not (steps and batch and sequence and trainer):
        return None
    return Schedule(steps, batch, sequence, trainer)


def schedule_for(
    meant: Schedule | None,
    trainer: Trainer,
    num_tokens: int,
    *,
    sequence: int | None = None,
    batch: int | None = None,
    steps: int | None = None,
) -> Schedule:
    """The schedule by which a trainer reads a mix: what the user says, else what the mix is meant
    for, else as many steps as it makes without seeing a token twice.

    Args:
        meant: that of the mix; its steps are taken if batch and sequence are its own. sequence,
            batch, steps: of the user.

    Returns:
        One of 0 steps if the mix is smaller than a step.
    """
    basis = meant or Schedule(0)
    sequence, batch = sequence or basis.sequence, batch or basis.batch
    if not steps and meant and (batch, sequence) == (meant.batch, meant.sequence):
        steps = meant.steps
    return Schedule(
        steps or most_steps(trainer, num_tokens, sequence, batch), batch, sequence, trainer
    )


def mix_fit(meant: Schedule | None, num_tokens: int, quota_tokens: int | None = None) -> TrainerFit:
    """How a mix fits the trainers, at the schedule that it is meant for.

    Args:
        quota_tokens: of a mix that shrank, what it would hold otherwise: without a schedule,
            trainers keep the one that was meant for that.
    """
    if meant:
        fit = trainer_fit(num_tokens, meant.sequence, meant.batch, meant.steps)
        return replace(fit, meant_for=FULL_NAMES[meant.trainer])
    steps = trainer_fit(quota_tokens).steps if quota_tokens else None
    return trainer_fit(num_tokens, steps=steps)


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
        "meant_for": fit.meant_for,
        "trainers": readings,
    }
