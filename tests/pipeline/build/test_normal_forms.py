"""Texts that differ in nothing but their Unicode normal form are one document: for exact copies,
`exclude`, `audit --against`, filters and order keys; and which row stands is the first in order.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from mixtures.audit.against import audit_against
from mixtures.errors import ManifestError
from tests.pipeline.corpus import contents, make, nfc, prose, read_mix, write_files, write_recipe

TEXTS = (
    "Caf\u00e9 at the river mill",  # a letter and its accent
    "\uac00\ub098\ub2e4 \ud55c\uad6d\uc5b4",  # Hangul, whose NFD is jamo
    "10 \u00c5 of stone and water",  # U+212B is U+00C5
    "\u8c48\u66f4\u8eca the old town",  # U+F900.. are compatibility ideographs
    "\u1ead in the village",  # two accents
    "\u092b\u093c\u093f\u0932\u094d\u092e of water",  # U+095E, which NFC takes apart
)
PLAIN = prose(3, 12)


def other_form(text: str) -> str:
    """The same content in other code points."""
    swaps = {"\u00c5": "\u212b", "\u8c48": "\uf900", "\u66f4": "\uf901", "\u8eca": "\uf902"}
    for one, other in swaps.items():
        text = text.replace(one, other)
    text = text.replace("\u092b\u093c", "\u095e")
    return (
        text if not unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFD", text)
    )


def test_the_other_form_is_another_text_of_the_same_content() -> None:
    for text in TEXTS:
        assert other_form(text) != text
        assert unicodedata.normalize("NFC", other_form(text)) == unicodedata.normalize("NFC", text)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    other = [other_form(text) for text in TEXTS]
    write_files(tmp_path / "data", "a", {"0": [*TEXTS, *PLAIN[:6]], "1": other[:2]}, "jsonl")
    write_files(tmp_path / "data", "b", {"0": [*other, *PLAIN[6:]]}, "jsonl")
    return tmp_path


def recipe(work: Path, name: str, *sources: str, **more: object) -> Path:
    asked = {source: {"all": "true"} for source in sources}
    return write_recipe(work / "recipes", asked, dict.fromkeys(sources, "jsonl"), name, **more)


def test_copies_in_another_form_are_exact_copies_and_the_first_row_stands(work: Path) -> None:
    manifest = make(recipe(work, "both", "a", "b"), work, work / "data")
    assert manifest["removed"]["a"]["duplicate of a"] == 2
    assert manifest["removed"]["b"]["duplicate of a"] == len(TEXTS)
    documents = read_mix(work / "out")
    assert len(documents) == len(TEXTS) + len(PLAIN)
    first = {(item.source, item.file, item.row) for item in documents}
    assert {("a", "0.jsonl", row) for row in range(len(TEXTS) + 6)} <= first


def test_exclude_finds_what_stands_in_another_form(work: Path) -> None:
    recipe(work, "first", "a")
    make(recipe(work, "second", "b", exclude=["first.yaml"]), work, work / "data")
    texts = {item.text for item in read_mix(work / "out")}
    assert texts == set(PLAIN[6:])


def test_two_mixes_of_the_same_contents_share_them_and_are_byte_for_byte_equal(work: Path) -> None:
    write_files(work / "data", "c", {"0": list(TEXTS)}, "jsonl")
    write_files(work / "data", "d", {"0": [other_form(text) for text in TEXTS]}, "jsonl")
    for source in "cd":
        make(recipe(work, f"mix-{source}", source), work, work / "data", out=source)
    assert contents(work / "c") == contents(work / "d")  # this tokenizer normalizes, too
    check, _ = audit_against(work / "c", [work / "d"])
    assert not check.ok
    assert check.figure.startswith(f"{len(TEXTS)} documents shared")


def test_filters_judge_the_content(work: Path) -> None:
    """A term with U+00E9 is in a text that has "e" and U+0301: as in the text beside it."""
    (work / "recipes").mkdir()
    (work / "recipes" / "terms.txt").write_bytes("caf\u00e9\nriver\n".encode())
    from mixtures.rules.terms import content_hash

    pin = {
        "file": "terms.txt",
        "sha256": content_hash((work / "recipes" / "terms.txt").read_bytes()),
        "mode": "published",
    }
    golden = [
        {"text": "Cafe\u0301, river", "flagged": "true"},
        {"text": "The weather was fine.", "flagged": "false"},
    ]
    (work / "recipes" / "f.yaml").write_text(
        json.dumps({"name": "f", "blocklist": pin, "golden": golden})
    )
    make(recipe(work, "filtered", "b", filters=["f.yaml"]), work, work / "data")
    texts = {item.text for item in read_mix(work / "out")}
    assert TEXTS[0] not in texts
    assert texts == {*map(nfc, TEXTS[1:]), *PLAIN[6:]}  # two terms are asked


def test_a_store_of_the_earlier_digest_is_refused(work: Path) -> None:
    path = recipe(work, "one", "a")
    make(path, work, work / "data")
    stored = json.loads((work / "store" / "store.json").read_text())
    assert stored["format"] > 1
    (work / "store" / "store.json").write_text(json.dumps({**stored, "format": 1}))
    with pytest.raises(ManifestError, match="choose another --store"):
        make(path, work, work / "data", out="again")
