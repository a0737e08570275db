"""What is asked of all texts that are tokenized in one call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.segments import VERIFY_CHARS, VERIFY_EVERY, drawn, holding

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30, unique=True)


@given(
    st.sampled_from(["<|endoftext|>", "</s>", "EOD", "[SEP]", "é|", "|"]),
    st.lists(st.text("<|endoftx>/sEODéł☃ [P", max_size=20), max_size=8),
    st.data(),
)
def test_texts_that_hold_a_string_are_found_whatever_its_letters(special, texts, data):
    for at in range(len(texts)):
        if data.draw(st.booleans()):
            texts[at] += special + data.draw(st.sampled_from(["", "x", "☃"]))
    assert holding(special, texts) == [at for at, text in enumerate(texts) if special in text]


@given(KEYS, st.data())
def test_one_document_in_a_thousand_is_verified_and_at_least_a_short_one(keys, data):
    texts = ["x" * data.draw(st.sampled_from([0, VERIFY_CHARS, VERIFY_CHARS + 1])) for _ in keys]
    some = [at for at, key in enumerate(keys) if key % VERIFY_EVERY == 0]
    short = [key for key, text in zip(keys, texts, strict=True) if len(text) <= VERIFY_CHARS]
    assert drawn(keys, texts) == (some or [keys.index(key) for key in sorted(short)[:1]])
    assert drawn([*keys, 3 * VERIFY_EVERY], [*texts, "x"]) == [*some, len(keys)]
