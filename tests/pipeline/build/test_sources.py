"""A first ceiling lies in its key range, is as good as whole where an estimate says so, and never
falls.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mixtures.keys import KeyRange
from pipeline.build.sources import first_ceiling

RANGES = st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 2**64)).map(
    lambda pair: KeyRange(min(pair), max(*pair, min(pair) + 1))
)
TOKENS = st.integers(0, 10**13)


@given(RANGES, TOKENS, TOKENS)
def test_a_first_ceiling_lies_in_the_range_and_is_as_good_as_whole_where_all_is_asked(
    keys, asked, available
):
    ceiling = first_ceiling(keys, asked, available)
    assert keys.low <= ceiling <= keys.high
    if asked >= available:
        assert keys.high - ceiling <= keys.width >> 52  # what a float rounds away


@given(RANGES, TOKENS, TOKENS, TOKENS)
def test_who_asks_for_more_is_tokenized_at_least_as_far(keys, one, other, available):
    less, more = sorted((one, other))
    assert first_ceiling(keys, less, available) <= first_ceiling(keys, more, available)
