"""Where terms stand in a text: by literal examples, and by what a place must be. Without its
characters the term is gone, and none of them can be spared.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.rules import term_places as term_places_of
from mixtures.rules.term_places import folded_words, term_places
from mixtures.rules.terms import MODES, Mode, TermList, matches_naive
from mixtures.rules.word_characters import fold_words

TERMS = ["ab", "ab ba", "b", "\u00e4b", "1", "tm", "i\u0307"]
TEXTS = st.lists(
    st.sampled_from(
        [
            *("ab", "a", "b", "AB", " ", "  ", "\r\n", "-", "\u00ad", "\u200d", "\ufe0f", "\u034f"),
            *("\uff21", "\u00c4", "A\u0308", "\u0308", "\u0338", "=", "\u00b9", "1", "\u00bd"),
            *("\u2122", "\u0130", "\u0130b", "\u03a3", "\ufb01", "\u1100\u1161", "\u0378", "\x00"),
            *("\U0001f9ec", "\U0001f468\u200d\U0001f469", "\u00b9\u200d\u00b2"),
        ]
    ),
    max_size=9,
).map("".join) | st.text("abAB1 -_\n", max_size=12)


def found(text: str, term: str, mode: Mode) -> list[str]:
    """What stands at the places of a term."""
    (needle,) = TermList((term,), mode).needles
    return [text[start:end] for start, end in term_places(text, [needle], mode)]


@pytest.mark.parametrize(
    ("text", "term", "places"),
    [
        ("the Lassa\r\n fever, LASSA-FEVER", "lassa fever", ["Lassa\r\n fever", "LASSA-FEVER"]),
        ("Las\u00adsa\u200b fever\u00ad.", "Lassa fever", ["Las\u00adsa\u200b fever"]),
        ("\uff2casſa fever\u00b9\u00b2", "lassa fever", ["\uff2casſa fever"]),
        ("ricin\u00b9\u00b2 12", "12", ["\u00b9\u00b2", "12"]),
        ("one \u00bd cup", "2", ["\u00bd"]),
        ("Ricin\u2122", "ricin", ["Ricin"]),
        ("ricin ricin ricin", "ricin ricin", ["ricin ricin", "ricin ricin"]),
        ("ricine, pricin", "ricin", []),
    ],
)
def test_a_place_in_words_reaches_from_the_first_word_to_the_last(text, term, places):
    assert found(text, term, "words") == places


@pytest.mark.parametrize(
    ("text", "term", "places"),
    [
        ("Pricing RICIN", "ricin", ["ricin", "RICIN"]),
        ("\u0130\u0130ricin \u0130", "ricin", ["ricin"]),
        ("x\u0130x", "\u0307", ["\u0130"]),
        ("aaaa", "aa", ["aa", "aa", "aa"]),
        ("\u039f\u0394\u039f\u03a3 \u03a3", "\u03c2", ["\u03a3"]),
    ],
)
def test_a_place_in_published_is_what_becomes_the_term_in_lower_case(text, term, places):
    assert found(text, term, "published") == places


@given(text=TEXTS | st.text(max_size=8))
def test_words_with_places_are_the_folded_words(text):
    words = list(folded_words(text))
    assert " ".join(word for word, _, _ in words) == fold_words(text)
    assert [start for _, start, _ in words] == sorted(start for _, start, _ in words)


@given(
    text=st.text(st.sampled_from("abAB1 -\u00c4\u00b5\u00df\u0130\u2019\u2122\u0308"), max_size=9)
)
def test_a_text_of_which_each_character_folds_by_itself_has_the_same_places(text):
    needles = list(TermList(tuple(TERMS), "words").needles)
    settled = term_places_of._settled(text)
    slow = list(term_places_of._word_places(text, needles))
    assert settled is None or list(term_places_of._found(settled, needles)) == slow
    assert (settled is None) == bool({"\u00df", "\u0130", "\u0308"} & set(text))


@pytest.mark.parametrize("mode", MODES)
@given(text=TEXTS)
def test_each_term_that_a_text_holds_has_a_place_and_no_other(mode, text):
    for term in TERMS:
        assert bool(found(text, term, mode)) == bool(matches_naive(text, [term], mode))


@pytest.mark.parametrize("mode", MODES)
@given(text=TEXTS)
def test_without_the_characters_of_its_places_a_text_holds_no_term(mode, text):
    for term in TERMS:
        (needle,) = TermList((term,), mode).needles
        left = list(text)
        for start, end in term_places(text, [needle], mode):
            left[start:end] = ["\n"] * (end - start)
        assert not matches_naive("".join(left), [term], mode)


@pytest.mark.parametrize("mode", MODES)
@given(text=TEXTS)
def test_a_place_holds_its_term_and_no_character_too_many(mode, text):
    for term in TERMS:
        for place in found(text, term, mode):
            # of one alone a final sigma is none
            assert matches_naive(place, [term], mode)
            assert not matches_naive(place[1:], [term], mode) or place[1:] == place[:-1]
            assert not matches_naive(place[:-1], [term], mode) or place[1:] == place[:-1]
