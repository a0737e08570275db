"""A sample's lengths stand for those of many more documents: as many as there are, of lengths
between those that were met, and as many of them meet as would in truth.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.plan.sampled import Cells, SampledDocuments
from mixtures.stream.arms.donors import EXACT, assign

DOCUMENTS = st.lists(
    st.tuples(st.integers(1, 300), st.floats(0.5, 8), st.booleans()), min_size=1, max_size=40
)


def sampled(lengths: list[int], weights: list[float]) -> SampledDocuments:
    return SampledDocuments(np.array(lengths, np.int64), np.array(weights, np.float64), {})


@given(DOCUMENTS, st.integers(1, 5_000), st.integers(0, 2**32 - 1))
def test_as_many_documents_are_drawn_as_there_are_and_none_of_a_length_far_from_all(
    documents, count, seed
):
    lengths, weights, flags = (list(column) for column in zip(*documents, strict=True))
    sample, chances = sampled(lengths, weights), np.array(flags, np.float64)
    if not any(flags):
        chances += 1
    drawn = sample.drawn(chances, count, seed)
    assert drawn.documents.sum() == sum(drawn.counts.values()) == count
    assert drawn.counts == sample.drawn(chances, count, seed).counts
    span = max(lengths) - min(lengths)
    assert max(min(lengths) - span, 1) <= drawn.num_tokens.min()
    assert drawn.num_tokens.max() <= max(lengths) + span
    chosen = {length for length, chance in zip(lengths, chances, strict=True) if chance}
    assert set(drawn.sampled.tolist()) <= chosen
    documents_, tokens = drawn.share(np.unique(lengths), np.ones(len(set(lengths))))
    assert documents_ == count
    assert tokens == sum(length * number for length, number in drawn.counts.items())


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=50, unique=True))
def test_each_length_of_a_sample_lies_in_its_own_cell(lengths):
    ordered = np.array(sorted(lengths), np.int64)
    cells = Cells.between(ordered, np.ones(len(ordered)))
    assert (cells.bounds[:-1] <= ordered).all()
    assert (ordered < cells.bounds[1:]).all()
    low, high = int(cells.bounds[0]), int(cells.bounds[-1])
    assert cells.density(low, high).sum() == pytest.approx(len(ordered))
    assert cells.spread(cells.density(low, high)).sum() == pytest.approx(len(ordered))


@pytest.mark.parametrize(("slots", "donors"), [(20_000, 200_000), (20_000, 40_000), (2_000, 9_000)])
def test_as_many_slots_find_a_donor_of_their_length_as_in_truth(slots, donors):
    """By 1,500 of 220,000 documents whose lengths spread over three orders of magnitude."""
    draw = np.random.default_rng(5)
    lengths = np.maximum(draw.lognormal(6, 1, 230_000), 1).astype(np.int64)
    sample = SampledDocuments(lengths[-1_500:], np.ones(1_500), {})
    population = lengths[:slots], lengths[slots : slots + donors]
    guess = [
        np.repeat(one.num_tokens, one.documents)
        for number, count in enumerate((slots, donors))
        for one in [sample.drawn(np.ones(1_500), count, number)]
    ]
    exact, cut = [], []
    for taken, unused in (population, guess):
        pieces = assign(taken, Counter(unused.tolist()))
        exact.append((pieces.kind == EXACT).sum() / slots)
        cut.append(pieces.kept[pieces.kept < pieces.length].sum() / taken.sum())
    assert exact[1] == pytest.approx(exact[0], abs=0.02)
    assert cut[1] == pytest.approx(cut[0], abs=0.05)


def test_few_flagged_documents_take_the_shape_of_all():
    lengths = list(range(100, 200))
    sample = sampled([*lengths, 10_000], [1.0] * 100 + [0.0001])
    alone = sample.drawn(np.array([*[0.0] * 50, 1.0, *[0.0] * 50]), 10_000, 1)
    assert alone.num_tokens[alone.documents > 0].min() < 110
    assert 0 < alone.documents[alone.num_tokens > 250].sum() < 300, "1% are longer than 199"
