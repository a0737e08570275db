"""The rule of a blocklist, by literal examples: what is one term, and what a document holds.
`pipeline` is held to it elsewhere.
"""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from mixtures.rules.terms import TermList, content_hash, matches_naive, normalise, parse_blocklist
from mixtures.rules.word_characters import fold_words, leads_with_combining, separators
from tests.mixtures.rules.naive import count_distinct_naive


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("the Lassa fever virus.", "plain"),
        ("LASSA FEVER VIRUS", "case"),
        ("Lassa\u00a0fever\u202fvirus", "no-break spaces"),
        ("Lassa\r\n   fever\tvirus", "line wraps"),
        ("Lassa-fever\u2010virus\u2014", "hyphens"),
        ("lassa_fever_virus", "underscores"),
        ("Las\u00adsa fe\u200bver vi\u2060rus\ufeff", "soft hyphens and zero-width characters"),
        ("Ｌａｓｓａ　ｆｅｖｅｒ　ｖｉｒｕｓ", "full-width letters and space"),
        ("Laſſa fever virus", "long s"),
        ("“Lassa fever virus’s”", "quotes and a genitive"),
        ("Lassa fever virus™, Lassa\x00fever", "a symbol of letters"),
        ("Lassa fever virus¹²", "a footnote"),
        ("<b>Lassa</b>fever\u2028virus".replace("b>", "\x1f>"), "controls and line separators"),
    ],
)
def test_words_mode_finds_the_term_whatever_stands_between_its_words(document, why):
    assert count_distinct_naive(document, ["Lassa fever virus"], "words") == 1, why


@pytest.mark.parametrize(
    "document",
    [
        "Lassa feverish virus",
        "xLassa fever virus",
        "Lassa fever virus2",
        "Lassa virus fever",
        "Lassa",
        "",
    ],
)
def test_words_mode_wants_whole_words_side_by_side(document):
    assert count_distinct_naive(document, ["Lassa fever virus"], "words") == 0


def test_published_mode_is_a_lower_cased_substring_and_nothing_else():
    assert matches_naive("Pricing and PRICIN", ["Ricin"], "published") == ["Ricin"]
    assert matches_naive("Lassa\u00a0fever", ["lassa fever"], "published") == []
    assert matches_naive("Ｒｉｃｉｎ", ["Ricin"], "published") == []
    assert matches_naive("a T-2 toxin", ["t-2 Toxin"], "published") == ["t-2 Toxin"]
    assert matches_naive("300 \u212a", ["k"], "published") == [
        "k"
    ]  # str.lower makes a k of the Kelvin sign
    assert matches_naive("ΟΔΟΣ", ["οδος"], "published") == [
        "οδος"
    ]  # and a final sigma of a last capital one


@pytest.mark.parametrize("mode", ["published", "words"])
def test_nested_terms_count_separately_and_come_in_the_order_of_the_list(mode):
    terms = ["virus", "lassa fever virus", "fever virus", "lassa fever", "fever", "marburg"]
    assert matches_naive("Lassa fever virus, virus", terms, mode) == terms[:-1]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Straße STRASSE", "strasse strasse"),
        ("T\u2082 x² ²³⁵U", "t2 x 2 235 u"),
        ("½ cup", "1 2 cup"),
        ("caf\u0065\u0301 caf\u00e9", "café café"),
        ("\u0130", "i\u0307"),
        ("\ufb01n \u1e9e", "fin ss"),
        ("ΣΊΣΥΦΟΣ σίσυφος", "σίσυφοσ σίσυφοσ"),
        ("\u304b\uff9e", "が"),
        (" \u00a0 __ ", ""),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("a\ud800b", "a b"),
        ("=\u0338", "\u0338"),
    ],
)
def test_folded_form(text, folded):
    assert normalise(text, "words") == folded


@given(st.text(), st.text())
def test_folding_is_idempotent_and_looks_across_no_separator(left, right):
    folded = fold_words(left)
    assert fold_words(folded) == folded
    assert fold_words(f"{left} {right}").split() == [*folded.split(), *fold_words(right).split()]


@given(st.text())
def test_folding_makes_no_difference_between_canonical_and_compatibility_forms_of_letters(text):
    text = "".join(char for char in text if char.isalpha())
    assert {fold_words(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {
        fold_words(text)
    }


@given(
    st.text(alphabet=st.characters(min_codepoint=128), min_size=1), st.sampled_from("aeouhknz09")
)
def test_only_a_leading_combining_character_touches_the_ascii_before_it(run, before):
    if not leads_with_combining(run):
        assert fold_words(f"{before}{run}z") == before + fold_words(f"x{run}x")[1:-1] + "z"


def test_word_characters_are_letters_marks_and_numbers_of_unicode_13_under_every_python():
    pattern = separators()
    for char in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(char)
        separates = pattern.match(char) is not None
        # Python's own table is as new or newer: it may know letters that Unicode 13.0 did not
        # assign, never fewer.
        assert separates == (category[0] not in "LMN") or (
            separates and unicodedata.unidata_version != "13.0.0"
        ), hex(ord(char))
    assert pattern.match("\U00010570")  # a letter since Unicode 14.0
    assert not pattern.match("\U0001d7f6")


def test_a_file_is_utf8_with_comments_and_blank_lines():
    content = "\ufeff# names\r\n\r\n  Ricin \r\nT-2 toxin\n#x\nLassa # fever".encode()
    assert parse_blocklist(content, "list.txt", "words") == ("Ricin", "T-2 toxin", "Lassa # fever")


def test_spellings_of_one_term_are_one_term_named_by_the_first():
    content = b"T-2 toxin\nt 2 TOXIN\nRicin\nricin\n"
    assert parse_blocklist(content, "list.txt", "words") == ("T-2 toxin", "Ricin")
    assert parse_blocklist(content, "list.txt", "published") == ("T-2 toxin", "t 2 TOXIN", "Ricin")
    assert TermList(("T-2 toxin", "t 2 TOXIN"), "words").needles == {"t 2 toxin": "T-2 toxin"}


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"Ricin\n--\n", "words", r"^list\.txt:2: the term '--'"),
        (b"Ricin\n\xc2\xad\n", "words", r"^list\.txt:2: the term "),
        (b"Ricin\n\n\xff\xfe\n", "words", r"^list\.txt:3: not UTF-8"),
        (b"Ricin\ncaf\xe9\n", "published", r"^list\.txt:2: not UTF-8"),
        (b"# nothing\n \n", "words", r"^list\.txt: it holds no term"),
        (b"", "published", r"^list\.txt: it holds no term"),
    ],
)
def test_a_file_that_cannot_be_read_as_terms_is_refused_with_its_line(content, mode, message):
    with pytest.raises(RecipeError, match=message) as caught:
        parse_blocklist(content, "list.txt", mode)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("terms", "mode"),
    [
        ((), "words"),
        (("--",), "words"),
        (("",), "published"),
        ((" ",), "published"),
        (("a",), "regex"),
    ],
)
def test_a_rule_without_meaning_is_refused(terms, mode):
    with pytest.raises(RecipeError, match="blocklist: "):
        TermList(terms, mode)


def test_the_identity_of_a_file_is_the_sha256_of_its_bytes():
    assert (
        content_hash(b"Ricin\n")
        == "dd8d2289b3d23775eee190669d771e912ad0f7ff9a759816fc690946ab2d77a7"
    )
    assert content_hash(b"Ricin\n") != content_hash(b"Ricin")
