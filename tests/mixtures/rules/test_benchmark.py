"""The rule of decontamination, by literal examples: what a definition says, what an item's n-grams
are, and what a document holds.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError, RecipeError
from mixtures.rules.benchmark import (
    PRESETS,
    Benchmark,
    EvaluationSet,
    Item,
    ItemColumns,
    Match,
    item_texts,
    load_benchmark,
    needed,
)
from tests.mixtures.rules.naive import contamination_naive, item_ngrams, text_ngrams

SHA = "0" * 64
STATED = f"""\
name: mine
files:
  - {{path: mine.jsonl, sha256: {SHA}}}
format: jsonl
columns: mmlu
"""


def definition(**changes) -> Benchmark:
    stated = {
        "name": "mine",
        "files": [{"path": "mine.jsonl", "sha256": SHA}],
        "format": "jsonl",
        "columns": "lambada",
    }
    return Benchmark.model_validate(stated | changes)


def loaded(folder: Path, text: str) -> Benchmark:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_benchmark(file).definition


def words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


def test_a_definition_states_its_files_and_the_rest_has_defaults(tmp_path):
    found = loaded(tmp_path, STATED)
    assert (found.ngram, found.shortest_words, found.overlap) == (13, 8, Decimal(0))
    assert found.columns == ItemColumns(question="question", choices=("choices",), answer="answer")
    assert loaded(tmp_path, STATED + "ngram: 5\n").shortest_words == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("columns: mmlu\nngrams: 13\n", "mine.yaml:6: ngrams: unknown key; did you mean 'ngram'?"),
        ("columns: mmul\n", "mine.yaml:5: columns: 'mmul' is not a preset; did you mean 'mmlu'?"),
        (
            "columns: {question: q, answer: a}\n",
            "mine.yaml:5: columns.answer: there are no choices",
        ),
        ("columns: {choices: c}\n", "mine.yaml:5: columns.question: missing"),
        ("columns: mmlu\nngram: 2\n", "mine.yaml:6: ngram: "),
        ("columns: mmlu\nngram: 65\n", "mine.yaml:6: ngram: "),
        (
            "columns: mmlu\nshortest: 14\n",
            "mine.yaml:6: shortest: 14 is more than the n-gram's 13 words",
        ),
        (
            "columns: mmlu\nngram: 9\nshortest: 1_0\n",
            "mine.yaml:7: shortest: 10 is more than the n-gram's 9 words",
        ),
        ("columns: mmlu\noverlap: 1.01\n", "mine.yaml:6: overlap: 1.01 is not a share from 0 to 1"),
        ("columns: mmlu\noverlap: 5e-1\n", "mine.yaml:6: overlap: "),
    ],
)
def test_a_malformed_definition_is_refused_with_its_line(tmp_path, change, message):
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, STATED.replace("columns: mmlu\n", change))
    assert f"{tmp_path}/{message}" in str(caught.value)


def test_a_definition_without_files_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"mine\.yaml:2: files: "):
        loaded(tmp_path, "name: mine\nfiles: []\nformat: jsonl\ncolumns: mmlu\n")


@pytest.mark.parametrize("path", ["../mine.jsonl", "/mine.jsonl"])
def test_a_definition_reaches_no_file_outside_its_folder(tmp_path, path):
    with pytest.raises(RecipeError, match=r"mine\.yaml:3: files\[0\]\.path: "):
        loaded(tmp_path, STATED.replace("mine.jsonl", path))


def test_identity_is_of_what_decides_and_of_nothing_else():
    plain = definition()
    deciding = [
        definition(files=[{"path": "mine.jsonl", "sha256": "1" * 64}]),
        definition(
            files=[{"path": "mine.jsonl", "sha256": SHA}, {"path": "more.jsonl", "sha256": SHA}]
        ),
        definition(format="parquet"),
        definition(columns="mmlu"),
        definition(columns="piqa"),
        definition(columns={"question": "question", "choices": "choices"}),
        definition(ngram=12),
        definition(shortest=9),
        definition(overlap=Decimal("0.5")),
    ]
    assert len({plain.identity, *(changed.identity for changed in deciding)}) == 1 + len(deciding)
    same = [
        definition(name="other", description="words"),
        definition(files=[{"path": "moved.jsonl", "sha256": SHA}]),
        definition(columns={"question": "text"}),
        definition(ngram=13, shortest=8),
        definition(overlap=Decimal("0.00")),
    ]
    assert {changed.identity for changed in same} == {plain.identity}


def test_identity_is_the_published_one():
    assert (
        definition().identity == "0cec258093260bbee8cc80584039ab53cb8a140e6b0e6a7c0df211d26388179f"
    )


@pytest.mark.parametrize(
    ("preset", "row", "texts"),
    [
        (
            "mmlu",
            {"question": "Q?", "choices": ["a", "b"], "answer": 1, "subject": "s"},
            ("Q?", "Q? b"),
        ),
        ("wmdp", {"question": "Q?", "choices": ["a", "b"], "answer": "0"}, ("Q?", "Q? a")),
        ("wmdp-robust", {"question": "Q?", "choices": ["a", "b"], "answer": 0}, ("Q?", "Q? a")),
        (
            "wmdp-cloze",
            {"question": "Q is", "choices": ["a", "b"], "answer": 0},
            ("Q is", "Q is a"),
        ),
        ("piqa", {"goal": "G", "sol1": "one", "sol2": "two", "label": 1}, ("G", "G two")),
        ("hellaswag", {"ctx": "C", "endings": ["x", "y"], "label": "1"}, ("C", "C y")),
        ("lambada", {"text": "All of it"}, ("All of it",)),
    ],
)
def test_texts_of_an_item_are_the_question_and_the_question_with_the_right_answer(
    preset, row, texts
):
    assert item_texts(PRESETS[preset], row, "mine.jsonl:1") == texts


def test_without_labels_every_choice_may_be_the_answer():
    columns = ItemColumns(question="ctx", choices=("endings",))
    assert item_texts(columns, {"ctx": "C", "endings": ["x", "y"], "label": ""}, "f:1") == (
        "C",
        "C x",
        "C y",
    )


@pytest.mark.parametrize(
    ("preset", "row", "message"),
    [
        ("lambada", {"txt": "hidden"}, "f:7: has no column 'text', only 'txt'"),
        ("lambada", {"text": None}, "f:7: column 'text' holds NoneType, not text"),
        (
            "mmlu",
            {"question": "hidden", "choices": "hidden", "answer": 0},
            "f:7: column 'choices' is not a list of texts",
        ),
        (
            "mmlu",
            {"question": "hidden", "choices": [], "answer": 0},
            "f:7: column 'choices' is not a list of texts",
        ),
        (
            "mmlu",
            {"question": "hidden", "choices": ["hidden", 3], "answer": 0},
            "f:7: column 'choices' is not a list of texts",
        ),
        ("mmlu", {"question": "hidden", "choices": ["hidden"]}, "f:7: has no column 'answer'"),
        *(
            (
                "mmlu",
                {"question": "hidden", "choices": ["hidden"], "answer": answer},
                "f:7: column 'answer' is no index of one of 1",
            )
            for answer in (1, -1, "", "hidden", "1", True, 0.0, None, "٠")
        ),
    ],
)
def test_a_row_that_makes_no_item_is_refused_without_its_texts(preset, row, message):
    with pytest.raises(InputError) as caught:
        item_texts(PRESETS[preset], row, "f:7")
    assert str(caught.value).startswith(message)
    assert "hidden" not in str(caught.value)


def test_ngrams_are_runs_of_words_and_a_shorter_text_is_one_if_it_is_long_enough():
    rule = definition(ngram=13, shortest=8)
    assert text_ngrams(words(15), rule) == {
        " ".join(words(15).split()[start : start + 13]) for start in range(3)
    }
    assert text_ngrams(words(13), rule) == {words(13)}
    assert text_ngrams(words(12), rule) == {words(12)}
    assert text_ngrams("W0—w1, w2\u00a0w3\nw4 ｗ5 w\u00ad6 (w7)", rule) == {words(8)}
    assert text_ngrams(words(7), rule) == set()
    assert text_ngrams("", rule) == set()


def test_ngrams_of_an_item_are_those_of_all_its_texts_each_once():
    def ngrams(*texts, **changes):
        return item_ngrams(EvaluationSet(definition(**changes), (Item("f:1", texts),)))

    assert ngrams("aa bb cc dd", "aa bb cc dd ee", ngram=3) == [
        {"aa bb cc", "bb cc dd", "cc dd ee"}
    ]
    assert ngrams("aa bb cc dd", "aa bb cc dd ee ff", ngram=5, shortest=4) == [
        {"aa bb cc dd", "aa bb cc dd ee", "bb cc dd ee ff"}
    ]
    assert ngrams("aa bb", "aa bb", ngram=3) == [set()]


def test_a_document_is_contaminated_by_one_ngram_or_by_the_share_that_is_asked():
    items = (
        Item("f:1", ("aa bb cc dd ee ff",)),
        Item("f:2", ("xx yy",)),
        Item("f:3", ("dd ee ff",)),
    )
    any_of = EvaluationSet(definition(ngram=3), items)
    half = EvaluationSet(definition(name="half", ngram=3, overlap=Decimal("0.5")), items)
    assert contamination_naive("so AA bb\ncc! xx yy", [any_of, half]) == (
        1,
        [Match("mine", "f:1", 1, 4)],
    )
    assert contamination_naive("aa bb cc dd", [half, any_of]) == (
        2,
        [Match("half", "f:1", 2, 4), Match("mine", "f:1", 2, 4)],
    )
    assert contamination_naive("dd ee ff", [half]) == (1, [Match("half", "f:3", 1, 1)])
    assert contamination_naive("aa bb xx cc dd", [any_of]) == (0, [])
    assert contamination_naive("aaa bb cc, aa bb ccc", [any_of]) == (0, [])


@given(total=st.integers(1, 10**6), overlap=st.decimals(0, 1, places=6))
def test_needed_is_the_least_count_that_reaches_the_share_exactly(total, overlap):
    least = needed(total, overlap)
    assert 1 <= least <= total
    assert Fraction(least, total) >= Fraction(overlap)
    assert least == 1 or Fraction(least - 1, total) < Fraction(overlap)
