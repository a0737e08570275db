"""Items of evaluation sets in every form that a page gives them are found, and what is no item's
own (templates, formulas, quotations) marks no document.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

import pytest

from mixtures.errors import InputError
from pipeline.judges.annotators.contamination import ContaminationIndex
from tests.mixtures.rules.naive import contamination_naive, fold_evaluation
from tests.pipeline.judges.annotators.test_contamination import evaluation

ITEM = (
    "Don't you think that the naive baker's well-known recipe for whole-grain bread, which was"
    " published in a 'very old' newspaper, needs exactly three cups of flour and no sugar?"
)
LOOK_ALIKE = str.maketrans("aeopcx", "\u0430\u0435\u043e\u0440\u0441\u0445")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def numbered(text: str) -> str:
    words = text.split()
    lines = [" ".join(words[at : at + 5]) for at in range(0, len(words), 5)]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=7))


def hyphenated(text: str) -> str:
    return " ".join(
        f"{word[:4]}-\n{word[4:]}" if word.isalpha() and len(word) > 6 else word
        for word in text.split()
    )


def every_other(text: str, mark: str) -> str:
    return "".join(f"{word}{mark if at % 2 else ''} " for at, word in enumerate(text.split()))


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "curly quotes": lambda text: text.replace("'", "\u2019"),
    "modifier apostrophes": lambda text: text.replace("'", "\u02bc"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "full-width": lambda text: text.translate(FULL_WIDTH),
    "zero-width": lambda text: "\u200b".join(text),
    "soft hyphens": lambda text: text.replace("re", "r\u00ade"),
    "hyphens at line ends": hyphenated,
    "HTML entities": lambda text: text.replace("'", "&rsquo;").replace(" ", "&nbsp;"),
    "HTML entities, escaped twice": lambda text: text.replace("'", "&amp;#8217;"),
    "HTML tags": lambda text: every_other(text, "</p><p>"),
    "HTML tags within words": lambda text: text.replace("ee", "e<b>e</b>"),
    "footnote marks": lambda text: every_other(text, "[12]"),
    "raised footnote marks": lambda text: every_other(text, "\u00b9\u00b2"),
    "raised tags": lambda text: every_other(text, "<sup>3</sup>"),
    "numbered lines": numbered,
    "look-alike letters": lambda text: text.translate(LOOK_ALIKE),
    "letters and accents apart": lambda text: unicodedata.normalize("NFD", text),
    "upper case": str.upper,
    "quoted lines": lambda text: "\n> ".join(text.split()),
    "emphasis": lambda text: every_other(text, "**"),
    "mathematical letters": lambda text: "".join(
        chr(0x1D41A + ord(letter) - 97) if "a" <= letter <= "z" else letter for letter in text
    ),
    "ligatures": lambda text: text.replace("fl", "\ufb02"),
    "line ends of Windows": lambda text: "\r\n".join(text.split()),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_item_is_found_in_every_form(form: str) -> None:
    made = evaluation(ITEM, ngram=13)
    shown = f"Some words before it.\n{FORMS[form](ITEM)}\nand more behind it."
    assert ContaminationIndex([made]).count([shown]).tolist() == [
        contamination_naive(shown, [made])[0]
    ]
    assert fold_evaluation(ITEM) in fold_evaluation(shown)


@pytest.mark.parametrize("form", FORMS)
def test_a_document_is_found_by_an_item_in_every_form(form: str) -> None:
    index = ContaminationIndex([evaluation(FORMS[form](ITEM), ngram=13)])
    assert index.count([ITEM, f"{ITEM[:40]} {ITEM[60:90]}"]).tolist()[0] > 0


INSTRUCTION = (
    "Read the following passage with care and then choose the one best answer to the question"
    " that is asked below it."
)
PASSAGE = (
    "Four score and seven years ago our fathers brought forth on this continent a new nation"
    " conceived in liberty and dedicated to the proposition that all men are created equal"
)
QUESTIONS = (
    "Which river did the old miller of the northern village have to cross in order to sell flour?",
    "How many stones were laid by the second mason on the morning before the great flood came?",
    "What did the teacher of the youngest child say about the broken clock in the town hall?",
    "Why was the garden behind the museum closed to visitors for the whole of the rainy summer?",
)


def test_a_template_that_many_items_share_marks_no_document() -> None:
    index = ContaminationIndex(
        [evaluation(*(f"{INSTRUCTION} {question}" for question in QUESTIONS), ngram=13)]
    )
    assert index.count([INSTRUCTION]).tolist() == [0]
    assert (index.count(list(QUESTIONS)) > 0).all()
    fewer = ContaminationIndex(
        [evaluation(*(f"{INSTRUCTION} {question}" for question in QUESTIONS[:3]), ngram=13)]
    )
    assert fewer.count([INSTRUCTION]).tolist()[0] > 0


def test_a_famous_quotation_in_many_items_marks_no_document_that_quotes_it() -> None:
    index = ContaminationIndex(
        [evaluation(*(f"{PASSAGE}. {question}" for question in QUESTIONS), ngram=13)]
    )
    assert index.count([f"As Lincoln said: {PASSAGE}, and so on."]).tolist() == [0]
    assert (index.count([f"{PASSAGE}. {question}" for question in QUESTIONS]) > 0).all()


def test_items_that_are_the_same_do_not_hide_one_another() -> None:
    index = ContaminationIndex([evaluation(*[QUESTIONS[0]] * 9, QUESTIONS[1], ngram=13)])
    assert len(index.matches(QUESTIONS[0])) == 9
    (coverage,) = index.coverage
    assert coverage.missed == {}


@pytest.mark.parametrize(
    "formula",
    [
        "$\\sin^2 x + \\cos^2 x = 1$ and $a^2 + b^2 = c^2$ so that $c = \\sqrt{a^2 + b^2}$",
        "a\u00b2 + b\u00b2 = c\u00b2, x + y = z, p \u2192 q, so 1 + 2 + 3 = 6 and n = 4",
        "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    ],
)
def test_a_formula_marks_no_document(formula: str) -> None:
    item = f"{QUESTIONS[0]} {formula}"
    made = evaluation(item, QUESTIONS[1], ngram=13)
    page = f"An identity that everybody writes: {formula} Nothing more."
    index = ContaminationIndex([made])
    assert index.count([page, item]).tolist() == [
        contamination_naive(text, [made])[0] for text in (page, item)
    ]
    assert index.count([page]).tolist() == [0]
    assert index.matches(item)


def test_items_that_cannot_be_looked_for_are_listed_with_the_reason() -> None:
    index = ContaminationIndex(
        [evaluation(*QUESTIONS, "Too short.", "a b c d e f g h i j k l m", ngram=13)]
    )
    (coverage,) = index.coverage
    assert coverage.by_reason == {"short": ["f:5"], "formula": ["f:6"]}
    assert coverage.whole == 0


def test_a_set_of_which_most_items_cannot_be_looked_for_is_an_error() -> None:
    chinese = [f"\u8fd9\u662f\u7b2c{number}\u4e2a\u95ee\u9898\u5417\uff1f" for number in range(50)]
    with pytest.raises(InputError, match="mine: 50 of its 51 items cannot be looked for: 50 too"):
        ContaminationIndex([evaluation(*chinese, QUESTIONS[0], ngram=13)])
    allowed = ContaminationIndex([evaluation(*chinese, QUESTIONS[0], ngram=13, max_missed=1)])
    assert len(allowed.coverage[0].missed) == 50


def test_forms_of_many_items_at_random_are_found_and_no_other_text_is() -> None:
    draw = random.Random(7)
    words = [f"w{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(400)]
    items = [" ".join(draw.choices(words, k=30)) for _ in range(60)]
    index = ContaminationIndex([evaluation(*items, ngram=13)])
    planted = [FORMS[draw.choice(list(FORMS))](item) for item in items]
    assert (index.count(planted) > 0).all()
    others = [" ".join(draw.choices(words, k=300)) for _ in range(60)]
    assert not index.count(others).any()
