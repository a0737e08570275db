"""Windows that documents touch are counted once each, however the documents come in parts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.mix.judged import WINDOW_TOKENS
from mixtures.mix.slots import windows_touched

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
