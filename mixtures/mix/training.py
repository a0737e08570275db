"""A training over a mix: its steps, and the order in which its trainer reads.

Steps are counted from 0. Step N reads samples N * batch to (N + 1) * batch - 1 of the training,
whatever the number of devices: their loaders share out a global batch of consecutive samples.

A batch or a sequence length that changes on the way divides a training into phases, each one batch
and one length over its own order. After a change at step N, as their loaders start again:

    neox        at sample N * the new batch: the iteration is kept, not what was consumed (gpt-neox
                megatron/data/data_utils.py, `batch_sampler.start_iter`), so a larger batch
                passes samples over and a smaller one reads some again
    megatron    at the sample after those consumed (Megatron-LM megatron/training/training.py,
                `consumed_train_samples`), counted in samples of whatever length; file-order too

Both ask for steps * batch samples of the phase, unless they were asked for a number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from mixtures.errors import ManifestError, RecipeError
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.slots import MaskRuns
from mixtures.mix.trace import TracedMix
from mixtures.trainers.names import ORDERS, OrderName
from mixtures.trainers.schedule import schedule_for
from mixtures.trainers.training_order import Int64s, OrderRequest, TrainerOrder

_BLOCK_SAMPLES = 1 << 15  # looked at at a time
Changes = tuple[tuple[int, int], ...]
"""(step, value from it on): the first from step 0, steps rising."""


@dataclass(frozen=True)
class Training:
    """A training as the user tells it; None: as the mix is meant for, or as many steps as see no
    token twice (`mixtures.trainers.schedule.schedule_for`, which exports ask, too).

    Raises:
        ValueError: no trainer takes such a setting.
    """

    trainer: OrderName
    seed: int = 1234
    batch: int | Changes | None = None
    """Sequences of a step."""
    sequence: int | Changes | None = None
    """Tokens of a sequence."""
    steps: int | None = None
    samples: int | None = None
    """What the trainer was asked for, where it is not steps * batch."""

    def __post_init__(self) -> None:
        if self.trainer not in ORDERS:
            raise ValueError(f"trainer {self.trainer!r} is not one of {', '.join(ORDERS)}")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed {self.seed} is not from 0 to below 2^32")
        for name in ("batch", "sequence", "steps", "samples"):
            value = getattr(self, name)
            may_change = name in ("batch", "sequence")
            if not (value is None or _is_whole(value) or (may_change and _are_changes(value))):
                or_changes = " or ((0, number), (step, number from it on), ...)"
                raise ValueError(
                    f"{name} {value!r} is not a whole number{or_changes if may_change else ''}"
                )
            changes = _changes(value)
            if any(value is not None and value < 1 for _, value in changes):
                raise ValueError(f"{name} {value} is not above 0")
            steps = [step for step, _ in changes]
            if not steps or steps[0] or any(a >= b for a, b in pairwise(steps)):
                raise ValueError(f"{name}: steps {steps} do not rise from 0")


@dataclass(frozen=True)
class Phase:
    """Steps first_step .. last_step - 1 of a training, all of one batch and sequence length."""

    first_step: int
    last_step: int
    batch: int
    first_sample: int
    """Where its first step begins in its order."""
    request: OrderRequest

    def samples(self, first_step: int, last_step: int) -> tuple[int, int]:
        """The samples of its steps first_step .. last_step - 1: first, and one past the last."""
        return (
            self.first_sample + (first_step - self.first_step) * self.batch,
            self.first_sample + (last_step - self.first_step) * self.batch,
        )


@dataclass(frozen=True)
class Read:
    """Samples first .. last - 1 of a phase."""

    phase: Phase
    first: int
    last: int


def masked_of_samples(
    index: IndexedTokens, runs: MaskRuns, order: TrainerOrder, first: int, last: int
) -> Int64s:
    """How many tokens of samples first .. last - 1 of a training are masked: int64 [last -
    first].
    """
    first_token = np.asarray(index.pointers, np.int64) // index.tokens.dtype.itemsize
    masked = np.zeros(last - first, np.int64)
    for low in range(first, last, _BLOCK_SAMPLES):
        spans = order.spans(low, min(low + _BLOCK_SAMPLES, last))
        begin = first_token[spans.positions] + spans.offsets
        here = runs.before(begin + spans.num_tokens) - runs.before(begin)
        np.add.at(masked, spans.reads - first, here)
    return masked


class TrainingOrder:
    """What a training reads when.

    Attributes:
        phases: in their order, one unless batch or sequence length changes. steps: that it can
            make.

    Raises:
        RecipeError: the mix holds no tokens or less than a step, or a phase begins where there are
            no more steps. ManifestError: the mix is damaged.
    """

    def __init__(self, mix: TracedMix, training: Training) -> None:
        self.folder = mix.folder
        if not mix.total_tokens:
            raise RecipeError(
                f"{mix.folder}: holds no tokens, so no step can read any; trace a mix that holds"
                " some"
            )
        self._sizes = mix.index.sizes
        if (
            self._sizes.min() < 1
            or int(self._sizes.sum(dtype="int64")) != mix.total_tokens  # int32 would overflow
        ):
            raise ManifestError(
                f"{mix.folder}: the sizes in tokens.idx are not those of its"
                f" {mix.total_tokens:,} tokens; build it again"
            )
        self.phases = _phases(mix, training)
        self.steps = self.phases[-1].last_step
        self._order = lru_cache(1)(self._make_order)

    def order(self, phase: Phase) -> TrainerOrder:
        """The order that a phase reads in; the last one asked for is kept.

        Raises:
            RecipeError: the trainer cannot number what is asked.
        """
        return self._order(phase.request)

    def _make_order(self, request: OrderRequest) -> TrainerOrder:
        try:
            return TrainerOrder(request, self._sizes)
        except ValueError as error:
            raise RecipeError(f"{self.folder}: {error}; ask for fewer samples") from None

    def reads(self, first_step: int, last_step: int) -> list[Read]:
        """The samples of steps first_step .. last_step - 1, of each phase that has any.

        Raises:
            RecipeError: the training has no such step.
        """
        if first_step < 0 or last_step > self.steps:
            there = f"0 to {self.steps - 1:,}" if self.steps else "none"
            phase = self.phases[-1]
            raise RecipeError(
                f"{self.folder}: {phase.request.trainer} makes {self.steps:,} steps of"
                f" {phase.batch:,} x {phase.request.sequence:,} tokens; there is no step"
                f" {last_step - 1:,}, only {there}"
            )
        ranges = [
            (phase, max(first_step, phase.first_step), min(last_step, phase.last_step))
            for phase in self.phases
        ]
        return [Read(phase, *phase.samples(low, high)) for phase, low, high in ranges if low < high]


def _phases(mix: TracedMix, training: Training) -> list[Phase]:
    batches, sequences = _changes(training.batch), _changes(training.sequence)
    if training.trainer == "file-order" and len(sequences) > 1:
        raise RecipeError(
            "trace: file-order is no trainer's, so nothing says where it goes on after another"
            " sequence length; ask for each length by itself"
        )
    begins = sorted({step for step, _ in (*batches, *sequences)})
    several = len(begins) > 1
    if several and not (training.steps or training.samples or training.trainer == "file-order"):
        raise RecipeError(
            "trace: the order of a training whose batch or sequence length changes needs the steps"
            " that the trainer was asked for; say them with --steps, or its samples with --samples"
        )
    phases: list[Phase] = []
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        batch, request = _request(
            mix, training, batch=_value_at(batches, begin), sequence=_value_at(sequences, begin)
        )
        consumed = phases[-1].samples(begin, begin)[0] if phases else 0
        first = begin * batch if training.trainer == "neox" else consumed
        # a trainer ends after its steps, whatever samples are left of those that it asked for
        served = request.served(mix.total_tokens)
        if not training.steps:
            served = min(served, request.samples)
        made = begin + max(0, served - first) // batch
        last = min(step for step in (made, end, training.steps) if step is not None)
        if phases and (phases[-1].last_step < begin or last <= begin):
            raise RecipeError(
                f"{mix.folder}: {training.trainer} makes {min(phases[-1].last_step, last):,} steps;"
                f" there is no step {begin:,} at which batch or sequence length could change"
            )
        phases.append(Phase(begin, last, batch, first, request))
    return phases


def _request(
    mix: TracedMix, training: Training, *, batch: int | None, sequence: int | None
) -> tuple[int, OrderRequest]:
    """Sequences of a step, and what the trainer was told."""
    schedule = schedule_for(
        mix.claims.schedule,
        "megatron" if training.trainer == "file-order" else training.trainer,
        mix.total_tokens,
        sequence=sequence,
        batch=batch,
        steps=training.steps,
    )
    batch, sequence = schedule.batch, schedule.sequence
    if training.trainer == "file-order":
        samples = (mix.total_tokens - 1) // sequence
        return batch, OrderRequest(training.trainer, sequence, samples, 0)
    if not (schedule.steps or training.samples):
        raise RecipeError(
            f"{mix.folder}: {mix.total_tokens:,} tokens are less than a step of {batch:,} x"
            f" {sequence:,}; say with --steps how many the trainer was asked for, or another"
            " --batch"
        )
    samples = training.samples or schedule.steps * batch
    return batch, OrderRequest(training.trainer, sequence, samples, training.seed)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_changes(value: object) -> bool:
    """Whether it is a tuple of pairs of whole numbers."""
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_whole, pair)) for pair in value
    )


def _changes(value: int | Changes | None) -> Sequence[tuple[int, int | None]]:
    return value if isinstance(value, tuple) else ((0, value),)


def _value_at(changes: Sequence[tuple[int, int | None]], step: int) -> int | None:
    return [value for begin, value in changes if begin <= step][-1]
