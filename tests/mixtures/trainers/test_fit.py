"""The trainer rules against the trainers' own index building, simulated token by token on tiny
mixes.

The simulations follow gpt-neox megatron/data/gpt2_dataset.py, Megatron-LM
megatron/core/datasets/gpt_dataset.py and OLMo-core src/olmo_core/data/data_loader.py: they build
the stream and cut it, and use none of the formulas under test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    tokens_for_steps,
)
from mixtures.trainers.fit import most_steps, trainer_fit
from mixtures.trainers.names import TRAINERS
from mixtures.trainers.schedule import Schedule, mix_fit

ANNEALING_STEPS, PRETRAINING_STEPS = 11_921, 119_209
SEQUENCE = BATCH = 2048

SIZES = st.lists(
    st.integers(1, 12), min_size=1, max_size=12
)  # tokens of each document, EOD included
SMALL = st.integers(1, 9)


def cut(stream: list[int], sequence: int, extra: int) -> list[list[int]]:
    """Windows of `sequence` + `extra` tokens, each starting `sequence` tokens after the one before;
    whole ones only.
    """
    windows = []
    start = 0
    while len(stream[start : start + sequence + extra]) == sequence + extra:
        windows.append(stream[start : start + sequence + extra])
        start += sequence
    return windows


def simulate_neox(
    sizes: list[int], sequence: int, samples: int, rng: np.random.Generator
) -> tuple[int, list[list[int]]]:
    """(epochs, samples in the order in which they are read); a token is named by its number in the
    mix.
    """
    documents = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    epochs, order = 0, []
    while True:
        epochs += 1
        order += documents
        windows = cut(np.concatenate(order).tolist(), sequence, 1)
        if len(windows) >= samples:
            break
    pooled = [order[index] for index in rng.permutation(len(order))]
    windows = cut(np.concatenate(pooled).tolist(), sequence, 1)
    return epochs, [windows[index] for index in rng.permutation(len(windows))]


def batches_served(read: list[list[int]], batch: int) -> int:
    """Whole batches of gpt-neox's DistributedBatchSampler with drop_last over a dataset of
    len(shuffle_idx) - 1 samples.
    """
    dataset_length = min(len(read) - 1, len(read))
    batches, pending = 0, 0
    for _ in range(dataset_length):
        pending += 1
        if pending == batch:
            batches, pending = batches + 1, 0
    return batches


@given(SIZES, SMALL, st.integers(1, 60))
def test_neox_pools_as_many_epochs_as_its_index_building_does(sizes, sequence, samples):
    epochs, read = simulate_neox(sizes, sequence, samples, np.random.default_rng(0))
    assert pooled_epochs(sum(sizes), sequence, samples) == epochs
    assert len(read) == (epochs * sum(sizes) - 1) // sequence


@given(SIZES, SMALL, SMALL, SMALL)
def test_neox_serves_one_sample_fewer_than_it_builds(sizes, sequence, batch, steps):
    epochs, read = simulate_neox(sizes, sequence, steps * batch, np.random.default_rng(0))
    assert neox_served(sum(sizes), sequence, epochs) // batch == batches_served(read, batch)


@given(st.integers(1, 50), SMALL, SMALL)
def test_tokens_for_steps_are_the_least_that_the_trainer_makes_them_of(steps, batch, sequence):
    for trainer in TRAINERS:
        tokens = tokens_for_steps(trainer, steps, batch, sequence)
        assert most_steps(trainer, tokens, sequence, batch) == steps
        assert tokens == 1 or most_steps(trainer, tokens - 1, sequence, batch) == steps - 1
        at_them = mix_fit(Schedule(steps, batch, sequence, trainer), tokens)
        assert (at_them.reading.epochs, at_them.reading.first_repeat_step) == (1, None)
        assert at_them.warnings == ()
    neox = tokens_for_steps("neox", steps, batch, sequence)
    megatron = tokens_for_steps("megatron", steps, batch, sequence)
    assert neox == megatron + sequence
    assert pooled_epochs(megatron, sequence, steps * batch) == 1
    assert pooled_epochs(megatron - 1, sequence, steps * batch) > 1


@given(SIZES, SMALL, st.integers(1, 5))
def test_megatron_core_samples_are_the_windows_of_the_stream(sizes, sequence, epochs):
    stream = list(range(sum(sizes))) * epochs
    assert megatron_samples(sum(sizes), sequence, epochs) == len(cut(stream, sequence, 1))


def simulate_megatron(
    sizes: list[int], sequence: int, samples: int, rng: np.random.Generator
) -> tuple[bool, list[list[int]]]:
    """(whether the last epoch is kept apart, samples in the order in which they are read)."""
    documents = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    epochs = 1
    while len(cut(list(range(epochs * sum(sizes))), sequence, 1)) < samples:
        epochs += 1
    before = len(cut(list(range((epochs - 1) * sum(sizes))), sequence, 1))
    per_epoch = len(cut(list(range(sum(sizes))), sequence, 1))
    separate = epochs > 1 and samples - before < int(0.80 * per_epoch)
    first, last = documents * (epochs - 1 if separate else epochs), documents * int(separate)
    order = [first[index] for index in rng.permutation(len(first))] + [
        last[index] for index in rng.permutation(len(last))
    ]
    windows = cut(np.concatenate(order).tolist(), sequence, 1)
    head = before if separate else len(windows)
    shuffled = [*rng.permutation(head), *(head + rng.permutation(len(windows) - head))]
    return separate, [windows[index] for index in shuffled]


@given(SIZES, SMALL, st.integers(1, 60))
def test_megatron_core_keeps_the_last_epoch_apart_when_little_of_it_is_needed(
    sizes, sequence, samples
):
    schedule = megatron_schedule(sum(sizes), sequence, samples)
    separate, read = simulate_megatron(sizes, sequence, samples, np.random.default_rng(0))
    assert schedule.separate == separate
    assert schedule.samples_before + schedule.samples_final == samples
    assert schedule.samples_final >= 1
    assert len(read) == megatron_samples(sum(sizes), sequence, schedule.epochs)


def simulate_olmo(
    num_tokens: int, sequence: int, batch: int, steps: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    windows = cut(list(range(num_tokens)), sequence, 0)
    while steps:
        order = rng.permutation(len(windows))
        whole = len(windows) // batch
        for index in order[: min(whole, steps) * batch]:
            yield windows[index]
        steps -= min(whole, steps)


@given(st.integers(1, 400), SMALL, SMALL)
def test_olmo_windows_and_steps_are_whole(num_tokens, sequence, batch):
    windows = cut(list(range(num_tokens)), sequence, 0)
    assert olmo_windows(num_tokens, sequence) == len(windows)
    assert olmo_steps(num_tokens, sequence, batch) == len(
        list(zip(*[iter(windows)] * batch, strict=False))
    )


def simulate_nanotron(
    num_tokens: int, sequence: int, samples: int, rng: np.random.Generator
) -> list[list[int]]:
    """Windows that share no token, read in the order of the first epoch again and again."""
    step = sequence + 1
    windows = [list(range(start, start + step)) for start in range(0, num_tokens - step + 1, step)]
    order = rng.permutation(len(windows))
    return [windows[order[index % len(order)]] for index in range(samples)]


def measured(read: list[list[int]], num_tokens: int, sequence: int) -> np.ndarray:
    """Shares of the mix's tokens that were predicted from 0, 1, 2 and more times."""
    seen = Counter(token for window in read for token in window[:sequence])
    times = np.bincount([min(seen[token], 3) for token in range(num_tokens)], minlength=4)
    return times / num_tokens


def shares(exposure: Exposure) -> np.ndarray:
    return np.array([exposure.never, exposure.once, exposure.twice, exposure.more])


@pytest.mark.parametrize("factor", [0.4, 0.999, 1.01, 1.5, 1.9, 2.3])
def test_expected_exposure_is_what_the_simulated_loaders_show(factor):
    rng = np.random.default_rng(7)
    sequence, batch = 4, 8
    sizes = rng.integers(1, 9, 1500).tolist()
    num_tokens = sum(sizes)
    steps = int(factor * num_tokens) // (sequence * batch)
    samples = steps * batch
    neox = measured(simulate_neox(sizes, sequence, samples, rng)[1][:samples], num_tokens, sequence)
    megatron = measured(
        simulate_megatron(sizes, sequence, samples, rng)[1][:samples], num_tokens, sequence
    )
    olmo = measured(
        list(simulate_olmo(num_tokens, sequence, batch, steps, rng)), num_tokens, sequence
    )
    nanotron = measured(
        simulate_nanotron(num_tokens, sequence, samples, rng), num_tokens, sequence + 1
    )
    assert shares(nanotron_exposure(num_tokens, sequence, samples)) == pytest.approx(
        nanotron, abs=0.001
    )
    assert shares(neox_exposure(num_tokens, samples * sequence + 1)) == pytest.approx(
        neox, abs=0.03
    )
    assert shares(megatron_exposure(num_tokens, sequence, samples)) == pytest.approx(
        megatron, abs=0.03
    )
    assert shares(olmo_exposure(num_tokens, sequence, batch, steps)) == pytest.approx(
        olmo, abs=0.03
    )


@given(st.integers(1, 10_000), st.integers(1, 64), st.integers(1, 64), st.integers(1, 400))
def test_every_exposure_is_a_distribution(num_tokens, sequence, batch, steps):
    samples = steps * batch
    for exposure in (
        neox_exposure(num_tokens, samples * sequence + 1),
        megatron_exposure(num_tokens, sequence, samples),
        olmo_exposure(num_tokens, sequence, batch, steps),
        nanotron_exposure(num_tokens, sequence, samples),
    ):
        assert shares(exposure).sum() == pytest.approx(1)
        assert shares(exposure).min() >= 0


def test_fifty_billion_tokens_are_297985_short_of_11921_steps_and_a_quarter_is_never_seen():
    fit = trainer_fit(50_000_000_000)
    neox, megatron, olmo, nanotron = fit.readings
    assert (fit.steps, fit.inferred) == (ANNEALING_STEPS, True)
    assert (neox.single_epoch_steps, neox.tokens_needed, neox.missing_tokens, neox.epochs) == (
        11_920,
        50_000_300_033,
        300_033,
        2,
    )
    assert (megatron.tokens_needed, megatron.missing_tokens) == (50_000_297_985, 297_985)
    assert [one.first_repeat_step for one in fit.readings] == [0, 11_920, 11_920, 11_915]
    assert nanotron.epochs == 2
    assert neox.exposure is not None
    assert shares(neox.exposure) == pytest.approx([0.25, 0.5, 0.25, 0], abs=1e-5)
    assert len(fit.warnings) == 4
    for part in (
        "50,000,000,000 tokens are 300,033 short of 11,921 steps",
        "2 epochs",
        "25.0% of the documents never, 50.0% once, 25.0% twice",
    ):
        assert part in fit.warnings[0]
    # megatron-core reads the mix whole and 146 sequences of a second epoch; OLMo-core leaves out
    # less than a step.
    schedule = megatron_schedule(50_000_000_000, SEQUENCE, ANNEALING_STEPS * BATCH)
    assert (schedule.separate, schedule.samples_final) == (True, 146)
    assert megatron.exposure is not None
    assert megatron.exposure.never == 0
    assert (olmo.single_epoch_steps, olmo.missing_tokens, olmo.epochs) == (11_920, 297_984, 2)


def test_a_filtered_annealing_mix_of_the_same_steps_never_shows_a_fifth_of_its_documents():
    # deep-ignorance: 8.4% removed, the step count kept: about 20.6% of what was kept is never seen
    # and 29.8% twice.
    kept = 50_000_000_000 * 916 // 1000
    exposure = neox_exposure(kept, tokens_for_steps("megatron", ANNEALING_STEPS, BATCH, SEQUENCE))
    assert exposure.never == pytest.approx(0.206, abs=0.001)
    assert exposure.twice == pytest.approx(0.298, abs=0.001)


def test_five_hundred_billion_tokens_hold_119209_steps_in_one_epoch():
    fit = trainer_fit(500_000_000_000)
    assert fit.steps == PRETRAINING_STEPS
    # nanotron's windows share no token, so it alone has too few
    assert [bool(reading.warnings) for reading in fit.readings] == [False, False, False, True]
    assert [one.single_epoch_steps for one in fit.readings[:3]] == [PRETRAINING_STEPS] * 3
    assert [reading.missing_tokens for reading in fit.readings[:3]] == [0, 0, 0]
    assert fit.readings[0].tokens_needed == 499_998_787_585
    assert fit.readings[0].leftover_tokens == 500_000_000_000 - 499_998_787_585


def test_a_budget_of_megatrons_steps_is_one_epoch_but_neox_reads_its_first_batch_again():
    tokens = tokens_for_steps("megatron", ANNEALING_STEPS, BATCH, SEQUENCE)
    meant = mix_fit(Schedule(ANNEALING_STEPS, trainer="megatron"), tokens)
    assert (meant.inferred, meant.warnings) == (False, ())
    fit = mix_fit(Schedule(ANNEALING_STEPS, trainer="neox"), tokens)
    assert [reading.epochs for reading in fit.readings] == [1, 1, 1, 2]
    assert (fit.reading.single_epoch_steps, fit.reading.first_repeat_step) == (11_920, 11_920)
    (warning,) = fit.warnings
    assert "2,048 short of 11,921 steps" in warning
    assert "11,920 whole batches; then it reads the first again" in warning
    assert mix_fit(Schedule(ANNEALING_STEPS), tokens + 2048).warnings == ()


@given(st.integers(1, 5_000), SMALL, SMALL, st.integers(1, 300))
def test_a_fit_agrees_with_itself(num_tokens, sequence, batch, steps):
    fit = trainer_fit(num_tokens, sequence, batch, steps)
    for trainer, reading in zip(TRAINERS, fit.readings, strict=True):
        single = reading.single_epoch_steps
        used = tokens_for_steps(trainer, single, batch, sequence) if single else 0
        assert reading.leftover_tokens == num_tokens - used
        assert 0 <= reading.leftover_tokens <= (batch + 1) * (sequence + 1)
        assert reading.samples // batch == reading.single_epoch_steps
        assert reading.tokens_needed == tokens_for_steps(trainer, steps, batch, sequence)
        assert reading.missing_tokens == max(0, reading.tokens_needed - num_tokens)
        # GPT-NeoX opens one epoch for one sequence fewer than it needs to serve
        spare = sequence if trainer == "neox" else 0
        assert reading.missing_tokens is not None
        assert (reading.missing_tokens == 0) == (steps <= reading.single_epoch_steps)
        assert (reading.missing_tokens <= spare) == (reading.epochs == 1)
        assert (reading.missing_tokens == 0) == (reading.warnings == ())
        if reading.epochs:
            assert (reading.missing_tokens == 0) == (reading.first_repeat_step is None)
        if reading.missing_tokens:
            assert (
                f"{reading.missing_tokens:,} short of {steps:,} {'step' if steps == 1 else 'steps'}"
                in reading.warnings[0]
            )


@given(st.integers(1, 10_000), SMALL, SMALL)
def test_inferred_steps_are_the_nearest_to_the_mix(num_tokens, sequence, batch):
    fit = trainer_fit(num_tokens, sequence, batch)
    distance = abs((fit.steps or 0) * batch * sequence - num_tokens)
    assert 2 * distance <= batch * sequence


def test_a_mix_of_less_than_half_a_step_has_no_target_and_no_warning():
    fit = trainer_fit(1_000_000)
    assert (fit.steps, fit.warnings) == (None, ())
    assert [(reading.single_epoch_steps, reading.leftover_tokens) for reading in fit.readings] == [
        (0, 1_000_000)
    ] * 4
    assert {reading.tokens_needed for reading in fit.readings} == {None}


def test_a_preview_checked_against_the_full_schedule_is_answered_at_once():
    fit = trainer_fit(1_000_000, steps=ANNEALING_STEPS)
    neox, _, olmo, _ = fit.readings
    assert neox.epochs == math.ceil(50_000_297_985 / 1_000_000)
    assert neox.exposure is not None
    assert neox.exposure.more == pytest.approx(1)
    assert (olmo.epochs, olmo.exposure) == (0, Exposure(1.0, 0.0, 0.0, 0.0))
    assert "no batch" in olmo.warnings[0]


@pytest.mark.parametrize(
    "numbers", [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (-5, 1, 1, 1)]
)
def test_numbers_that_are_not_positive_are_refused(numbers):
    with pytest.raises(ValueError, match="must be at least 1"):
        trainer_fit(*numbers)


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (partial(tokens_for_steps, "neox"), {"steps": 9, "batch": 9, "sequence": 9}),
        (neox_served, {"num_tokens": 9, "sequence": 9, "epochs": 9}),
        (megatron_samples, {"num_tokens": 9, "sequence": 9, "epochs": 9}),
        (neox_exposure, {"num_tokens": 9, "tokens_read": 9}),
        (partial(pooled_epochs, samples=9), {"num_tokens": 9, "sequence": 9}),
        (olmo_windows, {"num_tokens": 9, "sequence": 9}),
        (nanotron_windows, {"num_tokens": 9, "sequence": 9}),
        (partial(olmo_steps, 9, 9), {"batch": 9}),
    ],
)
def test_each_number_that_is_not_positive_is_refused_by_its_name(function, numbers):
    function(**numbers)
    function(**dict.fromkeys(numbers, 1))
    for name in numbers:
        with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
            function(**{**numbers, name: 0})


def test_shares_are_told_in_per_cent_and_what_is_seen_more_often_only_where_it_is():
    assert str(Exposure(0.25, 0.5, 0.249, 0.001)) == (
        "25.0% of the documents never, 50.0% once, 24.9% twice, 0.1% more often"
    )
    assert str(Exposure(0.0009, 0.9991 - 2e-9, 0.0, 2e-9)) == (
        "under 0.1% of the documents never, 99.9% once, 0.0% twice, under 0.1% more often"
    )
    assert (
        str(Exposure(0.0, 1.0, 0.0, 1e-9)) == "0.0% of the documents never, 100.0% once, 0.0% twice"
    )


def test_a_mix_that_is_smaller_than_a_window_is_never_seen():
    nothing = Exposure(1.0, 0.0, 0.0, 0.0)
    assert olmo_exposure(7, 8, 2, 5) == olmo_exposure(15, 8, 2, 5) == nothing
    assert nanotron_exposure(8, 8, 5) == nothing
