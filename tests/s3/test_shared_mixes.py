"""The annealing and the pretraining mix of the real documents from S3: filtered, near-deduplicated,
audited, the bytes of a local build.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mixtures.mix import manifest as manifests
from mixtures.recipe.load import load_source_definition
from mixtures.yaml.disk import SHIPPED
from tests.pipeline.corpus import contents
from tests.pipeline.planted import HARMFUL, train
from tests.s3.places import build, fetched

pytestmark = pytest.mark.s3
RECIPES = {"annealing": ("annealing-50b", 200_000), "pretraining": ("pretraining-500b", 300_000)}
TERMS = (
    "protein",
    "patients",
    "cells",
    "energy",
    "water",
    "blood",
)  # that the documents name, so that some of them are scored


@pytest.fixture
def filters(tmp_path: Path) -> Path:
    """A folder with a filter that has a classifier."""
    folder = tmp_path / "filters"
    folder.mkdir()
    train(folder, "toy", TERMS, HARMFUL)
    return folder


def write_recipe(folder: Path, name: str) -> Path:
    """A shipped recipe, with a list, a classifier and a search for near-duplicates."""
    folder.mkdir(exist_ok=True)
    text = (SHIPPED / f"{RECIPES[name][0]}.yaml").read_text()
    path = folder / f"{name}.yaml"
    asks = "\nfilters: [control-lists, {use: toy, level: weak}]\nnear: words\nsources:"
    assert "\nsources:" in text
    path.write_text(text.replace("\nsources:", asks, 1))
    return path


def test_both_mixes_from_s3_are_those_of_a_local_build_on_the_next_machine_too(
    bucket, run, shared, filters, tmp_path
):
    tokenizer, source = shared / "tokenizers" / "gpt-neox-20b.json", f"{bucket.url}/data"
    uploaded: set[str] = set()
    for name, (_, tokens) in RECIPES.items():
        recipe, local = write_recipe(tmp_path / "recipes", name), tmp_path / f"local-{name}"
        more = ["--tokens", tokens, "--tokenizer", tokenizer, "--filters", filters]
        status, printed = run(
            *build(recipe, shared / "data", local, tmp_path / "local-store"), *more
        )
        assert status == 0, printed
        manifest = manifests.load(local)
        folders = {load_source_definition(name).files_folder for name in manifest["inputs"]}
        for folder in folders - uploaded:
            bucket.upload(shared / "data" / folder, f"data/{folder}")
            uploaded.add(folder)
        status, printed = run(
            *build(recipe, source, f"{bucket.url}/{name}", f"{bucket.url}/store"), *more
        )
        assert status == 0, printed
        assert contents(fetched(bucket, name, tmp_path / f"there-{name}")) == contents(local)
        assert manifests.load(tmp_path / f"there-{name}")["identity"] == manifest["identity"]
        asked = [
            "--full",
            "--filter",
            "control-lists",
            "--filter",
            filters / "toy" / "filter.yaml",
            "--tokenizer",
            tokenizer,
        ]
        status, printed = run("audit", f"{bucket.url}/{name}", *asked)
        assert status == 0, printed
        bucket.network.seen.clear()
        status, printed = run(
            *build(recipe, source, f"{bucket.url}/again-{name}", f"{bucket.url}/store"),
            *more,
            cache=f"cache-{name}",
        )
        assert status == 0, printed
        assert contents(fetched(bucket, f"again-{name}", tmp_path / f"again-{name}")) == contents(
            local
        )
        read = [
            path
            for method, path in bucket.network.seen
            if method == "GET" and f"/{bucket.name}/data/" in path
        ]
        assert not read, "a source was read again"
        assert {path.split("/")[2] for path in bucket.network.puts()} == {f"again-{name}"}, (
            "the store has all"
        )
    keys = bucket.names("store")
    assert any(key.startswith("scores/") for key in keys)
    assert not [key for key in keys if "texts-" in key]
