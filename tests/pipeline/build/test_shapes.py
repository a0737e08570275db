"""One corpus in many shapes gives one mix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.corpus import make, prose
from tests.pipeline.shapes import SHAPES, write_shape

TEXTS = [
    text if number % 3 else f'Ü {text}\n\nIts body, "quoted",\tgoes on.\n'
    for number, text in enumerate(prose(11, 40))
]


def identity(shape: str, folder: Path) -> str:
    source = write_shape(shape, TEXTS, folder)
    recipe = folder / "mine.yaml"
    recipe.write_text(
        "name: mine\ntokenizer: sample\nbudget: {tokens: 1_000}\n"
        f"sources: {{notes: {source}, weight: 1}}}}\n",
        "utf-8",
    )
    return str(make(recipe, folder, folder / "none")["identity"])


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=() if shape == "nested parquet" else pytest.mark.campaign)
        for shape in SHAPES
        if shape != "jsonl"
    ],
)
def test_every_shape_of_a_corpus_gives_the_same_mix(tmp_path: Path, shape: str) -> None:
    assert identity(shape, tmp_path / "a") == identity("jsonl", tmp_path / "b")
