"""What a tokenizer.json says is read once."""

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
    assert later(CONTENT + b"\n") == (expected, True)  # bytes decide, and it is the same tokenizer
    assert len(list((tmp_path / "cache" / "contents").iterdir())) == 2
