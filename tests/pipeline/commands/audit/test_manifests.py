"""One door for manifests: whatever a crafted one lacks or holds, every command answers with an
error that names the place, or does what it can; none ends in a traceback.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from mixtures.mix import manifest as manifests
from mixtures.recipe.load import load_tokenizer_definition
from mixtures.yaml.fields import json_digest
from pipeline.tokens.find import find_tokenizer
from tests.mixtures.audit.forged_mix import seal
from tests.pipeline.command_line import fails, passes, run

WRONG: dict[str, Any] = {"null": None, "list": [], "text": "x", "object": {}, "number": 7}


def paths(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the fields of a JSON value are."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, item in items:
        yield (*here, name)
        yield from paths(item, (*here, name))


def changed(manifest: dict[str, Any], path: tuple[str | int, ...], how: str) -> dict[str, Any]:
    """A manifest with one field left out, or of another type, sealed in its recipe, too."""
    whole = deepcopy(manifest)
    place: Any = whole
    for step in path[:-1]:
        place = place[step]
    if how == "missing":
        del place[path[-1]]
    else:
        place[path[-1]] = WRONG[how]
    if isinstance(whole.get("recipe"), dict):
        whole["recipe_digest"] = json_digest(whole["recipe"])
    return whole


@pytest.fixture
def mix(work: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(work / "mix", tmp_path / "mix"))


@pytest.mark.parametrize(
    "path",
    [
        ("recipe", "special_tokens"),
        ("recipe", "exclude"),
        ("recipe", "sources"),
        ("recipe", "sources", 1, "definition"),
        ("recipe", "tokenizer"),
        ("layout", "slice_tokens"),
        ("layout", "token_dtype"),
    ],
)
def test_a_manifest_without_a_field_is_told_by_every_command(work, mix, path):
    seal(mix, changed(manifests.load(mix), path, "missing"))
    for command in _commands(work, mix):
        ended = run(*command)
        assert ended.code in ((3, 6) if path[0] == "recipe" else (6,)), (command, ended.err)
        assert "Traceback" not in ended.err


def _commands(work: Path, mix: Path) -> list[tuple[str | Path, ...]]:
    row = ("--source", "b", "--file", "part-000.json.gz", "--row", "3", "--store", work / "store")
    return [
        ("audit", mix, "--full", "--store", work / "store"),
        ("diff", work / "mix", mix),
        ("trace", mix, *row),
    ]


@pytest.mark.campaign
@pytest.mark.parametrize("turn", range(len(WRONG) + 1))
def test_no_wrong_field_of_a_manifest_ends_in_a_traceback(work, mix, turn):
    """Each field has one of the faults, dealt out in turns."""
    how = ["missing", *WRONG][turn]
    manifest = manifests.load(mix)
    more = (("trace", mix, "--token", "5"), ("export", mix, "--card", "-"))
    for path in list(paths(manifest))[turn :: len(WRONG) + 1]:
        if path[0] == "hashes" and len(path) > 2:
            continue
        try:
            seal(mix, changed(manifest, path, how))
        except (KeyError, TypeError):  # no identity can be made of it: it is not even sealed
            continue
        for command in (*_commands(work, mix), *more):
            assert run(*command).code in (0, 2, 3, 6), (path, command)


def test_the_configuration_of_a_trainer_is_refused_for_a_short_bin(mix, tmp_path):
    with (mix / "tokens.bin").open("r+b") as file:
        file.truncate(100)
    message = fails(6, "export", mix, "--trainer", "neox", "--out", tmp_path / "neox.yml")
    assert "hold 50 tokens of uint16" in message
    assert not (tmp_path / "neox.yml").exists()


def test_ids_of_a_bare_pair_are_held_against_the_vocabulary_that_is_given(mix, tmp_path):
    definition = load_tokenizer_definition("sample")
    tokenizer = find_tokenizer(definition)
    passes("audit", mix / "tokens", "--tokenizer", tokenizer)
    content = bytearray((mix / "tokens.bin").read_bytes())
    content[10:12] = definition.vocab_size.to_bytes(2, "little")
    (mix / "tokens.bin").write_bytes(content)
    passes("audit", mix / "tokens")
    ended = run("audit", mix / "tokens", "--tokenizer", tokenizer)
    assert ended.code == 3
    assert f"token 5 is no id of the tokenizer, whose ids are below {definition.vocab_size:,}" in (
        ended.out
    )
    (tmp_path / "none.json").write_text("{}")
    assert "not laid out like a tokenizer.json" in fails(
        4, "audit", mix / "tokens", "--tokenizer", tmp_path / "none.json"
    )
