"""A mix with all that a recipe can ask for, and its store, built once for the tests of audits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix with near-duplicates, a classifier, copies, an insert and a source in several epochs;
    nobody writes to it.
    """
    folder = tmp_path_factory.mktemp("depth")
    write_filters(folder / "filters")
    b = planted(2, 150)
    b += [f"{text} and a word more" for text in b[:20]]
    for name, texts in {"a": planted(1, 20), "b": b, "extra": prose(9, 6)}.items():
        write_files(folder / "data", name, sharded(texts, 3))
    write_recipe(
        folder / "recipes", {"extra": {"all": "true"}}, name="unused"
    )  # for its source definition
    sources: dict[str, dict[str, Any]] = {
        "a": {"tokens": 900, "shortfall": {"repeat": 9}},
        "b": {"tokens": 2500},
    }
    more: dict[str, Any] = {
        "filters": [{"use": "toy", "level": "weak"}],
        "copies": "approved",
        "insert": {"extra": {"use": "extra.yaml"}},
        "published": {"documents": 100, "sources": {"a": {"percent": "26"}}},
    }
    more["near"] = {"rule": {"unit": "words", "shingle": 3, "bands": 6, "rows": 2}}
    make(
        write_recipe(folder / "recipes", sources, **more),
        folder,
        folder / "data",
        "mix",
        filters=folder / "filters",
    )
    return folder
