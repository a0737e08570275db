"""The quick folding of batches equals the reference, character by character and side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixtures.rules.evaluation_text import fold_evaluation
from mixtures.rules.word_characters import fold_words
from pipeline.judges.annotators.folding import (
    BLANK,
    KEPT,
    SPACED,
    FoldedRuns,
    settled_kinds,
    to_utf8,
)
from pipeline.judges.annotators.ngram_table import BASE, FOLDS, WordReader

DELICATE = (
    "aZ1 -éÉñß’–…™½²\u00a0\u00ad\u0301\u0338\u200b漢ﬁ\U0001f600\ud800\u304b\uff9e\u1100\u1161İſʼ\0"
)


def words(content: bytes) -> list[bytes]:
    return content.translate(bytes(FOLDS)).replace(b"\0", b" \0 ").split()


@given(st.lists(st.text(DELICATE) | st.text()))
@example(["½-\u0301", "", "é-\u0301 ’\u0301"])
def test_words_of_a_batch_are_those_of_the_reference(texts):
    expected = [
        word for text in texts for word in [*fold_evaluation(text).encode().split(), b"\0"]
    ] or [b"\0"]
    found = WordReader(BASE).read(texts)
    assert words(found.buffer.tobytes()) == expected
    ends = [
        found.buffer[start:].tobytes().translate(bytes(FOLDS)).split(b" ", 1)[0]
        for start in found.starts.tolist()
    ]
    assert ends == expected


@given(st.text(DELICATE))
def test_folded_runs_are_those_of_the_reference(text):
    buffer = b" " + to_utf8(text).translate(SPACED) + b" "
    assert FoldedRuns().fold(buffer).split() == fold_words(text).encode().split()


@pytest.mark.parametrize("kind", [KEPT, BLANK])
def test_settled_characters_fold_alike_beside_each_other(kind):
    chosen = [chr(code) for code in np.flatnonzero(settled_kinds(fold_words) == kind).tolist()]
    assert len(chosen) > 200
    for one, other in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
        assert fold_words(f"x{one}{other}1") == (f"x{one}{other}1" if kind == KEPT else "x 1")
