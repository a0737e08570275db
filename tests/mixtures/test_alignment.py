"""A place in a content is led back to the characters of the text that it was made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.keys import content_of
from mixtures.keys.alignment import places_in_text

PIECES = st.sampled_from(
    [
        *("a", "e\u0301", "\u0301", "\u0323\u0301", "\u212b", "\u2126", "\u1100\u1161\u11a8", " "),
        *("\uac00", "\u11a8", "\u09c7\u09be", "\u0f71\u0f72", "\u0344", "\ufb1d", "=\u0338", "\n"),
        *("\u0378\u0301", "\u0898", "\u304b\u3099", "\U0001d157\U0001d165", "\U0002f800", "\u05b4"),
    ]
)


@pytest.mark.parametrize(
    ("text", "content", "here"),
    [
        ("caf\u00e9 au lait", "caf\u00e9", "caf\u00e9"),
        ("un cafe\u0301!", "caf\u00e9", "cafe\u0301"),
        ("un cafe\u0301!", "caf", "caf"),
        ("un cafe\u0301!", "\u00e9!", "e\u0301!"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c", "\u1112\u1161\u11ab"),
        ("1 \u212b, 2 \u212b, 3", "2 \u00c5,", "2 \u212b,"),
        ("q\u0307\u0323x", "q\u0323", "q\u0307\u0323"),
    ],
)
def test_a_place_is_led_back_to_its_characters(text, content, here):
    start = content_of(text).index(content)
    ((low, high),) = places_in_text(text, [(start, start + len(content))])
    assert text[low:high] == here


@given(pieces=st.lists(PIECES | st.text(max_size=3), max_size=8), data=st.data())
def test_what_a_place_is_led_back_to_has_the_place_in_its_content(pieces, data):
    text = "".join(pieces)
    content = content_of(text)
    if not content:
        return
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start + 1, len(content)))
    ((low, high),) = places_in_text(text, [(start, end)])
    # it is cut where nothing composes, and what is left out on either side stays what it was
    before, after = content_of(text[:low]), content_of(text[high:])
    assert before + content_of(text[low:high]) + after == content
    assert len(before) <= start
    assert len(content) - len(after) >= end
    ((low, high),) = places_in_text(text, [(0, len(content))])
    assert (low, high) == (0, len(text))


@given(text=st.text(max_size=12))
def test_a_place_in_a_text_of_form_c_is_itself(text):
    content = content_of(text)
    places = [(at, at + 1) for at in range(len(content))]
    assert places_in_text(content, places) == places
