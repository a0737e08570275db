"""What is looked up among the order keys of a mix."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.audit.tables.repeats import is_among

KEYS = st.lists(st.sampled_from([0, 1, 2, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]), max_size=8)


@given(KEYS, KEYS)
def test_keys_are_found_among_others_as_in_a_set(values, others):
    found = is_among(np.array(values, np.uint64), np.sort(np.array(others, np.uint64)))
    assert found.tolist() == [value in others for value in values]
