"""What is kept in the cache folder is found by its key and rules alone, and never when damaged."""

from __future__ import annotations

import ast
import errno
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from annealmix.__main__ import main
from mixtures.errors import RecipeError
from mixtures.recipe.tokenizer import form
from mixtures.yaml import fields
from mixtures.yaml.disk import SHIPPED
from pipeline.judges.annotators import contamination
from pipeline.lookup.local import local_mix
from pipeline.places.kept import kept
from pipeline.places.places import RemoteFolder
from pipeline.tokens.known import known_contents


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


def test_a_disk_that_is_full_keeps_no_part_of_it(rules, tmp_path, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:20])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert [find(b"key", rules), find(b"key", rules)] == [(b"made", True)] * 2
    assert list((tmp_path / "cache" / "kind").iterdir()) == []


DECIDE_NOTHING = {
    "mixtures.errors",
    "mixtures.keys.compiled",
    "mixtures.rules.filter_definition",
    "mixtures.rules.filter_files",
    "mixtures.yaml.fields",
    "mixtures.yaml.tree",
    "pipeline.places.kept",
}
"""Modules of an index that raise errors, compile, or read a definition, which is in its key."""


def test_an_index_is_named_by_all_modules_that_make_it():
    rules = contamination._rules()
    imported = set[str]()
    for module in rules:
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inside = (f"{node.module}.{name.name}" for name in node.names)
                imported |= {name for name in inside if find_spec_of(name)} or {node.module}
    own = {name for name in imported if name.startswith(("mixtures.", "pipeline."))}
    assert own == {module.__name__ for module in rules} | DECIDE_NOTHING


def find_spec_of(name: str) -> bool:
    """Whether it is a module, and not what one has."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_digests_of_tokenizers_are_named_by_what_makes_digests(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    content = (SHIPPED / "sample" / "tokenizer.json").read_bytes()
    for module in (None, form, fields):
        if module:
            (tmp_path / "other.py").write_text("# other rules")
            monkeypatch.setattr(module, "__file__", str(tmp_path / "other.py"))
        known_contents.cache_clear()
        known_contents(content)
    known_contents.cache_clear()
    assert len(list((tmp_path / "cache" / "contents").iterdir())) == 3


@pytest.mark.parametrize("asked", [None, "~nobody-of-this-name/cache"])
def test_a_user_without_a_home_is_told_what_to_set_where_a_cache_is_needed(
    asked, rules, monkeypatch, capsys
):
    monkeypatch.setenv("ANNEALMIX_CACHE", asked or "")
    monkeypatch.setattr(Path, "expanduser", _homeless)
    assert find(b"key", rules) == find(b"key", rules) == (b"made", True)
    assert main(["schema", "recipe"]) == 0
    assert main(["plan", "sample"]) == 2
    assert "set ANNEALMIX_CACHE to a folder" in capsys.readouterr().err
    with pytest.raises(RecipeError, match=f"{asked or 'the cache folder'}.*set ANNEALMIX_CACHE to"):
        local_mix(RemoteFolder("s3://bucket/mix"), None).__enter__()


def _homeless(_: Path) -> None:
    raise RuntimeError("Could not determine home directory.")
