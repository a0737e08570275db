"""How trainers read a mix: epochs, steps, and what they never see. Pure rules, no trainer is
imported.

A trainer cuts the token stream into sequences of L tokens and reads B of them a step. What a mix of
T tokens gives it:

    trainer        sequences in one epoch; when S = steps * B are asked and one epoch does not hold
                   them
    GPT-NeoX       (T - 1) // L - 1; shuffles the documents of e epochs together and reads S of
                   the sequences
    megatron-core  (T - 1) // L; the same, or e - 1 epochs whole and then a part of the last (see
                   `megatron_schedule`)
    OLMo-core      T // L; reads the epoch's T // L // B steps, shuffles again, goes on
    nanotron       T // (L + 1); goes on in the order of the first epoch

The first two read L + 1 tokens for L predictions, and neighbours share one token, hence the 1;
nanotron's windows share none. GPT-NeoX builds (T - 1) // L sequences and serves one fewer
(`neox_served`). S is train_iters * batch in both (GPT-NeoX megatron/data/data_utils.py
`build_train_valid_test_data_loaders`, megatron-core training.py), for one data path without
weights: weighted paths ask for 0.5% more. Sources: EleutherAI/gpt-neox
megatron/data/gpt2_dataset.py (`_num_epochs`, `_build_doc_idx`, `_build_sample_idx`,
`_build_shuffle_idx`, `__len__`) and megatron/data/samplers.py; NVIDIA/Megatron-LM
megatron/core/datasets/gpt_dataset.py (`_get_num_epochs`, `_build_document_sample_shuffle_indices`);
allenai/OLMo-core src/olmo_core/data/numpy_dataset.py (`NumpyFSLDataset`) and data_loader.py
(`NumpyFSLDataLoader.total_size`); huggingface/nanotron src/nanotron/data/nanoset.py
(`Nanoset.build_nanoset_index`). All counts are tokens of the .bin, EOD included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mixtures.trainers.names import Trainer


@dataclass(frozen=True)
class Exposure:
    """Expected shares of the documents that a training run sees never, once, twice and more often;
    they sum to 1.

    A document here is one that fits a sequence; of a longer one, these are the shares of its
    tokens.
    """

    never: float
    once: float
    twice: float
    more: float

    def __str__(self) -> str:
        text = (
            f"{_percent(self.never)} of the documents never, {_percent(self.once)} once,"
            f" {_percent(self.twice)} twice"
        )
        return f"{text}, {_percent(self.more)} more often" if self.more > 1e-9 else text


@dataclass(frozen=True)
class MegatronSchedule:
    """megatron-core's epochs: `samples_before` sequences of all but the last, `samples_final` of
    the last.

    separate: the last epoch is shuffled and read after all others; else all epochs are shuffled
        together.
    """

    epochs: int
    separate: bool
    samples_before: int
    samples_final: int


def tokens_for_steps(trainer: Trainer, steps: int, batch: int, sequence: int) -> int:
    """The least tokens of a mix of which a trainer makes `steps` steps, seeing none twice.

    With S = steps * batch samples of L tokens:

        megatron   S * L + 1, since the targets are shifted by one
        neox       one sequence more: it builds as many samples as megatron-core and serves one
                   fewer (`neox_served`)
        olmo-core  S * L
        nanotron   S * (L + 1), since no two windows share a token
    """
    require_positive(steps=steps, batch=batch, sequence=sequence)
    samples = steps * batch
    return {
        "neox": samples * sequence + 1 + sequence,
        "megatron": samples * sequence + 1,
        "olmo-core": samples * sequence,
        "nanotron": samples * (sequence + 1),
    }[trainer]


def pooled_epochs(num_tokens: int, sequence: int, samples: int) -> int:
    """Epochs that GPT-NeoX and megatron-core open for `samples` sequences: the least e >= 1 with
    (e * num_tokens - 1) // sequence >= samples. megatron-core adds the 1 by default
    (`add_extra_token_to_sequence`).
    """
    require_positive(num_tokens=num_tokens, sequence=sequence)
    return max(1, -(-(samples * sequence + 1) // num_tokens))


def neox_weighted_samples(samples: int) -> int:
    """Sequences that GPT-NeoX asks of a list of one path with its weight: 0.5% more
    (`get_normalized_weights_and_num_samples`).
    """
    return math.ceil(samples * 1.0 * 1.005)


def neox_served(num_tokens: int, sequence: int, epochs: int = 1) -> int:
    """Sequences that GPT-NeoX's loader serves from the pool of `epochs` epochs.

    Its dataset's length is one less than the sequences that it built (`shuffle_idx.shape[0] - 1`,
    gpt-neox issue 972), and the batch sampler drops an incomplete last batch. So exactly S *
    sequence + 1 tokens count as one epoch of S sequences, of which only S - 1 are served: the last
    step finds no batch. One more sequence of tokens avoids it.
    """
    require_positive(num_tokens=num_tokens, sequence=sequence, epochs=epochs)
    return max(0, (epochs * num_tokens - 1) // sequence - 1)


def neox_exposure(num_tokens: int, tokens_read: int) -> Exposure:
    """Exposure when `tokens_read` tokens are drawn from the least number of whole epochs that holds
    them, shuffled together.

    With e epochs, each of a document's e copies is read with probability p = tokens_read / (e *
    num_tokens): Binomial(e, p). For 50,000,000,000 tokens and 11,921 steps: e = 2, p = 0.5, so a
    quarter is never seen and a quarter twice.
    """
    require_positive(num_tokens=num_tokens, tokens_read=tokens_read)
    epochs = -(-tokens_read // num_tokens)
    return _exposure(epochs, tokens_read / (epochs * num_tokens))


def megatron_samples(num_tokens: int, sequence: int, epochs: int) -> int:
    """Sequences that megatron-core cuts out of `epochs` epochs; as always in training, without the
    last partial one.
    """
    require_positive(num_tokens=num_tokens, sequence=sequence, epochs=epochs)
    return (epochs * num_tokens - 1) // sequence


def megatron_schedule(num_tokens: int, sequence: int, samples: int) -> MegatronSchedule:
    """How megatron-core divides `samples` sequences over epochs.

    The last of several epochs is kept apart if it gives fewer than int(0.80 * sequences of one
    epoch): then all the others are read whole before it. Otherwise all are pooled, as in GPT-NeoX.
    """
    epochs = pooled_epochs(num_tokens, sequence, samples)
    if epochs == 1:
        return MegatronSchedule(1, False, 0, samples)
    before = megatron_samples(num_tokens, sequence, epochs - 1)
    separate = samples - before < int(0.80 * megatron_samples(num_tokens, sequence, 1))
    return MegatronSchedule(epochs, separate, before, samples - before)


def megatron_exposure(num_tokens: int, sequence: int, samples: int) -> Exposure:
    """Exposure under `megatron_schedule`: pooled like GPT-NeoX, or all epochs but the last whole
    and a random part of the last.
    """
    schedule = megatron_schedule(num_tokens, sequence, samples)
    built = megatron_samples(num_tokens, sequence, schedule.epochs)
    if not schedule.separate:
        return _exposure(schedule.epochs, samples / built)
    return _exposure(
        schedule.epochs - 1, 1.0, schedule.samples_final / (built - schedule.samples_before)
    )


def olmo_windows(num_tokens: int, sequence: int) -> int:
    """Instances of OLMo-core in one file: num_tokens // sequence, the remainder ignored, no extra
    token.

    Several files are cut each for itself, so a mix in parts loses a remainder per part.
    """
    require_positive(num_tokens=num_tokens, sequence=sequence)
    return num_tokens // sequence


def olmo_steps(num_tokens: int, sequence: int, batch: int) -> int:
    """Steps of one OLMo-core epoch: whole batches only; which windows are left out changes with the
    epoch's shuffle.
    """
    require_positive(batch=batch)
    return olmo_windows(num_tokens, sequence) // batch


def olmo_exposure(num_tokens: int, sequence: int, batch: int, steps: int) -> Exposure:
    """Exposure after `steps` steps: whole epochs, each without its dropped tail, and a random part
    of one more.
    """
    windows, per_epoch = olmo_windows(num_tokens, sequence), olmo_steps(num_tokens, sequence, batch)
    if not per_epoch:
        return Exposure(1.0, 0.0, 0.0, 0.0)
    passes, rest = divmod(steps, per_epoch)
    return _exposure(passes, per_epoch * batch / windows, rest * batch / windows)


def nanotron_windows(num_tokens: int, sequence: int) -> int:
    """Windows of nanotron in one epoch, each of sequence + 1 tokens."""
    require_positive(num_tokens=num_tokens, sequence=sequence)
    return num_tokens // (sequence + 1)


def nanotron_exposure(num_tokens: int, sequence: int, samples: int) -> Exposure:
    """Exposure after `samples` windows: whole epochs, and the first part of one more."""
    windows = nanotron_windows(num_tokens, sequence)
    if not windows:
        return Exposure(1.0, 0.0, 0.0, 0.0)
    passes, rest = divmod(samples, windows)
    return _exposure(passes, 1.0, rest / windows)


def _exposure(draws: int, chance: float, last_chance: float = 0.0) -> Exposure:
    """Shares of documents seen 0, 1, 2 and more times in `draws` independent draws with `chance`
    and one with `last_chance`.
    """
    miss = 1.0 - chance
    none = miss**draws
    one = draws * chance * miss ** (draws - 1) if draws else 0.0
    two = draws * (draws - 1) / 2 * chance**2 * miss ** (draws - 2) if draws > 1 else 0.0
    never = none * (1 - last_chance)
    once = one * (1 - last_chance) + none * last_chance
    twice = two * (1 - last_chance) + one * last_chance
    return Exposure(never, once, twice, max(0.0, 1.0 - never - once - twice))


def _percent(share: float) -> str:
    return "under 0.1%" if 0.0 < share < 0.001 else f"{share:.1%}"


def require_positive(**numbers: int) -> None:
    """Refuse a number below 1.

    Raises:
        ValueError: names it.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; it must be at least 1")
