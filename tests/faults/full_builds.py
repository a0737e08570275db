"""A tiny build that has every stage: a filter with a classifier, near-duplicates that are verified,
and decontamination; and a study of such a base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.pipeline.build.test_decontaminated_mixes import write_set
from tests.pipeline.corpus import prose, sharded, write_files, write_recipe
from tests.pipeline.planted import HARMFUL, TERMS, planted, train

NEAR = tuple(
    f"near-{stage}" for stage in ("spill", "link", "candidates", "shingle", "verify", "reduce")
)
STAGES = ("ingest", "score", *NEAR, "select", "write", "seal")
STUDY_STAGES = (*STAGES, "arms", "seal-arms")
SOURCES: dict[str, dict[str, Any]] = {
    "a": {"weight": 1},
    "b": {"weight": 3, "keys": [0, 0.9]},
    "c": {"all": "true"},
}
RULE = {"unit": "words", "shingle": 2, "bands": 3, "rows": 2}
ITEM = (
    "Which of the red stones was laid down first when the grey bridge was built across the wide"
    " river"
)


def write_inputs(folder: Path) -> None:
    """The data, the filter and the evaluation set below a folder."""
    long = prose(5, 20, (50, 70))
    longer = [f"{text} more" for text in long]
    texts = {
        "a": planted(1, 50),
        "b": [*planted(2, 120), *long],
        "c": [*planted(3, 30), *longer, f"Ask: {ITEM}?"],
    }
    for name, mine in texts.items():
        write_files(folder / "data", name, sharded(mine, 2))
    (folder / "filters").mkdir()
    train(folder / "filters", "toy", TERMS, HARMFUL)
    write_set(folder / "recipes", [ITEM])
    recipe(folder)
    study(folder)


def recipe(folder: Path, tokens: int = 3001, **more: Any) -> Path:
    """Write the recipe."""
    near = {"rule": RULE, "verify": "0.2"}
    asked = {
        "near": near,
        "filters": [{"use": "toy", "level": "weak"}],
        "decontaminate": {"sets": ["bench.yaml"]},
    }
    return write_recipe(folder / "recipes", SOURCES, budget={"tokens": tokens}, **{**asked, **more})


def study(folder: Path) -> None:
    """Write the study: the recipe without its filter, an arm that is filled and one that is
    masked.
    """
    recipe(folder, 1501, name="base", filters=[])
    remove = {"use": "toy", "level": "weak"}
    arms = {
        "filled": {"remove": remove, "fill": "fresh"},
        "masked": {"remove": {**remove, "fraction": 0.5}, "fill": "mask"},
    }
    asked = {"name": "study", "base": "base.yaml", "arms": arms, "tolerance": 1}
    donors = {name: {"source": "b"} for name in ("a", "c")}
    (folder / "recipes" / "study.yaml").write_text(json.dumps({**asked, "donors": donors}))


def words_of(inputs: Path, work: Path, *options: object, recipe: str = "mix.yaml") -> list[object]:
    """The words of its build below a folder `work`."""
    places = [
        "--data",
        inputs / "data",
        "--filters",
        inputs / "filters",
        "--store",
        work / "store",
        "--out",
        work / "out",
    ]
    return ["build", inputs / "recipes" / recipe, *places, *(options or ("--workers", "1"))]
