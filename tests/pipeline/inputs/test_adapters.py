"""Adapters: one published row becomes one training text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters import make_adapter, make_selector, needed_columns
from pipeline.inputs.adapters.rows import REASONS, BadRecord, NeededColumn, repair_surrogates


def source(adapter: str, **more: object) -> SourceDefinition:
    fields: dict[str, object] = {
        "name": "s",
        "repo": "o/n",
        "revision": "main",
        "paths": ("*",),
        "format": "jsonl",
        "licence": "CC0",
    }
    return SourceDefinition.model_validate({**fields, "adapter": adapter, **more})


def adapt(adapter: str, **row: object) -> str:
    return make_adapter(source(adapter))(row)


def test_text_is_taken_as_it_is():
    assert adapt("text", text="  \tkept\r\n\u2028 \x00", id=7) == "  \tkept\r\n\u2028 \x00"


@pytest.mark.parametrize(
    ("inputs", "joint"),
    [
        ("Is it so? ", ""),
        ("Is it so?\n", ""),
        ("Is it so\u00a0", ""),
        ("Is it so?", " "),
        ("Answer:", " "),
        ("(yes or no)", " "),
        ("a = b +", " "),
        ("是不是。", " "),
        ("so«quoted»", " "),
        ("Answer", "\n"),
        ("42", "\n"),
        ("Größe", "\n"),
        ("costs 5 €", "\n"),
    ],
)
def test_flan_joins_by_what_the_inputs_end_in(inputs, joint):
    assert adapt("flan", inputs=inputs, targets="yes") == inputs + joint + "yes"


def test_flan_with_an_empty_part_brings_no_joint():
    assert adapt("flan", inputs="", targets="yes") == "yes"
    assert adapt("flan", inputs="Why?", targets="") == "Why?"


def test_titles_and_bodies_are_joined_by_a_blank_line():
    assert adapt("title-text", title="Moon", text="A body.") == "Moon\n\nA body."
    assert adapt("title-abstract", title="On moons", abstract="We show.") == "On moons\n\nWe show."


def test_question_and_answer_carry_no_markers():
    assert adapt("question-answer", title="T", question="Q?", answer="A.") == "T\n\nQ?\n\nA."


@pytest.mark.parametrize("topic", ["topic", "topic;"])
def test_camel_is_problem_blank_line_solution_whatever_the_topic_column_is_called(topic):
    row = {
        "role_1": "Biologist",
        topic: "Cells",
        "sub_topic": "x",
        "message_1": "What is a cell?",
        "message_2": "A unit.",
    }
    assert make_adapter(source("camel"))(row) == "What is a cell?\n\nA unit."


def test_an_empty_title_leaves_no_blank_line_before_the_body():
    assert adapt("title-text", title="", text="body") == "body"
    assert adapt("title-text", title="", text="") == ""


def test_a_literal_end_of_text_string_stays_text_case_39():
    assert adapt("text", text="a<|endoftext|>b") == "a<|endoftext|>b"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing-field"),
        ({"text": None}, "null-field"),
        ({"text": 7}, "number"),
        ({"text": 7.5}, "number"),
        ({"text": True}, "not-text"),
        ({"text": ["a"]}, "not-text"),
        ({"text": {"a": "secret"}}, "not-text"),
    ],
)
@pytest.mark.parametrize("adapter", ["text", "title-text"])
def test_a_value_that_is_no_text_is_a_bad_record_with_its_reason(adapter, row, reason):
    with pytest.raises(BadRecord) as caught:
        make_adapter(source(adapter))({"title": "t", **row})
    assert caught.value.reason == reason
    assert reason in REASONS
    assert "secret" not in caught.value.detail
    assert "text" in caught.value.detail


def test_needed_columns_are_the_adapters_and_those_of_where_each_once():
    where = {"source": ("s2ag",), "text": ("x",)}
    assert needed_columns(source("text", where=where)) == (
        NeededColumn(("text",)),
        NeededColumn(("source",), "plain"),
    )
    names = [column.name for column in needed_columns(source("camel"))]
    assert names == ["message_1", "message_2"]


def test_without_where_there_is_nothing_to_select_by():
    assert make_selector(source("text")) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [("a", True), ("b", False), (1, True), (2, False), (True, True), (False, False)],
)
def test_where_keeps_rows_whose_column_is_a_listed_value(value, kept):
    select = make_selector(source("text", where={"kind": ("a", "1", "true")}))
    assert select is not None
    assert select({"kind": value}) is kept


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing-field"),
        ({"kind": None}, "null-field"),
        ({"kind": 1.5}, "number"),
        ({"kind": []}, "not-text"),
    ],
)
def test_where_cannot_judge_a_row_without_the_column(row, reason):
    select = make_selector(source("text", where={"kind": ("a",)}))
    assert select is not None
    with pytest.raises(BadRecord) as caught:
        select(row)
    assert caught.value.reason == reason


@given(st.text(st.characters()), st.integers(0, 5))
def test_repairing_leaves_text_that_utf8_can_hold_and_counts(text, extra):
    repaired, count = repair_surrogates(text + "\ud800" * extra)
    assert repaired.encode("utf-8").decode("utf-8") == repaired
    assert count == extra + sum("\ud800" <= char <= "\udfff" for char in text)
    assert len(repaired) == len(text) + extra
