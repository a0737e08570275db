"""A manifest with every hash made anew, whose recipe or inputs say nonsense: every command refuses
it or says what is off; none breaks.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recipes
from mixtures.audit import audit_mix
from mixtures.mix import manifest as manifests
from mixtures.mix.manifest import Manifest
from mixtures.yaml.fields import json_digest
from tests.faults.damage import swap_values
from tests.mixtures.audit.forged_mix import forge_manifest, seal
from tests.pipeline.command_line import run
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import TERMS, planted, write_list_filter

TOKENIZER = Path(recipes.__file__).parent / "sample" / "tokenizer.json"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix with a filter, an insert and an excluded recipe, and one without."""
    folder = tmp_path_factory.mktemp("crafted")
    write_list_filter(folder / "filters", "list", TERMS)
    for name, texts in {"a": planted(1, 60), "b": planted(2, 60), "extra": prose(9, 6)}.items():
        write_files(folder / "data", name, sharded(texts, 2))
    write_recipe(
        folder / "recipes",
        {"a": {"tokens": 400, "keys": ["0", "0.3"]}, "extra": {"all": "true"}},
        name="other",
    )
    make(folder / "recipes" / "other.yaml", folder, folder / "data", "other")
    more: dict[str, Any] = {
        "filters": ["list"],
        "exclude": ["other.yaml"],
        "insert": {"extra": {"use": "extra.yaml"}},
    }
    recipe = write_recipe(folder / "recipes", {"a": {"tokens": 700}, "b": {"tokens": 700}}, **more)
    make(recipe, folder, folder / "data", "mix", filters=folder / "filters")
    return folder


def commands(work: Path, mix: Path) -> list[list[str | Path]]:
    beside: list[str | Path] = ["--store", work / "store"]
    texts: list[str | Path] = ["--tokenizer", TOKENIZER]
    return [
        ["audit", mix, "--full", *beside],
        ["audit", mix, "--source-check", "3", "--data", work / "data", *texts],
        ["diff", mix, work / "other"],
        ["diff", work / "other", mix, *beside],
        ["export", mix, "--card", "-"],
        ["trace", mix, "--token", "5", "--show-text", *beside, *texts],
    ]


def drop(*path: str | int) -> Callable[[Manifest], None]:
    """Leaves out what is at a path."""

    def change(manifest: Manifest) -> None:
        *places, last = path
        found: Any = manifest
        for place in places:
            found = found[place]
        del found[last]

    return change


def put(value: Any, *path: str | int) -> Callable[[Manifest], None]:
    """Puts something else at a path."""

    def change(manifest: Manifest) -> None:
        *places, last = path
        found: Any = manifest
        for place in places:
            found = found[place]
        found[last] = value

    return change


CRAFTED: dict[str, Callable[[Manifest], None]] = {
    "no recipe": put({}, "recipe"),
    "a source that is no record": put("a", "recipe", "sources", 0),
    "a source less": drop("recipe", "sources", 1),
    "a definition that is no record": put("a", "recipe", "sources", 0, "definition"),
    "an unknown adapter": put("eval", "recipe", "sources", 0, "definition", "adapter"),
    "no patterns": drop("recipe", "sources", 0, "definition", "paths"),
    "keys of one number": put(["0.25"], "recipe", "exclude", 0, "keys"),
    "an excluded definition without a name": drop("recipe", "exclude", 0, "definition", "name"),
    "an insert without a definition": drop("recipe", "insert", 0, "definition"),
    "a filter that is no record": put(7, "recipe", "filters", 0),
    "filters that are no list": put(7, "recipe", "filters"),
    "evaluation sets that are no record": put("drop", "recipe", "decontaminate"),
    "an input without a hash": drop("inputs", "a", 0, "sha256"),
    "an input without a size": drop("inputs", "a", 0, "size"),
    "a revision that is no text": put(1, "revisions", "a"),
    "an excluded source that the recipe does not exclude": put("b", "excluded", 0, "definition"),
}


@pytest.fixture
def mix(work: Path, tmp_path: Path) -> Path:
    """A place for a copy of the mix."""
    return Path(shutil.copytree(work / "mix", tmp_path / "mix"))


@pytest.mark.parametrize("crafted", CRAFTED)
def test_a_crafted_recipe_breaks_no_command_and_passes_no_audit(work, mix, crafted):
    def change(manifest: Manifest) -> None:
        CRAFTED[crafted](manifest)
        manifest["recipe_digest"] = json_digest(manifest["recipe"])

    forge_manifest(mix, change)
    for arguments in commands(work, mix):
        ended = run(*arguments)
        assert "Traceback" not in ended.err, arguments
        if arguments[0] == "audit":
            assert ended.code in (3, 6), ended.err


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(2, 60))]
)
def test_whatever_a_manifest_says_breaks_no_command(work, mix, seed):
    draw, whole = random.Random(seed), manifests.load(work / "mix")
    for _ in range(5):
        name = draw.choice(
            [
                "recipe",
                "recipe",
                "inputs",
                "revisions",
                "removed",
                "filters",
                "excluded",
                "sources",
                "tokenizer",
            ]
        )
        found = {
            **whole,
            name: (
                json.loads(swap_values(json.dumps(whole[name]).encode(), draw))
                if whole[name]
                else whole[name]
            ),
        }
        seal(mix, found)
        for arguments in commands(work, mix):
            assert "Traceback" not in run(*arguments).err, (name, arguments)


@pytest.mark.parametrize(("name", "value"), [("vocab_size", 60_000), ("eod_id", 1)])
def test_a_tokenizer_that_is_known_has_the_ids_that_are_known_of_it(mix, name, value):
    forge_manifest(mix, put(value, "tokenizer", name))
    assert "recipe" in {check.name for check in audit_mix(mix).failures}


def test_the_store_knows_how_large_the_inputs_were(work, mix):
    def change(manifest: Manifest) -> None:
        manifest["inputs"]["a"][0]["size"] += 1

    forge_manifest(mix, change)
    assert run("audit", mix, "--store", work / "store").code == 3
