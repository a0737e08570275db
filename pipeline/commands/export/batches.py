"""How much of each batch of a training is masked, in the order in which its trainer reads: that of
OLMo-core under the seed of the configuration, that of GPT-NeoX under its default.

Counted are the tokens that a batch feeds to the model. Targets are one further on, so a batch may
have a target or two more or less than its share says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.judged.arms import MaskShares
from mixtures.mix.slots import MaskRuns, mask_shares
from mixtures.mix.trace import TracedMix
from mixtures.mix.training import masked_of_samples
from mixtures.trainers.epochs import neox_weighted_samples
from mixtures.trainers.names import SEEDS
from mixtures.trainers.schedule import Schedule
from mixtures.trainers.training_order import OrderRequest, TrainerOrder, olmo_windows

Int64s = npt.NDArray[np.int64]


def batch_shares(mix: TracedMix, runs: MaskRuns, schedule: Schedule) -> MaskShares:
    """The masked tokens of the batches of a schedule of olmo-core, of any epochs, or neox, of
    one.

    Raises:
        ManifestError: the mix is damaged.
    """
    masked = (
        _olmo_samples(mix.total_tokens, runs, schedule)
        if schedule.trainer == "olmo-core"
        else _neox_samples(mix.index, runs, schedule)
    )
    batches = masked.reshape(schedule.steps, schedule.batch).sum(axis=1)
    return mask_shares(batches, np.full(schedule.steps, schedule.batch * schedule.sequence))


def _olmo_samples(total_tokens: int, runs: MaskRuns, schedule: Schedule) -> Int64s:
    """Masked tokens of each sample in the order of reading, int64 [steps * batch]."""
    windows = total_tokens // schedule.sequence
    masked = np.diff(runs.before(np.arange(windows + 1) * schedule.sequence))
    served = windows // schedule.batch * schedule.batch  # of an epoch
    epochs, left = list[Int64s](), schedule.steps * schedule.batch
    while left:
        order = olmo_windows(windows, SEEDS["olmo-core"], len(epochs) + 1)
        epochs.append(masked[order[: min(served, left)]])
        left -= len(epochs[-1])
    return np.concatenate([np.empty(0, np.int64), *epochs])


def _neox_samples(index: IndexedTokens, runs: MaskRuns, schedule: Schedule) -> Int64s:
    """The same, of a list of one path."""
    samples = schedule.steps * schedule.batch
    request = OrderRequest("neox", schedule.sequence, neox_weighted_samples(samples), SEEDS["neox"])
    order = TrainerOrder(request, index.sizes)
    return masked_of_samples(index, runs, order, 0, samples)
