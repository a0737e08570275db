"""Sources whose definitions stand in the recipe: where their files are, and what is wrong with
them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.recipe.load import load_recipe
from mixtures.recipe.loaded import LoadedRecipe


def load(folder: Path, **sources: object) -> LoadedRecipe:
    path = folder / "mine.yaml"
    fields = {"name": "mine", "tokenizer": "sample", "sources": sources}
    path.write_text(json.dumps(fields).replace("true", '"true"'), "utf-8")
    return load_recipe(str(path))


@pytest.mark.parametrize(
    ("data", "place", "paths"),
    [
        ("notes", "notes", ()),
        ("notes/", "notes", ()),
        ("gone", "gone", ()),
        ("notes/a[1].jsonl", "notes", ("a[[]1].jsonl",)),
        ("notes/**/*.jsonl", "notes", ("**/*.jsonl",)),
        ("*/x.jsonl", "", ("*/x.jsonl",)),
        ("s3://bucket/x", "s3://bucket/x", ()),
        ("gs://bucket/x/*/y?.csv", "gs://bucket/x", ("*/y?.csv",)),
    ],
)
def test_data_is_a_folder_a_file_a_glob_or_a_url(
    tmp_path: Path, data: str, place: str, paths: tuple[str, ...]
):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a[1].jsonl").touch()
    loaded = load(tmp_path, notes={"data": data, "text": "text", "all": True})
    found = str(loaded.places["notes"]).removeprefix(str(tmp_path)).lstrip("/")
    assert (found, loaded.definitions["notes"].paths) == (place, paths)


@pytest.mark.parametrize(
    ("data", "repo", "revision", "paths"),
    [
        ("hf://datasets/o/n", "o/n", "main", ("**",)),
        ("hf://datasets/o/n@abc/", "o/n", "abc", ("**",)),
        ("hf://datasets/o/n@abc/en/*.parquet", "o/n", "abc", ("en/*.parquet",)),
        ("hf://datasets/o/n/en", "o/n", "main", ("en/**",)),
    ],
)
def test_a_url_of_the_hub_is_its_repository(
    tmp_path: Path, data: str, repo: str, revision: str, paths: tuple[str, ...]
):
    loaded = load(tmp_path, web={"data": data, "text": "text", "all": True})
    definition = loaded.definitions["web"]
    assert loaded.places["web"] is None
    assert (definition.repository, definition.paths) == ((repo, revision), paths)


def test_a_split_of_the_hub_is_read_by_the_library(tmp_path: Path):
    data = {"repo": "o/n", "config": "en", "split": "test"}
    definition = load(tmp_path, web={"data": data, "text": "text", "all": True}).definitions["web"]
    assert (definition.format, definition.repository) == ("datasets", ("o/n", "main"))
    assert definition.datasets is not None
    assert (definition.datasets.config, definition.datasets.split) == ("en", "test")


def test_the_same_in_a_file_is_the_same_source(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    text = ["title?", "\n\n", "data.text"]
    source = {"text": text, "where": {"lang": ["en"]}, "licence": "CC0"}
    (tmp_path / "notes.yaml").write_text(
        json.dumps({"name": "notes", **source}).replace("true", '"true"')
    )
    inline = load(tmp_path, notes={"data": "notes", **source, "all": True})
    file = load(tmp_path, notes={"use": "notes.yaml", "all": True})
    assert inline.definitions == file.definitions
    assert inline.digest == file.digest
    other = load(tmp_path, notes={"data": "notes", **source, "text": "text", "all": True})
    assert other.digest != inline.digest
    assert other.definitions["notes"].identity() != inline.definitions["notes"].identity()


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"all": True}, "names no source; give use: DEFINITION, or data: FOLDER and text: COLUMN"),
    ({"data": "d", "use": "x.yaml", "all": True}, "gives both use and data"),
    ({"use": "dclm-dedup", "licence": "MIT", "all": True}, "licence: belongs to the source def"),
    ({"data": "d", "all": True}, "does not say how a row becomes a text"),
    ({"data": "d", "text": "a", "adapter": "text", "all": True}, "gives both text and adapter"),
    ({"data": "../d", "text": "a", "all": True}, "leaves the recipe's folder"),
    ({"data": "/d", "text": "a", "all": True}, "leaves the recipe's folder"),
    ({"data": "out", "text": "a", "all": True}, "through a symbolic link"),
    ({"data": {"repo": "n"}, "text": "a", "all": True}, "is not a dataset repository"),
    ({"data": {"repo": "o/n", "splitt": "x"}, "text": "a", "all": True}, "did you mean 'split'"),
    ({"data": "hf://datasets/o/n/../x", "text": "a", "all": True}, "leaves the recipe's folder"),
    ({"data": "d", "text": "a..b", "all": True}, "an empty name before or after a dot"),
    ({"data": "d", "text": [" "], "all": True}, "names no column"),
]


@pytest.mark.parametrize(("source", "said"), FAULTS)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, source: dict[str, Any], said: str):
    (tmp_path / "out").symlink_to("/")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, notes=source)
    assert said in str(caught.value)
    assert "mine.yaml:1: sources.notes" in str(caught.value)


def test_a_name_that_a_definition_has_is_no_other_sources(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"defines 'dclm-dedup', as the one that"):
        load(
            tmp_path,
            **{
                "dclm-dedup": {"data": "d", "text": "text", "all": True},
                "web": {"use": "dclm-dedup", "all": True},
            },
        )
