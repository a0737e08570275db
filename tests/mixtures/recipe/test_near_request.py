"""`near` of a recipe: faults with file and line, one digest for one meaning, and what a plan says
of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixtures.audit.recipe import read_recipe
from mixtures.errors import RecipeError
from mixtures.plan.cost import BAND_BYTES, REDUCTION_BYTES_A_DOCUMENT, near_cost
from mixtures.plan.notes import near_notes
from mixtures.recipe.load import load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.near_request import NearRequest, read_near
from mixtures.rules.near import PRESETS, NearRule
from pipeline.stages.near.clusters import reduction_bytes
from pipeline.stages.near.edges import BYTES_A_KEY

SOURCES = {"a": {"use": "a.yaml", "weight": 1}, "b": {"use": "b.yaml", "weight": 1}}
WORDS = {"unit": "words", "shingle": 5, "bands": 14, "rows": 8}


def write(folder: Path, near: Any = None, **more: Any) -> Path:
    for name in SOURCES:
        fields = {
            "name": name,
            "repo": "owner/name",
            "revision": "main",
            "paths": ["*"],
            "adapter": "text",
            "licence": "CC0",
        }
        published = {"documents": 1_000_000, "tokens": 500_000_000}
        (folder / f"{name}.yaml").write_text(
            json.dumps({**fields, "format": "jsonl", "published": published})
        )
    head = {
        "name": "mix",
        "tokenizer": "gpt-neox-20b",
        "budget": {"tokens": 1000},
        "sources": SOURCES,
        **more,
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in head.items()]
    (folder / "mix.yaml").write_text(
        "\n".join(lines + ([f"near: {json.dumps(near)}"] if near is not None else []))
    )
    return folder / "mix.yaml"


def load(folder: Path, near: Any = None, **more: Any) -> LoadedRecipe:
    return load_recipe(str(write(folder, near, **more)))


@pytest.mark.parametrize(
    ("near", "message"),
    [
        ("word", r"near: 'word' is not a preset; did you mean 'words'\?"),
        ({"sources": ["a"]}, "near.rule: missing"),
        (
            {"rule": "words", "sources": ["a", "c"]},
            r"near.sources\[1\]: 'c' is not a source of this recipe",
        ),
        ({"rule": "words", "sources": ["a", "a"]}, r"near.sources\[1\]: 'a' is listed twice"),
        ({"rule": "words", "sources": []}, "near.sources: "),
        ({"rule": "words", "verify": "0"}, "near.verify: '0' is not a Jaccard similarity"),
        ({"rule": "words", "verify": "1.01"}, "near.verify: '1.01' is not a Jaccard similarity"),
        (
            {"rule": "words", "excluded": "true"},
            "near.excluded: is true, but the recipe excludes nothing",
        ),
        ({"rule": {**WORDS, "verify": "0.8"}}, "near.rule.verify: stands beside rule"),
        ({"rule": {**WORDS, "bands": 0}}, "near.rule.bands: "),
        ({"rule": {"unit": "words"}}, "near.rule.shingle: missing"),
        ({"rule": "words", "threshold": "0.8"}, "near.threshold: unknown key"),
    ],
)
def test_every_fault_has_its_line(tmp_path, near, message):
    with pytest.raises(RecipeError, match=message) as fault:
        load(tmp_path, near)
    assert str(fault.value).startswith(f"{tmp_path}/mix.yaml:5: ")


def test_what_means_the_same_has_the_same_digest(tmp_path):
    same: list[Any] = [
        "words",
        "fineweb",
        {"rule": "words"},
        {"rule": WORDS, "sources": ["b", "a"], "excluded": "false"},
    ]
    assert len({load(tmp_path, near).digest for near in same}) == 1
    others: list[Any] = [
        None,
        "zyda",
        {"rule": "words", "verify": "0.8"},
        {"rule": "words", "sources": ["a"]},
    ]
    assert len({load(tmp_path, near).digest for near in [*others, "words"]}) == 5
    threshold = [{"rule": "words", "verify": "0.80"}, {"rule": "words", "verify": "0.8"}]
    assert len({load(tmp_path, near).digest for near in threshold}) == 1


def test_a_recipe_without_near_says_nothing_of_it(tmp_path):
    assert "near" not in load(tmp_path).canonical()


@pytest.mark.parametrize("name", PRESETS)
def test_a_canonical_request_is_read_back_as_the_rule_that_it_was(tmp_path, name):
    recipe = load(tmp_path, {"rule": name, "sources": ["b"]})
    asked: Any = recipe.canonical()["near"]
    assert read_near(asked).effective == PRESETS[name]
    assert asked["sources"] == ["b"]


def test_the_audit_reads_a_recipe_with_near(tmp_path):
    other = {
        "name": "other",
        "tokenizer": "gpt-neox-20b",
        "sources": {"a": {"use": "a.yaml", "all": "true"}},
    }
    (tmp_path / "other.yaml").write_text(json.dumps(other))
    recipe = load(
        tmp_path, {"rule": "zyda-2", "verify": "0.5", "excluded": "true"}, exclude=["other.yaml"]
    )

    class Claims:
        recipe: Any

    claims: Any = Claims()
    claims.recipe = recipe.canonical()
    found = read_recipe(claims).near
    assert found is not None
    assert found.canonical(SOURCES) == recipe.canonical()["near"]


def test_a_threshold_of_the_request_goes_before_the_presets_own():
    given = NearRequest.model_validate({"rule": "nemo-curator-0", "verify": "0.6"})
    assert isinstance(given.rule, NearRule)
    assert (
        str(given.effective.verify),
        str(NearRequest.model_validate({"rule": "nemo-curator-0"}).effective.verify),
    ) == ("0.6", "0.8")


def test_a_plan_estimates_what_the_search_takes(tmp_path):
    other = {
        "name": "other",
        "tokenizer": "gpt-neox-20b",
        "sources": {"a": {"use": "a.yaml", "all": "true", "keys": [0, 0.5]}},
    }
    (tmp_path / "other.yaml").write_text(json.dumps(other))
    within = {"a": 400_000_000, "b": 10_000_000}
    assert near_cost(load(tmp_path), within) is None
    assert list(near_notes(load(tmp_path, "words"))) == []
    whole = near_cost(load(tmp_path, "words"), within)
    assert whole
    assert whole.near_documents == 410_000_000
    assert (
        whole.near_reduction_bytes
        == reduction_bytes(410_000_000)
        == 410_000_000 * REDUCTION_BYTES_A_DOCUMENT
    )
    assert whole.near_store_bytes > 410_000_000 * PRESETS["words"].bands * (BYTES_A_KEY + 8)
    assert whole.near_store_bytes // 10**9 == 129
    assert whole.near_store_bytes > BAND_BYTES * 14 * 410_000_000
    part = near_cost(
        load(
            tmp_path,
            {"rule": "words", "sources": ["b"], "excluded": "true"},
            exclude=["other.yaml"],
        ),
        within,
    )
    assert part
    assert part.near_documents == 10_500_000
    assert list(near_notes(load(tmp_path, {"rule": "words", "verify": "0.8"})))
