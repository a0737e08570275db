"""The rule of near-duplicates, by literal examples, and who stays of a cluster.
`pipeline.stages.near` is held to it elsewhere.
"""

from __future__ import annotations

import sys
import unicodedata
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mixtures.rules.near import PRESETS, NearRule, survivors
from mixtures.rules.near_text import permutation
from tests.mixtures.rules.naive import (
    band_keys_naive,
    fold,
    fold_point,
    shingle_hashes_naive,
    shingle_set_naive,
    shingle_texts,
    words_of,
)

WORDS = PRESETS["words"]
GOLDEN_SHINGLE = 0xD73B2D4FD7FA51E0
GOLDEN_PERMUTATION = (32572429, 1644830581)
GOLDEN_KEYS = (0x1B5CB591984616DD, 0xB56CBF1D143D8F28)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("The  Cat\r\n sat, on (the) MAT.", "the cat sat on the mat"),
        (
            "no\u00a0break\u202fthin\u3000ideographic\u2028line\u2029paragraph\u1680ogham",
            "no break thin ideographic line paragraph ogham",
        ),
        ("snake_case well-known it’s", "snake case well known it s"),
        ("co\u00adoperate zero\u200bwidth \ufeffmark", "cooperate zerowidth mark"),
        ("Café CAFE\u0301 cafe", "cafe cafe cafe"),
        ("Straße ﬁn Ｆｕｌｌ \u1e9e", "strasse fin full ss"),
        ("in 2024, 3.14 and 1,000 A4 x10y22 1²3", "in 2024 3 14 and 1 000 a4 x10y22 1 3"),
        ("½ cup", "1 2 cup"),
        ("ricin¹ a\ud800b a\x00b", "ricin a b a b"),
        ("٣٤ ΟΔΟΣ", "٣٤ οδοσ"),
        (" \u00a0 __ ", ""),
    ],
)
def test_folded_form(text, folded):
    assert fold(text) == folded


def test_every_unicode_separator_and_control_separates_words():
    found = [
        chr(point)
        for point in range(sys.maxunicode + 1)
        if unicodedata.category(chr(point)) in ("Zs", "Zl", "Zp", "Cc")
    ]
    assert len(found) > 80
    assert all(fold(f"a{character}b") == "a b" for character in found)


@given(st.text(), st.text())
def test_folding_looks_at_no_neighbour_but_for_runs(left, right):
    assert fold(f"{left} {right}") == " ".join(part for part in (fold(left), fold(right)) if part)


@given(st.text())
def test_folding_a_folded_text_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


def test_a_document_with_fewer_words_than_a_shingle_is_exempt():
    assert band_keys_naive("one two, three four", WORDS) is None
    assert len(band_keys_naive("one two three four five", WORDS) or []) == 14
    assert shingle_texts("one two three four five six", "words", 5) == {
        "one two three four five",
        "two three four five six",
    }
    assert shingle_texts("Ab  c!", "characters", 3) == {"ab ", "b c"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain words only", ["plain", "words", "only"]),
        ("今天天气好", ["今天天气", "天天气好", "天气好", "气好", "好"]),
        ("用Python写 程序", ["用", "python", "写", "程序", "序"]),
        ("カナと漢字。", ["カナと漢", "ナと漢字", "と漢字", "漢字", "字"]),
        ("ภาษาไทย 4.2", ["ภาษา", "าษาไ", "ษาไท", "าไทย", "ไทย", "ทย", "ย", "4", "2"]),
        ("हिन्दी में लिखा", ["हिनदी", "में", "लिखा"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_words_follow_the_script(text, words):
    found = words_of(fold(text))
    assert [unicodedata.normalize("NFC", word) for word in found] == words


def test_numbers_count():
    first, second = (f"add {one} and {one + 5} apples to the basket" for one in (3, 4))
    assert fold(first) != fold(second)
    assert shingle_texts(first, "words", 3) != shingle_texts(second, "words", 3)


def test_verification_compares_texts_as_they_are():
    text = "The old mill stood by the river in 1904."
    assert shingle_set_naive(text, "words", 5) == shingle_set_naive(f"  {text}\n", "words", 5)
    for other in (text.upper(), text.replace("1904", "1905"), text.rstrip("."), f"{text}\u00ad"):
        assert shingle_set_naive(text, "words", 5) != shingle_set_naive(other, "words", 5)
    assert len(shingle_set_naive("too short", "words", 5)) == 1


@pytest.mark.parametrize("name", ["words", "zyda", "nemo-curator-0"])
def test_what_is_found_of_texts_without_spaces(name):
    assert PRESETS[name].found(0.01, PRESETS[name].unspaced_span) > 0.9


@pytest.mark.parametrize("name", ["characters", "zyda-2"])
def test_long_shingles_of_characters_miss_texts_without_spaces(name):
    assert PRESETS[name].found(0.01, PRESETS[name].unspaced_span) < 0.1


def test_signatures_are_those_of_this_format():
    """Golden: another figure here means other clusters, so RULE_FORMAT must be raised."""
    assert shingle_hashes_naive("the quick brown fox jumps", "words", 5) == [GOLDEN_SHINGLE]
    assert permutation(0) == GOLDEN_PERMUTATION
    keys = band_keys_naive("The quick brown fox jumps over the lazy dog.", WORDS)
    assert keys is not None
    assert (keys[0], keys[13]) == GOLDEN_KEYS


def test_every_permutation_is_one_to_one():
    assert all(
        permutation(number)[0] % 2 == 1 and max(permutation(number)) < 1 << 32
        for number in range(1000)
    )
    assert len({permutation(number) for number in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"verify": "0"}, "not a Jaccard similarity"),
        ({"verify": "1.01"}, "not a Jaccard similarity"),
        ({"verify": "0,8"}, "plain decimal"),
        ({"shingle": 0}, "greater than or equal to 1"),
        ({"shingle": 2000}, "too long a shingle"),
        ({"bands": 200, "rows": 200}, "40,000 hashes"),
        ({"unit": "bytes"}, "words"),
        ({"seed": 1}, "Extra inputs"),
    ],
)
def test_a_rule_that_cannot_be_carried_out_is_refused(fields, fault):
    with pytest.raises(ValidationError, match=fault):
        NearRule.model_validate({"unit": "words", "shingle": 5, "bands": 14, "rows": 8, **fields})


def test_identity_is_of_what_decides():
    plain, exact, spelled = (
        WORDS.model_copy(update={"verify": verify})
        for verify in (None, Decimal("0.8"), Decimal("0.80"))
    )
    assert plain.signature_identity() == exact.signature_identity()
    assert plain.identity() != exact.identity() == spelled.identity()
    assert PRESETS["fineweb"].identity() == WORDS.identity()
    assert len({rule.signature_identity() for rule in PRESETS.values()}) == len(PRESETS) - 1


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.decimals("0.000001", 1, places=6))
def test_the_threshold_is_exact(shared, more, verify):
    rule = WORDS.model_copy(update={"verify": verify})
    assert rule.accepts(shared, shared + more) == (
        Fraction(shared, shared + more) >= Fraction(verify)
    )


def test_a_pair_at_the_threshold_itself_is_linked():
    rule = WORDS.model_copy(update={"verify": Decimal("0.7")})
    assert rule.accepts(7, 10)
    assert not rule.accepts(6_999_999, 10_000_000)


def test_probability_is_the_published_one():
    assert WORDS.probability(0.8) == pytest.approx(
        0.924, abs=0.001
    )  # datatrove's docstring of MinhashConfig
    assert PRESETS["zyda-2"].probability(0.85) == pytest.approx(0.46, abs=0.01)


DOCUMENTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**64 - 1)), max_size=30
)


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_the_survivor_has_the_first_source_then_the_smallest_key_in_any_order(documents, random):
    documents = [(*document, number) for number, document in enumerate(documents)]
    random.shuffle(documents)
    rows = np.array(documents, object).reshape(-1, 4)
    kept = survivors(
        rows[:, 0].astype(np.int64),
        rows[:, 1].astype(np.int64),
        rows[:, 2].astype(np.uint64),
        rows[:, [3, 3]].astype(np.uint64),
    )
    for row, document in enumerate(documents):
        best = min(
            (other for other in documents if other[0] == document[0]), key=lambda other: other[1:]
        )
        assert documents[kept[row]] == best


def test_a_code_point_of_the_forms_is_a_word_character_or_a_space():
    forms = {fold_point(point) for point in range(0x20000)}
    assert all(fold_point(ord(character)) == character for form in forms for character in form)
