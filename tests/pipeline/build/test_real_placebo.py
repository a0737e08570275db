"""A placebo over real documents, some of them planted: what it removes is as much as what its
filter removes, and of like lengths, at full supply and at a smaller size. Lengths are read from the
mixes.
"""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.corpus import make, read_mix, write_files, write_recipe
from tests.pipeline.planted import TERMS, write_list_filter


@pytest.fixture(scope="module")
def study(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of several corpora; every eighth once more, naming listed terms."""
    folder, texts = tmp_path_factory.mktemp("placebo"), set[str]()
    for file in sorted((shared / "data").glob("dolmino-*/**/*.json.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            texts.update(text for row in rows if len(text := json.loads(row)["text"]) < 20_000)
    real = sorted(texts)[:3_000]
    planted = [f"{text} {' '.join(TERMS[:3])}" for text in real[::8]]
    write_files(folder / "data", "real", {"part": [*real, *planted]})
    write_list_filter(folder / "filters", "list", TERMS)
    return folder


def lengths(mix: Path) -> dict[str, int]:
    """Tokens of each whole document, by its text."""
    documents = read_mix(mix)
    sizes = struct.unpack_from(f"<{len(documents)}i", (mix / "tokens.idx").read_bytes(), 34)
    return {one.text: size for one, size in zip(documents, sizes, strict=True) if not one.cut}


@pytest.mark.parametrize("tokens", [pytest.param(None, marks=pytest.mark.campaign), 400_000])
def test_a_placebo_removes_as_much_of_like_lengths(study: Path, tokens: int | None):
    arms: dict[str, list[dict[str, str]]] = {
        "whole": [],
        "filter": [{"use": "list"}],
        "placebo": [{"placebo_of": "list"}],
    }
    quota: dict[str, object] = {"tokens": tokens} if tokens else {"all": True}
    kept = {}
    for arm, filters in arms.items():
        more: dict[str, Any] = {"filters": filters, "removed": "shrink"} if filters else {}
        recipe = write_recipe(
            study / "recipe",
            {"real": quota},
            name=arm,
            **more,
        )
        out = f"{arm}-{tokens}"
        make(recipe, study, study / "data", out=out, filters=study / "filters")
        kept[arm] = lengths(study / out)
    gone = {
        arm: sorted(size for text, size in kept["whole"].items() if text not in kept[arm])
        for arm in ("filter", "placebo")
    }
    assert len(gone["filter"]) >= 20
    assert len(gone["placebo"]) == pytest.approx(len(gone["filter"]), rel=0.02)
    assert sum(gone["placebo"]) == pytest.approx(sum(gone["filter"]), rel=0.02)
    shares = np.linspace(0.1, 0.9, 9)
    assert np.quantile(gone["placebo"], shares) == pytest.approx(
        np.quantile(gone["filter"], shares), rel=0.05
    )
