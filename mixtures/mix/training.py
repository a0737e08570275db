"""A training over a mix: its steps, and the order in which its trainer reads.

Steps are counted from 0 and step N reads samples N * batch to (N + 1) * batch - 1 of the training,
whatever the number of devices: their loaders share out a global batch of consecutive samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.errors import ManifestError, RecipeError
from mixtures.mix.trace import TracedMix
from mixtures.trainers.names import ORDERS, OrderName
from mixtures.trainers.schedule import schedule_for
from mixtures.trainers.training_order import OrderRequest, TrainerOrder


@dataclass(frozen=True)
class Training:
    """A training as the user tells it; None: as the mix is meant for, or as many steps as see no
    token twice (`mixtures.trainers.schedule.schedule_for`, which exports ask, too).
    """

    trainer: OrderName
    seed: int = 1234
    batch: int | None = None
    """Sequences of a step."""
    sequence: int | None = None
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
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} {value} is not above 0")


class TrainingOrder:
    """What a training reads when.

    Attributes:
        batch: sequences of a step. order: of the trainer. steps: that it can make.

    Raises:
        RecipeError: the mix holds no tokens or less than a step, or the trainer cannot number
            what is asked. ManifestError: the mix is damaged.
    """

    def __init__(self, mix: TracedMix, training: Training) -> None:
        self.folder = mix.folder
        self.batch, request = _request(mix, training)
        sizes = mix.index.sizes
        if sizes.min() < 1 or int(sizes.sum(dtype=np.int64)) != mix.total_tokens:
            raise ManifestError(
                f"{mix.folder}: the sizes in tokens.idx are not those of its"
                f" {mix.total_tokens:,} tokens; build it again"
            )
        try:
            self.order = TrainerOrder(request, sizes)
        except ValueError as error:
            raise RecipeError(f"{mix.folder}: {error}; ask for fewer samples") from None
        self.steps = min(self.order.samples, request.samples) // self.batch

    def samples(self, first_step: int, last_step: int) -> tuple[int, int]:
        """The samples of steps first_step .. last_step - 1: first, and one past the last.

        Raises:
            RecipeError: the training has no such step.
        """
        if first_step < 0 or last_step > self.steps:
            there = f"0 to {self.steps - 1:,}" if self.steps else "none"
            request = self.order.request
            raise RecipeError(
                f"{self.folder}: {request.trainer} makes {self.steps:,} steps of {self.batch:,} x"
                f" {request.sequence:,} tokens; there is no step {last_step - 1:,}, only {there}"
            )
        return first_step * self.batch, last_step * self.batch


def _request(mix: TracedMix, training: Training) -> tuple[int, OrderRequest]:
    """Sequences of a step, and what the trainer was told."""
    if not mix.total_tokens:
        raise RecipeError(
            f"{mix.folder}: holds no tokens, so no step can read any; trace a mix that holds some"
        )
    in_file = training.trainer == "file-order"
    schedule = schedule_for(
        mix.claims.schedule,
        "megatron" if training.trainer == "file-order" else training.trainer,
        mix.total_tokens,
        sequence=training.sequence,
        batch=training.batch,
        steps=training.steps,
    )
    batch, sequence = schedule.batch, schedule.sequence
    if in_file:
        return batch, OrderRequest(
            training.trainer, sequence, (mix.total_tokens - 1) // sequence, 0
        )
    if not (schedule.steps or training.samples):
        raise RecipeError(
            f"{mix.folder}: {mix.total_tokens:,} tokens are less than a step of {batch:,} x"
            f" {sequence:,}; say with --steps how many the trainer was asked for, or another"
            " --batch"
        )
    return batch, OrderRequest(
        training.trainer, sequence, training.samples or schedule.steps * batch, training.seed
    )
