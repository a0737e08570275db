"""What PLANTED.json lists is where it says and what it says, and nothing of its kind is anywhere
else.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixtures.keys import order_key, text_digest
from mixtures.recipe.load import load_recipe
from tests.recipes.sample_files import (
    BAD_KINDS,
    PLANTED,
    RECIPES,
    data_files,
    documents,
    parsed,
    planted,
    raw_rows,
    text_at,
)


def test_every_row_that_does_not_read_is_planted_and_no_other() -> None:
    bad = set()
    for source, file in data_files():
        for row, raw in enumerate(raw_rows(source, file)):
            try:
                value = parsed(raw)
            except ValueError:
                bad.add((source, file, row))
                continue
            if not isinstance(value, dict) or not (
                "message_1" in value or isinstance(value.get("text"), str)
            ):
                bad.add((source, file, row))
    assert bad == {(entry["source"], entry["file"], entry["row"]) for entry in planted(*BAD_KINDS)}


DAMAGE: dict[str, Callable[[Any], bool]] = {
    "malformed-json": lambda raw: _fails(raw, json.JSONDecodeError),
    "invalid-utf8": lambda raw: _fails(raw, UnicodeDecodeError),
    "not-an-object": lambda raw: isinstance(parsed(raw), list),
    "null-text": lambda raw: parsed(raw)["text"] is None,
    "number-text": lambda raw: isinstance(parsed(raw)["text"], int | float),
    "missing-text": lambda raw: "text" not in parsed(raw),
    "lone-surrogate": lambda raw: b"\\ud83d " in raw and "\ud83d" in parsed(raw)["text"],
    "crlf": lambda raw: raw.endswith(b"}\r"),
    "byte-order-mark": lambda raw: raw.startswith(b"\xef\xbb\xbf{"),
    "no-final-newline": lambda raw: bool(parsed(raw)["text"]),
    "duplicate-id": lambda raw: bool(parsed(raw)["id"]),
}
TEXTS: dict[str, Callable[[str], bool]] = {
    "empty-text": lambda text: text == "",
    "white-space-text": lambda text: text != "" and text.isspace(),
    "short-text": lambda text: text == "Yes.",
    "long-text": lambda text: len(text) > 8000,
    "line-separator": lambda text: "\u2028" in text and "\u0085" in text,
    "nul-character": lambda text: "\x00" in text,
    "special-string": lambda text: text.count("<|endoftext|>") == 1,
    "composed-accents": (
        lambda text: (
            text == unicodedata.normalize("NFC", text) != unicodedata.normalize("NFD", text)
        )
    ),
}


def _fails(raw: bytes, error: type[ValueError]) -> bool:
    try:
        parsed(raw)
    except ValueError as found:
        return type(found) is error
    return False


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_planted_row_is_damaged_or_awkward_as_its_kind_says(kind: str) -> None:
    for entry in planted(kind):
        assert DAMAGE[kind](raw_rows(entry["source"], entry["file"])[entry["row"]]), entry


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_planted_text_is_as_its_kind_says(kind: str) -> None:
    for entry in planted(kind):
        assert TEXTS[kind](text_at(entry)), entry


def test_every_planted_kind_has_a_test_here() -> None:
    tested = {
        *DAMAGE,
        *TEXTS,
        "duplicate-in-file",
        "duplicate-across-files",
        "duplicate-across-sources",
        "near-duplicate",
        "nfd-twin",
    }
    assert {entry["kind"] for entry in PLANTED} == tested | {
        "listed-names",
        "disguised-names",
        "evaluation-item",
    }


def test_planted_duplicates_have_the_text_of_their_original() -> None:
    for entry in planted("duplicate-in-file", "duplicate-across-files", "duplicate-across-sources"):
        original = entry["of"]
        assert text_at(entry) == text_at(original)
        same_source, same_file = (entry[key] == original[key] for key in ("source", "file"))
        reach = "across-sources" if not same_source else "in-file" if same_file else "across-files"
        assert entry["kind"] == f"duplicate-{reach}"
        assert (entry["file"], entry["row"]) != (
            original["file"],
            original["row"],
        ) or not same_source


def test_copies_of_dclm_lie_in_both_key_ranges() -> None:
    """At least 20 DCLM texts stand in other sources too, some with keys of sample-pretraining, some
    with keys of sample.
    """
    sources = load_recipe("sample").recipe.sources, load_recipe("sample-pretraining").recipe.sources
    ranges = [chosen["dclm"].key_range for chosen in sources]
    copies = [
        entry
        for entry in planted("duplicate-across-sources")
        if "dclm-dedup" in (entry["source"], entry["of"]["source"])
    ]
    keys = [order_key(text_digest(text_at(entry))) for entry in copies]
    assert len(copies) >= 20
    for low, high in ranges:
        assert sum(low <= key < high for key in keys) >= 5


def test_near_duplicates_differ_in_a_few_words() -> None:
    for entry in planted("near-duplicate"):
        ours, theirs = text_at(entry).split(" "), text_at(entry["of"]).split(" ")
        changed = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
        assert 1 <= changed <= max(1, len(ours) // 60)


def test_nfd_twin_is_another_text_with_the_same_tokens() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    for entry in planted("nfd-twin"):
        assert text_at(entry) != text_at(entry["of"])
        assert tokenizer.encode(text_at(entry)).ids == tokenizer.encode(text_at(entry["of"])).ids


def test_evaluation_items_stand_in_two_sources() -> None:
    places = [(entry["note"], entry["source"]) for entry in planted("evaluation-item")]
    assert all(entry["note"] in text_at(entry) for entry in planted("evaluation-item"))
    assert set(Counter(question for question, _ in places).values()) == {2}
    assert len(set(places)) == len(places)


def test_about_thirty_documents_name_one_two_or_three_listed_items() -> None:
    entries = planted("listed-names")
    assert Counter(len(entry["names"]) for entry in entries) == {1: 10, 2: 10, 3: 10}
    for entry in entries:
        assert all(name in text_at(entry) for name in entry["names"])
    for entry in planted("disguised-names"):
        folded = " ".join(text_at(entry).casefold().split())
        assert all(
            name not in text_at(entry) and name.casefold() in folded for name in entry["names"]
        )


def test_planted_documents_name_just_those_items_of_the_public_lists(shared: Path) -> None:
    """With the rule of substrings in lower case; and no other document of the sample names any."""
    listed = {
        line.strip().lower()
        for path in sorted((shared / "data" / "blocklist").glob("*_names.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    }
    naming = {
        text_at(entry): {name.lower() for name in entry["names"]}
        for entry in planted("listed-names", "disguised-names")
    }
    spaced = {text for text in naming if any(mark in text for mark in ("\u00a0", "\n"))}
    for source in sorted({source for source, _ in data_files()}):
        for text in documents(source):
            found = {name for name in listed if name in text.lower()}
            assert found == naming.get(text, set()) or (text in spaced and found < naming[text]), (
                text
            )
