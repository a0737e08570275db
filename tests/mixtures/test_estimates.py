"""A supply's interval is honest: the truth lies in it about as often as it says, whatever the files
are like.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.estimates import (
    FilePart,
    SupplyEstimate,
    TokenizedSample,
    estimate_supply,
    half_width,
    share_interval,
    student,
)
from mixtures.keys import ALL_KEYS, KEY_SPACE, KeyRange

TRIALS = 120
EMPTY = TokenizedSample(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))


def all_left(draw: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    return np.full(len(lengths), 1.0)


def half_left(draw: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    return draw.random(len(lengths)) < 0.5


def long_left(draw: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    return lengths > 500


def files_differ(draw: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    return draw.random(len(lengths)) < draw.random()


def made(
    draw: np.random.Generator, files: int, read: int, share: float, tokenized: float, steps=all_left
) -> tuple[SupplyEstimate, int, int]:
    """The estimate of a made-up source, its true tokens and documents: files differ in size,
    density, kind of text and length of it. steps: which documents quality steps leave.
    """
    parts, sampled, tokens, documents, num_bytes = [], [], 0, 0, 0
    for number in range(files):
        lengths = draw.lognormal(6 + draw.normal(0, 0.2), 0.8, 60 + int(draw.integers(0, 60)))
        counted = (
            np.ceil(
                lengths / draw.lognormal(1.4, 0.15, len(lengths)) / math.exp(draw.normal(0, 0.05))
            )
            + 1
        )
        left = steps(draw, lengths)
        counted *= left
        packed = np.ceil(
            lengths / math.exp(draw.normal(1, 0.1)) * draw.lognormal(0, 0.1, len(lengths))
        )
        tokens, documents, num_bytes = (
            tokens + int(counted.sum()),
            documents + int(left.sum()),
            num_bytes + packed.sum(),
        )
        if number < read:
            seen = math.ceil(share * len(lengths))
            bounds = np.linspace(0, seen, 9).astype(int)
            stretches = [slice(begin, end) for begin, end in pairwise(bounds.tolist())]
            chunks = np.array(
                [(packed[at].sum(), lengths[at].sum(), at.stop - at.start) for at in stretches]
            )
            part = FilePart(packed.sum(), chunks)
            parts.append(part)
            chosen = np.flatnonzero(draw.random(seen) < tokenized)
            sampled.append(
                np.stack(
                    [
                        lengths[chosen],
                        lengths[chosen] * left[chosen],
                        counted[chosen],
                        np.full(len(chosen), 1 / part.share),
                        np.full(len(chosen), number),
                    ]
                )
            )
    chars, text_bytes, num_tokens, weights, numbers = np.concatenate(sampled, axis=1)
    sample = TokenizedSample(chars, text_bytes, num_tokens, weights, numbers.astype(np.int64))
    return estimate_supply(parts, files, num_bytes, sample, "probe"), tokens, documents


@pytest.mark.parametrize(
    ("files", "read", "share", "tokenized"),
    [
        (30, 6, 1, 1),
        (30, 6, 0.3, 0.1),
        (6, 6, 0.3, 1),
        (6, 6, 1, 0.1),
        (100, 8, 0.4, 0.2),
        (2, 2, 0.5, 0.2),
    ],
)
def test_the_true_supply_lies_in_the_interval_nearly_as_often_as_it_says(
    files, read, share, tokenized
):
    draw = np.random.default_rng(files * 1_000 + read)
    hits = widths = 0.0
    for _ in range(TRIALS):
        found, tokens, _ = made(draw, files, read, share, tokenized)
        low, high = found.bounds
        hits += low <= tokens <= high
        widths += (high - low) / tokens
    assert hits / TRIALS > 0.88  # 95% is meant; of six files that differ much it is nearer to 91%
    assert widths / TRIALS < 0.5, "an interval that says nothing is always right"


@pytest.mark.parametrize("steps", [half_left, long_left, files_differ])
@pytest.mark.parametrize(
    ("files", "read", "share", "tokenized"), [(30, 6, 1, 1), (6, 6, 1, 0.1), (100, 8, 0.4, 0.2)]
)
def test_it_does_so_where_quality_steps_drop_documents(steps, files, read, share, tokenized):
    draw = np.random.default_rng(files * 1_000 + read)
    hits = 0
    for _ in range(TRIALS):
        found, tokens, _ = made(draw, files, read, share, tokenized, steps)
        low, high = found.bounds
        hits += low <= tokens <= high
    assert hits / TRIALS > 0.88


def test_none_left_of_a_sample_is_not_none_of_a_source():
    empty = np.zeros(50)
    part = FilePart(1_000, np.array([[1_000.0, 5_000.0, 100.0]]))
    sample = TokenizedSample(
        np.full(50, 50.0), empty, empty, np.full(50, 1.0), np.zeros(50, np.int64)
    )
    found = estimate_supply([part], 1, 1_000, sample, "probe")
    assert (found.documents, found.tokens, found.low) == (0, 0, 0)
    assert 100 < found.bounds[1] < 1_000


@pytest.mark.parametrize("steps", [all_left, half_left])
def test_what_was_read_and_tokenized_whole_is_known_exactly(steps):
    found, tokens, documents = made(np.random.default_rng(3), 5, 5, 1, 1, steps)
    assert (found.low, found.tokens, found.high, found.documents) == (
        tokens,
        tokens,
        tokens,
        documents,
    )


def test_more_reading_narrows_the_interval():
    def width(read: int, tokenized: float) -> float:
        found = [made(np.random.default_rng(seed), 40, read, 1, tokenized)[0] for seed in range(20)]
        return float(np.median([(each.bounds[1] - each.bounds[0]) / each.tokens for each in found]))

    assert width(20, 1) < width(5, 1)
    assert width(20, 0.5) < width(20, 0.02)


def test_one_file_of_several_tells_nothing_of_the_others():
    found, *_ = made(np.random.default_rng(1), 9, 1, 1, 1)
    assert (found.low, found.high) == (None, None)
    assert found.bounds == (found.tokens, found.tokens)


def test_an_empty_source_holds_nothing():
    found = estimate_supply([FilePart(10, np.array([[10.0, 0.0, 0.0]]))], 1, 10, EMPTY, "probe")
    assert (found.documents, found.tokens, found.bounds) == (0, 0, (0, 0))


def test_files_that_were_not_read_may_hold_what_those_that_were_do_not():
    part = FilePart(10, np.array([[10.0, 0.0, 0.0]]))
    found = estimate_supply([part] * 6, 1_000, 10**6, EMPTY, "probe")
    assert (found.tokens, found.low) == (0, 0)
    assert found.bounds[1] > 10**5
    assert estimate_supply([part] * 6, 6, 60, EMPTY, "probe").bounds == (0, 0)


def test_which_documents_fall_into_a_key_range_is_chance_and_widens_the_interval():
    draw, hits = np.random.default_rng(5), 0
    lengths = draw.lognormal(6, 1.2, 3_000).astype(int)
    whole = SupplyEstimate(
        3_000,
        int(lengths.sum()),
        "probe",
        int(lengths.sum()),
        int(lengths.sum()),
        0,
        int((lengths**2).sum()),
    )
    keys = KeyRange(KEY_SPACE // 10, KEY_SPACE * 3 // 10)
    low, high = whole.within(keys).bounds
    for _ in range(TRIALS):
        places = draw.random(len(lengths))
        hits += low <= int(lengths[(places >= 0.1) & (places < 0.3)].sum()) <= high
    assert hits / TRIALS > 0.88
    assert whole.within(ALL_KEYS).bounds == whole.bounds


def test_a_figure_without_an_interval_has_none_in_a_key_range():
    found = SupplyEstimate(10, 1_000, "published").within(KeyRange(0, KEY_SPACE // 2))
    assert (found.documents, found.tokens, found.low, found.high) == (5, 500, None, None)


def test_quantiles_of_student_are_those_of_the_tables():
    known = {1: 12.706, 2: 4.303, 5: 2.571, 6: 2.447, 7: 2.365, 10: 2.228, 30: 2.042, 1_000: 1.962}
    for freedom, value in known.items():
        assert student(freedom) == pytest.approx(value, abs=0.012), freedom


def test_parts_that_are_exact_add_nothing_to_an_interval():
    assert half_width([(0.0, 0), (0.0, 0)]) == 0
    assert half_width([(4.0, 7), (0.0, 0)]) == pytest.approx(2 * student(7))
    assert half_width([(4.0, 7), (math.inf, 1)]) == math.inf


@given(st.floats(0, 1), st.floats(0.5, 10**6))
def test_the_interval_of_a_share_holds_it_and_is_never_a_point(share, effective):
    low, high = share_interval(share, effective)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    assert high - low > 0


def test_nothing_found_among_many_is_less_sure_than_among_more():
    assert share_interval(0, 100)[1] == pytest.approx(0.037, abs=0.001)
    assert share_interval(0, 10_000)[1] < share_interval(0, 100)[1]
    assert share_interval(0.3, 0) == (0, 1)
