"""What is kept in the cache folder is found by its key and rules alone, and never when damaged."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from pipeline.places.kept import kept


@pytest.fixture
def rules(tmp_path, monkeypatch) -> ModuleType:
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    module = ModuleType("rules")
    module.__file__ = str(tmp_path / "rules.py")
    Path(module.__file__).write_text("a = 1")
    return module


def find(key: bytes, rules: ModuleType, made: bytes = b"made") -> tuple[bytes, bool]:
    """What is found, and whether it had to be made."""
    times = list[bytes]()

    def make() -> bytes:
        times.append(made)
        return made

    return kept("kind", key, [rules], make), bool(times)


def test_it_is_made_once_for_a_key_and_rules(rules):
    assert find(b"key", rules) == (b"made", True)
    assert find(b"key", rules, b"other") == (b"made", False)
    assert find(b"kez", rules, b"other") == (b"other", True)
    Path(str(rules.__file__)).write_text("a = 2")
    assert find(b"key", rules, b"new") == (b"new", True)


def test_nobody_else_can_read_it(rules, tmp_path):
    find(b"key", rules)
    (file,) = (tmp_path / "cache" / "kind").iterdir()
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("size", [0, 31, 32, 35, 36])
def test_what_is_damaged_is_made_again(rules, tmp_path, size):
    find(b"key", rules)
    (file,) = (tmp_path / "cache" / "kind").iterdir()
    whole = file.read_bytes()
    assert len(whole) == 36
    file.write_bytes(whole[:size] if size < 36 else whole[:-1] + b"_")
    assert find(b"key", rules) == (b"made", True)
    assert file.read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_made_each_time(rules, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert [find(b"key", rules), find(b"key", rules)] == [(b"made", True)] * 2
