"""How a mix fits the trainers: what each makes of it in one epoch, and at the steps that it is
meant for. The rules are `mixtures.trainers.epochs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mixtures.trainers.epochs import (
    Exposure,
    megatron_exposure,
    megatron_samples,
    megatron_schedule,
    nanotron_exposure,
    nanotron_windows,
    neox_exposure,
    neox_served,
    olmo_exposure,
    olmo_steps,
    olmo_windows,
    pooled_epochs,
    require_positive,
    tokens_for_steps,
)
from mixtures.trainers.names import TRAINERS, Trainer

TrainerName = Literal["gpt-neox", "megatron-core", "olmo-core", "nanotron"]
FULL_NAMES: dict[Trainer, TrainerName] = {
    "neox": "gpt-neox",
    "megatron": "megatron-core",
    "olmo-core": "olmo-core",
    "nanotron": "nanotron",
}


@dataclass(frozen=True)
class TrainerReading:
    """What one trainer makes of a mix."""

    trainer: TrainerName
    samples: int
    """Sequences that it serves in one epoch."""
    single_epoch_steps: int
    """Full steps of them."""
    leftover_tokens: int
    """Tokens that those steps do not need."""
    tokens_needed: int | None = None
    """To make the steps asked for in one epoch; None, as all that follow, without any."""
    missing_tokens: int | None = None
    """Of these."""
    epochs: int | None = None
    """That the trainer opens; 0: it cannot make a batch."""
    exposure: Exposure | None = None
    first_repeat_step: int | None = None
    """The first step, from 0, that may read a document again of which a step before it read; 0
    where epochs are shuffled together. None: no step does. Documents that the mix itself holds more
    than once are not meant."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainerFit:
    """How a mix of `num_tokens` fits each trainer at `steps` steps of `batch` sequences of
    `sequence` tokens.

    steps: asked for, or inferred (`inferred`): the whole number of steps nearest to the mix; None
        if that is 0.
    """

    num_tokens: int
    sequence: int
    batch: int
    steps: int | None
    inferred: bool
    readings: tuple[TrainerReading, ...]
    meant_for: TrainerName | None = None
    """The trainer whose steps these are; None: any."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the trainer that the mix is meant for, or of all, each a sentence."""
        return tuple(
            warning
            for reading in self.readings
            if self.meant_for in (None, reading.trainer)
            for warning in reading.warnings
        )

    @property
    def reading(self) -> TrainerReading:
        """That of the trainer that the mix is meant for; GPT-NeoX's where it is for any."""
        name = self.meant_for or "gpt-neox"
        return next(reading for reading in self.readings if reading.trainer == name)


def most_steps(trainer: Trainer, num_tokens: int, sequence: int, batch: int) -> int:
    """The most steps that a trainer makes without seeing a token twice; 0 if the mix is smaller
    than one step.
    """
    require_positive(num_tokens=num_tokens, sequence=sequence, batch=batch)
    return _served(trainer, num_tokens, sequence) // batch


def trainer_fit(
    num_tokens: int, sequence: int = 2048, batch: int = 2048, steps: int | None = None
) -> TrainerFit:
    """How a mix of `num_tokens` tokens (EOD included, one .bin) fits the trainers.

    Args:
        sequence: tokens of a sequence; batch: sequences of a step over all devices.
        steps: the schedule to check. None takes the nearest whole number of steps: 50,000,000,000
            tokens are meant for 11,921 steps and 500,000,000,000 for 119,209, although the first
            does not fill its last step.

    Raises:
        ValueError: a number that is not positive.
    """
    require_positive(
        num_tokens=num_tokens, sequence=sequence, batch=batch, steps=1 if steps is None else steps
    )
    step_tokens = batch * sequence
    target = (2 * num_tokens + step_tokens) // (2 * step_tokens) if steps is None else steps
    readings = tuple(_read(trainer, num_tokens, sequence, batch, target) for trainer in TRAINERS)
    return TrainerFit(num_tokens, sequence, batch, target or None, steps is None, readings)


def _served(trainer: Trainer, num_tokens: int, sequence: int) -> int:
    """Sequences that a trainer serves in one epoch."""
    if trainer == "neox":
        return neox_served(num_tokens, sequence)
    if trainer == "megatron":
        return megatron_samples(num_tokens, sequence, 1)
    if trainer == "olmo-core":
        return olmo_windows(num_tokens, sequence)
    return nanotron_windows(num_tokens, sequence)


def _read(
    trainer: Trainer, num_tokens: int, sequence: int, batch: int, steps: int
) -> TrainerReading:
    name, samples = FULL_NAMES[trainer], _served(trainer, num_tokens, sequence)
    single = samples // batch
    used = tokens_for_steps(trainer, single, batch, sequence) if single else 0
    if not steps:
        return TrainerReading(name, samples, single, num_tokens - used)
    needed = tokens_for_steps(trainer, steps, batch, sequence)
    outcome = _OUTCOMES[trainer](num_tokens, sequence, batch, steps)
    short = (
        f"{num_tokens:,} tokens are {needed - num_tokens:,} short of {steps:,}"
        f" {'step' if steps == 1 else 'steps'} ({needed:,} tokens)"
    )
    return TrainerReading(
        name,
        samples,
        single,
        num_tokens - used,
        needed,
        max(0, needed - num_tokens),
        outcome.epochs,
        outcome.exposure,
        outcome.repeat_step,
        (f"{short}: {outcome.behaviour}",) if needed > num_tokens else (),
    )


class _Outcome(NamedTuple):
    epochs: int
    exposure: Exposure
    repeat_step: int | None
    behaviour: str  # what the trainer does if one epoch does not hold the steps


def _neox_outcome(num_tokens: int, sequence: int, batch: int, steps: int) -> _Outcome:
    epochs = pooled_epochs(num_tokens, sequence, steps * batch)
    exposure = neox_exposure(num_tokens, steps * batch * sequence + 1)
    served = neox_served(num_tokens, sequence, epochs) // batch
    repeat = None if served >= steps else served
    ends = (
        "GPT-NeoX's loader serves one sequence fewer than it builds (gpt-neox issue 972),"
        f" {served:,} whole batches; then it reads the first again, or ends"
    )
    if epochs == 1:
        return _Outcome(epochs, exposure, repeat, ends)
    missing = tokens_for_steps("neox", steps, batch, sequence) - num_tokens
    advice = "; give the budget in steps" if missing < batch * sequence else ""
    behaviour = (
        f"GPT-NeoX shuffles {epochs:,} epochs together and sees {exposure}{advice}"
        f"{'' if repeat is None else f'; {ends}'}"
    )
    return _Outcome(epochs, exposure, 0, behaviour)


def _megatron_outcome(num_tokens: int, sequence: int, batch: int, steps: int) -> _Outcome:
    plan = megatron_schedule(num_tokens, sequence, steps * batch)
    exposure = megatron_exposure(num_tokens, sequence, steps * batch)
    apart = (
        f"reads {plan.epochs - 1:,} whole, then {plan.samples_final:,} sequences of one more epoch,"
    )
    how = apart if plan.separate else f"shuffles {plan.epochs:,} epochs together"
    repeat = plan.samples_before // batch if plan.separate and plan.epochs == 2 else 0
    return _Outcome(
        plan.epochs,
        exposure,
        None if plan.epochs == 1 else repeat,
        f"megatron-core {how} and sees {exposure}",
    )


def _olmo_outcome(num_tokens: int, sequence: int, batch: int, steps: int) -> _Outcome:
    single = olmo_steps(num_tokens, sequence, batch)
    exposure = olmo_exposure(num_tokens, sequence, batch, steps)
    if not single:
        return _Outcome(0, exposure, None, "OLMo-core makes no batch of less than one step")
    return _Outcome(
        -(-steps // single),
        exposure,
        None if steps <= single else single,
        f"OLMo-core goes on into epoch {-(-steps // single):,} and sees {exposure}",
    )


def _nanotron_outcome(num_tokens: int, sequence: int, batch: int, steps: int) -> _Outcome:
    windows = nanotron_windows(num_tokens, sequence)
    exposure = nanotron_exposure(num_tokens, sequence, steps * batch)
    if not windows:
        return _Outcome(0, exposure, None, "nanotron finds no sequence")
    epochs = -(-steps * batch // windows)
    return _Outcome(
        epochs,
        exposure,
        None if steps * batch <= windows else windows // batch,
        f"nanotron goes on into epoch {epochs:,}, in the order of the first, and sees {exposure}",
    )


_OUTCOMES: dict[Trainer, Callable[[int, int, int, int], _Outcome]] = {
    "neox": _neox_outcome,
    "megatron": _megatron_outcome,
    "olmo-core": _olmo_outcome,
    "nanotron": _nanotron_outcome,
}
