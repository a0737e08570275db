"""Text expressions: parts of a row in their order, and a stated outcome for what is absent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mixtures.rules.text_expression import Expression, TextPart, is_separator
from pipeline.inputs.adapters.expression import expression_adapter, expression_columns
from pipeline.inputs.adapters.rows import BadRecord

PARTS: TypeAdapter[tuple[TextPart, ...]] = TypeAdapter(Expression)


def adapt(expression: Any, row: dict[str, Any], counts: Counter[str] | None = None) -> str:
    return expression_adapter(PARTS.validate_python(expression), counts or Counter())(row)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("body", "B"),
        ("data.text", "D"),
        ({"path": ["data.text"]}, "dotted"),
        (["title", "\n\n", "body"], "T\n\nB"),
        (["empty", "\n\n", "body"], "B"),
        (["title", "\n\n", "empty"], "T"),
        (["title", "\n\n", "empty", " - ", "body"], "T - B"),
        (["empty", "\n\n", "empty"], ""),
        (["Question: ", "title", "\n\nAnswer: ", "body", "\n"], "Question: T\n\nAnswer: B\n"),
        (["Question: ", "empty", "\n\nAnswer: ", "body", "\n"], "B\n"),
        (["Question: ", "empty", "\n"], ""),
        ([{"literal": "title"}, "body"], "titleB"),
        (["title", "body"], "TB"),
        (["null?", " ", "body"], "B"),
        (["absent?", " ", "body"], "B"),
        (["data.absent?", " ", "body"], "B"),
        ("null?", ""),
    ],
)
def test_parts_make_a_text(expression: Any, text: str) -> None:
    row = {
        "title": "T",
        "body": "B",
        "empty": "",
        "null": None,
        "data": {"text": "D"},
        "data.text": "dotted",
    }
    assert adapt(expression, row) == text


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({}, "missing-field", "no column 'data'"),
        ({"data": None}, "null-field", "null in column 'data'"),
        ({"data": "x"}, "not-text", "str in column 'data'"),
        ({"data": {}}, "missing-field", "no column 'data.text'"),
        ({"data": {"text": None}}, "null-field", "null in column 'data.text'"),
        ({"data": {"text": {"en": "secret"}}}, "not-text", "which holds data.text.en"),
        ({"data": {"text": 7}}, "number", "int in column 'data.text'"),
        ({"data": {"text": ["secret"]}}, "not-text", "{column: data.text, chat: ...}"),
    ],
)
def test_what_is_no_text_has_its_reason(row: dict[str, Any], reason: str, detail: str) -> None:
    with pytest.raises(BadRecord) as caught:
        adapt("data.text", row)
    assert caught.value.reason == reason
    assert detail in caught.value.detail
    assert "secret" not in caught.value.detail


def test_optional_columns_that_are_absent_are_counted() -> None:
    counts: Counter[str] = Counter()
    adapter = expression_adapter(PARTS.validate_python(["a?", " ", "b"]), counts)
    assert [adapter(row) for row in ({"b": "x"}, {"a": None, "b": "x"}, {"a": "y", "b": "x"})] == [
        "x",
        "x",
        "y x",
    ]
    assert counts == {"missing a": 1, "null a": 1}
    with pytest.raises(BadRecord, match="not-text"):
        adapter({"a": ["no text"], "b": "x"})


CHAT = [
    {"role": "system", "content": ""},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
]
SHARE_GPT = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]


@pytest.mark.parametrize("messages", [CHAT, SHARE_GPT])
@pytest.mark.parametrize(
    ("rendering", "text"),
    [
        ("plain", "Why?\n\nBecause."),
        ("roles", "User: Why?\n\nAssistant: Because."),
        ("chatml", "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause.<|im_end|>\n"),
    ],
)
def test_chats_are_rendered(messages: Any, rendering: str, text: str) -> None:
    assert adapt({"column": "m", "chat": rendering}, {"m": messages}) == text


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("text", "not-text"),
        (["text"], "not-text"),
        ([{"role": "user"}], "missing-field"),
        ([{"role": "user", "content": None}], "null-field"),
        ([{"role": "user", "content": [{"type": "image"}]}], "not-text"),
        ([{"content": "no role"}], "not-text"),
    ],
)
def test_chats_that_are_none_have_a_reason(messages: Any, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        adapt({"column": "m", "chat": "roles"}, {"m": messages})
    assert caught.value.reason == reason


def test_a_message_without_content_may_be_left_out() -> None:
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": None}]
    assert adapt({"column": "m?", "chat": "plain"}, {"m": messages}) == "Why?"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "an empty text is no part"),
        ([], "names no column"),
        (["\n\n"], "names no column"),
        ([{"literal": "a"}], "names no column"),
        ("a..b", "an empty name before or after a dot"),
        ({"column": "a", "path": ["a"]}, "both column and path"),
        ([{"literal": "a", "chat": "plain"}, "b"], "neither chat nor optional"),
        ({"column": "a", "chat": "html"}, "'plain', 'roles' or 'chatml'"),
        (7, "found 7; allowed: a column"),
        ([["a"]], "found a list; allowed"),
    ],
)
def test_an_expression_that_means_nothing_is_refused(expression: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        PARTS.validate_python(expression)


@given(st.lists(st.text(st.sampled_from("ab.?: \n-"), min_size=1, max_size=5), min_size=1))
def test_the_canonical_form_is_the_same_expression(entries: list[str]) -> None:
    try:
        parts = PARTS.validate_python(entries)
    except ValidationError:
        return
    canonical = [part.canonical() for part in parts]
    assert PARTS.validate_python(canonical) == parts
    assert PARTS.validate_python([part.model_dump(mode="json") for part in parts]) == parts
    assert all(
        (part.literal is not None) == is_separator(entry)
        for part, entry in zip(parts, entries, strict=True)
    )
    assert {column.path for column in expression_columns(parts)} == {
        part.path for part in parts if part.path
    }
