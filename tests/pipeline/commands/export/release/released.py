"""A mix whose sources have licences that do not go together, one of them brought by the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe

LICENCES = {"web": "CC-BY-SA-4.0", "chat": "CC-BY-NC-4.0", "own": None}


def build_mix(work: Path, tokens: int = 1_500) -> Path:
    """Build it below `work`, in some slices; `web` is gone through
    twice and cut; tokens: of `own`. Skips where the
    extra is not installed that draws the page of a release.
    """
    for needed in ("altair", "jinja2", "vl_convert"):
        pytest.importorskip(
            needed, reason=f"{needed} is of the extra `report`: pip install 'annealmix[report]'"
        )
    for seed, name in enumerate(LICENCES, 11):
        write_files(work / "data", name, sharded(prose(seed, 60), 2))
    sources: dict[str, dict[str, object]] = {
        "web": {"tokens": 6_000, "shortfall": {"repeat": 9}},
        "chat": {"tokens": 1_500},
        "own": {"tokens": tokens},
    }
    recipe = write_recipe(work / "recipe", sources, budget={"tokens": 7_500 + tokens})
    for name, licence in LICENCES.items():
        file = recipe.with_name(f"{name}.yaml")
        definition = json.loads(file.read_text()) | {"licence": licence}
        if licence is None:
            definition = {
                key: value
                for key, value in definition.items()
                if key not in ("licence", "repo", "revision")
            }
        file.write_text(json.dumps(definition))
    make(recipe, work, work / "data")
    return work / "out"
