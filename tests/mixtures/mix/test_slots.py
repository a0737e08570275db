"""Windows that documents touch are counted once each, however the documents come in parts, and
what is masked of stretches is counted token by token.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.mix.judged.arms import WINDOW_TOKENS
from mixtures.mix.slots import MaskRuns, mask_shares, windows_touched

DOCUMENTS = st.lists(st.tuples(st.integers(1, 5_000), st.booleans()), max_size=40)


@given(DOCUMENTS, st.integers(0, 40))
def test_a_window_is_counted_once(documents: list[tuple[int, bool]], split: int) -> None:
    starts = np.cumsum([0, *(length for length, _ in documents)])
    chosen = [at for at, (_, mine) in enumerate(documents) if mine]
    first_token = np.array([starts[at] for at in chosen], np.int64)
    num_tokens = np.array([documents[at][0] for at in chosen], np.int64)
    touched = {
        token // WINDOW_TOKENS
        for first, count in zip(first_token.tolist(), num_tokens.tolist(), strict=True)
        for token in range(first, first + count)
    }
    whole, last = windows_touched(first_token, num_tokens)
    assert (whole, last) == (len(touched), max(touched, default=-1))
    one, middle = windows_touched(first_token[:split], num_tokens[:split])
    other, end = windows_touched(first_token[split:], num_tokens[split:], middle)
    assert (one + other, end) == (whole, last)


@given(DOCUMENTS, st.lists(st.integers(0, 250_000), max_size=6))
def test_masked_tokens_before_any_other_are_counted(documents, asked) -> None:
    ends = np.cumsum([length for length, _ in documents], dtype=np.int64)
    chosen = np.array([mine for _, mine in documents], np.bool_)
    lengths = np.array([length for length, _ in documents], np.int64)[chosen]
    masked = np.zeros(250_000, np.bool_)
    for end, length in zip(ends[chosen].tolist(), lengths.tolist(), strict=True):
        masked[end - length : end] = True
    runs = MaskRuns(ends[chosen] - lengths, lengths)
    tokens = np.array(asked, np.int64)
    assert runs.before(tokens).tolist() == [int(masked[:token].sum()) for token in asked]
    low, high = sorted([*asked, 0, 9_000])[:2]
    here = np.zeros(high - low, np.bool_)
    for start, count in runs.within(low, high):
        assert count > 0
        here[start : start + count] = True
    np.testing.assert_array_equal(here, masked[low:high])
    total = int(ends[-1]) if len(ends) else 0
    windows = [masked[at : min(at + 2048, total)] for at in range(0, total, 2048)]
    counts = sorted(int(window.sum()) for window in windows)
    shares = runs.window_shares(total)
    assert shares.whole == sum(bool(window.all()) for window in windows)
    if counts:
        assert (shares.min, shares.max) == (counts[0], counts[-1])
        assert sum(count <= shares.median for count in counts) * 2 >= len(counts)


def test_percentiles_are_the_nearest_rank() -> None:
    masked, size = np.arange(200, dtype=np.int64)[::-1], np.full(200, 199)
    shares = mask_shares(masked, size).as_json()
    assert shares == {"min": 0, "median": 99, "p99": 197, "max": 199, "whole": 1}
