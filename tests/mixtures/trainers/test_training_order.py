"""The orders of trainers against their own loops, transcribed
(tests.mixtures.trainers.original_order); tests/readers asks megatron-core itself.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.trainers import training_order as trainer_order
from mixtures.trainers.names import ORDERS, OrderName
from mixtures.trainers.training_order import OrderRequest, TrainerOrder
from tests.mixtures.trainers import original_order
from tests.mixtures.trainers.original_order import Token

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 1)
SEEDS = st.sampled_from([0, 1, 1234, (1 << 32) - 1])
SMALL = st.integers(1, 9)


def order(
    trainer: OrderName, sizes: list[int], sequence: int, asked: int, seed: int
) -> TrainerOrder:
    return TrainerOrder(OrderRequest(trainer, sequence, asked, seed), np.array(sizes, np.int32))


def texts(found: TrainerOrder) -> list[list[Token]]:
    """What each sample of an order reads and, at its end, its last label."""
    read: list[list[Token]] = [[] for _ in range(found.samples)]
    spans = found.spans(0, found.samples)
    for sample, position, offset, count in zip(
        spans.reads, spans.positions, spans.offsets, spans.num_tokens, strict=True
    ):
        read[sample] += [(int(position), int(token)) for token in range(offset, offset + count)]
    return [[*tokens, found.label(sample)] for sample, tokens in enumerate(read)]


@given(SIZES, SMALL, st.integers(1, 40), SEEDS)
def test_neox_reads_what_its_own_loops_say(sizes, sequence, asked, seed):
    assert texts(order("neox", sizes, sequence, asked, seed)) == original_order.neox(
        sizes, sequence, asked, seed
    )


@given(SIZES, SMALL, st.integers(1, 40), SEEDS)
def test_megatron_reads_what_its_own_loops_say(sizes, sequence, asked, seed):
    assert texts(order("megatron", sizes, sequence, asked, seed)) == original_order.megatron(
        sizes, sequence, asked, seed
    )


def test_the_examples_hold_one_epoch_pooled_epochs_and_a_separate_one():
    """Without this the comparisons could all be of one kind."""
    sizes, kinds = [5, 3, 9, 7], set()
    for asked in range(1, 40):
        found = order("megatron", sizes, 4, asked, 1)
        before = (found.epochs - 1) * 24 // 4
        kinds.add(
            "one"
            if found.epochs == 1
            else "separate"
            if max(found._shuffled[:before]) < before
            else "pooled"
        )
    assert kinds == {"one", "separate", "pooled"}


@given(SIZES, SMALL, st.integers(1, 40))
def test_file_order_reads_the_mix_once_as_it_lies(sizes, sequence, asked):
    stream = [(position, token) for position, size in enumerate(sizes) for token in range(size)]
    samples = [stream[at : at + sequence + 1] for at in range(0, len(stream) - sequence, sequence)]
    assert texts(order("file-order", sizes, sequence, asked, 0)) == samples


@given(st.sampled_from(ORDERS), SIZES, SMALL, st.integers(1, 40), SEEDS)
def test_the_tokens_read_of_each_document_are_those_of_its_spans(
    trainer, sizes, sequence, asked, seed
):
    found = order(trainer, sizes, sequence, asked, seed)
    first, last = found.samples // 3, found.samples
    read = Counter(position for text in texts(found)[first:] for position, _ in text[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_order, "_BLOCK_SAMPLES", 2)
        assert found.tokens_read(first, last).tolist() == [
            read[position] for position in range(len(sizes))
        ]
    assert found.tokens_read(first, last).sum() == (last - first) * sequence


@given(SIZES, SMALL, SEEDS)
def test_an_epoch_reads_no_token_twice(sizes, sequence, seed):
    for trainer in ORDERS:
        tokens = [
            token
            for text in texts(order(trainer, sizes, sequence, (sum(sizes) - 1) // sequence, seed))
            for token in text[:-1]
        ]
        assert len(set(tokens)) == len(tokens)


def test_the_published_steps_open_two_epochs_of_the_annealing_mix_and_one_of_pretraining():
    for tokens, steps, epochs in ((50_000_000_000, 11_921, 2), (500_000_000_000, 119_209, 1)):
        exact = steps * 2048 * 2048 + 1 <= tokens
        assert (
            OrderRequest("neox", 2048, steps * 2048, 1234).epochs(tokens)
            == epochs
            == (1 if exact else 2)
        )


def test_more_documents_than_can_be_numbered_are_refused_before_anything_is_allocated():
    for trainer in ("neox", "megatron"):
        with pytest.raises(ValueError, match="can be numbered"):
            order(trainer, [3, 5], 1 << 40, 1 << 40, 1)


@pytest.mark.parametrize(
    ("sizes", "sequence", "most"),
    [([3, 3, 3, 3], 4, "4 documents and 2 samples"), ([9], 1, "1 documents and 8 samples")],
)
def test_as_many_documents_or_samples_as_int32_numbers_are_taken_and_no_more(
    monkeypatch, sizes, sequence, most
):
    assert np.iinfo(np.int32).max == trainer_order.MAX_NUMBERED
    limit = max(len(sizes), (sum(sizes) - 1) // sequence)
    monkeypatch.setattr(trainer_order, "MAX_NUMBERED", limit)
    assert len(order("file-order", sizes, sequence, 1, 0).spans(0, 1).reads)
    monkeypatch.setattr(trainer_order, "MAX_NUMBERED", limit - 1)
    with pytest.raises(ValueError, match=f"1 epochs hold {most}, {limit - 1} of each"):
        order("file-order", sizes, sequence, 1, 0)
