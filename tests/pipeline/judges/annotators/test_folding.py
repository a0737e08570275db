"""The quick folding of batches equals the reference, character by character and side by side."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixtures.rules.evaluation_text import fold_characters
from mixtures.rules.word_characters import fold_words
from pipeline.judges.annotators.blocklist import term_words
from pipeline.judges.annotators.folding import FOLDS, Batch, settled_kinds
from pipeline.judges.annotators.kernel_arrays import BLANK, KEPT, OPEN
from pipeline.judges.annotators.ngram_table import evaluation_words
from tests.mixtures.rules.naive import fold_evaluation

DELICATE = (
    "aZ1 -éÉñß’–…™½²\u00a0\u00ad\u0301\u0338\u200b漢ﬁ\U0001f600\ud800\u304b\uff9e\u1100\u1161İſʼ\0"
)
# What marks are made of, and what they must not be taken for.
MARKS = (
    *"\n\n\n \t\0\1>(.):|1290-,;[]\\Aabzé&<",
    *("\r\n", " \n", "-\n", "\u00ad", "\u2010", "\u2011", "\u00ac", "\u2013", "\u201c", "é-\nб"),
    *("\n1. ", "\n2. ", "\n3) ", "\n2 ", "1. ", "007", "12345", "10", "\x0b", "\x1c", "\u2028"),
    *("[1", "[1,", "[a]", "[b", "nb", "[note 1]", "note ", "[citation needed]", "[ci"),
    *("\\n", "\\r", "\\nA", "\\alpha", "\u0301", "É", "ß", "漢", "²", "ʼ", "\u0430", "\ud800"),
    *("&amp;", "&lt", "&gt;", "&#49;", "&nbsp;", "&n", "</", "b>", "<b>", "</b>", "<p>", "<!--"),
    *("-->", "<sup>1</sup>", "<sup>", "</sup>"),
)


def words(content: bytes) -> list[bytes]:
    return content.translate(bytes(FOLDS)).replace(b"\0", b" \0 ").split()


@pytest.mark.parametrize(
    ("reader", "fold"), [(evaluation_words(), fold_evaluation), (term_words(), fold_words)]
)
@given(texts=st.lists(st.text(DELICATE) | st.text()))
@example(texts=["½-\u0301", "", "é-\u0301 ’\u0301"])
@example(texts=["1. a\n\\b\n2. c", "1. a\n \n2. b\n3", "[1,\n2 3]\n1 [2,\n2 3]", "\\nA\\na"])
@example(
    texts=["[1]", "[1, 23–4]", "[1 ,2 , 3]", "[1234]", "[1,\\a2]", "[a] [ab]", "1. a", "2. b\n3"]
)
@example(
    texts=["a-\nb", "a- \nb", "a-\r\nb", "a\u00ac\nb", "a\u2010\n\tb", "\\a-\nb", "--\nb", "1-\nb"]
)
@example(
    texts=["(1) a\n(2) b", "> 1 a\n> 2 b", "9998. a\n9999. b", "10000. a\n10001. b", "7: a\n\n8| b"]
)
def test_words_of_a_batch_are_those_of_the_reference(reader, fold, texts):
    expected = [word for text in texts for word in [*fold(text).encode().split(), b"\0"]]
    found = reader.read(Batch(texts))
    assert words(found.buffer.tobytes()) == expected
    ends = [
        found.buffer[start:].tobytes().translate(bytes(FOLDS)).split(b" ", 1)[0]
        for start in found.starts.tolist()
    ]
    assert ends == expected


def test_words_between_marks_at_random_are_those_of_the_reference():
    draw, reader = random.Random(11), evaluation_words()
    for _ in range(400):
        some = draw.sample(MARKS, draw.choice([4, 8, 16, len(MARKS)]))
        texts = ["".join(draw.choices(some, k=draw.choice([1, 3, 6, 12, 30]))) for _ in range(20)]
        found = words(reader.read(Batch(texts)).buffer.tobytes())
        assert found == [
            word for text in texts for word in [*fold_evaluation(text).encode().split(), b"\0"]
        ]


@pytest.mark.parametrize("fold", [fold_words, fold_characters])
def test_kinds_are_what_each_character_folds_to(fold):
    kinds = settled_kinds(fold)
    for code in range(0x80, len(kinds)):
        folded = fold(f"x{chr(code)}x")
        settled = code >= 0x2000 or code < 0x300
        kept = code < 0x300 and folded == f"x{chr(code)}x"
        expected = KEPT if kept else BLANK if settled and folded == "x x" else OPEN
        assert kinds[code] == expected, hex(code)


@pytest.mark.parametrize("kind", [KEPT, BLANK])
def test_settled_characters_fold_alike_beside_each_other(kind):
    chosen = [chr(code) for code in np.flatnonzero(settled_kinds(fold_words) == kind).tolist()]
    assert len(chosen) > 200
    for one, other in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
        assert fold_words(f"x{one}{other}1") == (f"x{one}{other}1" if kind == KEPT else "x 1")
