"""The annealing and the pretraining mix of the real documents on a real Slurm: filtered,
near-deduplicated, audited, the local bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixtures.mix import manifest as manifests
from mixtures.yaml.disk import SHIPPED
from tests.pipeline.command_line import passes
from tests.slurm.cluster import MAX_ARRAY_SIZE

pytestmark = pytest.mark.slurm
RECIPES = {"pretraining": ("pretraining-500b", 300_000), "annealing": ("annealing-50b", 200_000)}


def write_recipe(folder: Path, shipped: str) -> Path:
    """A shipped recipe, with a filter and a search for near-duplicates."""
    folder.mkdir(exist_ok=True)
    text = (SHIPPED / f"{shipped}.yaml").read_text()
    path = folder / f"{shipped}.yaml"
    path.write_text(
        text.replace("\nsources:", "\nfilters: [control-lists]\nnear: words\nsources:", 1)
    )
    return path


def build(work: Path, shared: Path, name: str, where: str, *more: Any) -> dict[str, Any]:
    """Build one, audit it, and return its bytes and identity."""
    shipped, tokens = RECIPES[name]
    out = work / where / name
    tokenizer = shared / "tokenizers" / "gpt-neox-20b.json"
    data = (
        "--data",
        shared / "data",
        "--tokenizer",
        tokenizer,
        "--tokens",
        str(tokens),
        "--store",
        work / where / "store",
    )
    passes("build", write_recipe(work / "recipes", shipped), "--out", out, *data, *more)
    passes("audit", out, "--full", "--filter", "control-lists", "--tokenizer", tokenizer)
    return {file: (out / file).read_bytes() for file in ("tokens.bin", "tokens.idx")} | {
        "identity": manifests.load(out)["identity"]
    }


def test_both_mixes_are_those_of_a_local_build(cluster, shared, tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        "job_name: mixes\nmemory: 200M\nstages: {near: {memory: 500M}, conduct: {memory: 400M}}\n"
    )
    for name in RECIPES:
        found = build(
            tmp_path, shared, name, "cluster", "--executor", "slurm", "--profile", profile, "--wait"
        )
        assert found == build(tmp_path, shared, name, "local", "--workers", "1")
    shown = passes(
        *(
            "build",
            tmp_path / "recipes" / "annealing-50b.yaml",
            "--tokens",
            "200000",
            "--executor",
            "slurm",
            "--status",
            "--json",
        ),
        *("--out", tmp_path / "cluster" / "annealing", "--store", tmp_path / "cluster" / "store"),
    ).answer
    assert shown["state"] == "finished"
    assert shown["stages"][0]["tasks"] > MAX_ARRAY_SIZE  # several arrays
    assert {stage["stage"] for stage in shown["stages"]} == {
        "ingest",
        "near-spill",
        "near-link",
        "near-reduce",
        "near-shingle",  # of the pairs that the report of clusters shows
        "select",
        "write",
    }
