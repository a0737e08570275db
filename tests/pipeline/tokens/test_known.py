"""What a tokenizer.json says is read once, and never taken from a damaged record."""

from __future__ import annotations

import pytest

from mixtures.recipe.tokenizer import form
from mixtures.yaml.disk import SHIPPED
from pipeline.tokens.known import known_contents

CONTENT = (SHIPPED / "sample" / "tokenizer.json").read_bytes()


@pytest.fixture
def later(tmp_path, monkeypatch):
    """What a later command finds of a tokenizer.json, and whether it has read the vocabulary."""
    read, contents = list[bytes](), form.contents

    def counted(content: bytes) -> form.Contents:
        read.append(content)
        return contents(content)

    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(form, "contents", counted)

    def find(content: bytes) -> tuple[form.Contents, bool]:
        known_contents.cache_clear()
        read.clear()
        return known_contents(content), bool(read)

    yield find
    known_contents.cache_clear()


def test_what_a_tokenizer_says_is_read_once(later, tmp_path):
    expected = form.contents(CONTENT)
    assert later(CONTENT) == (expected, True)
    assert later(CONTENT) == (expected, False)
    other = CONTENT + b"\n"
    assert later(other) == (expected, True)  # bytes decide, and it is the same tokenizer
    assert sorted(path.suffix for path in (tmp_path / "cache" / "contents").iterdir()) == [
        ".json",
        ".json",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content.replace(b'"vocab_size": 2000', b'"vocab_size": 2001'),
    ],
)
def test_a_damaged_record_is_made_again(later, tmp_path, damage):
    expected, _ = later(CONTENT)
    (record,) = (tmp_path / "cache" / "contents").iterdir()
    whole = record.read_bytes()
    record.write_bytes(damage(whole))
    assert record.read_bytes() != whole
    assert later(CONTENT) == (expected, True)
    assert record.read_bytes() == whole


def test_other_rules_find_nothing(later, tmp_path, monkeypatch):
    later(CONTENT)
    rules = tmp_path / "form.py"
    rules.write_text("# other rules")
    monkeypatch.setattr(form, "__file__", str(rules))
    assert later(CONTENT)[1]


def test_where_nothing_can_be_kept_it_is_read_each_time(later, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    expected = form.contents(CONTENT)
    assert [later(CONTENT), later(CONTENT)] == [(expected, True)] * 2
