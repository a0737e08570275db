"""A study that tests of several subjects share, and what a module's own `study` builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixtures.mix.manifest import Manifest
from tests.pipeline.arms.studies import SHOWN, Row, make_study, read_rows, write_study


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of SHOWN, with its store and mixes, which tests only copy and read."""
    path = write_study(tmp_path_factory.mktemp("shown"), arms=SHOWN)
    make_study(path)
    return path.parent


@pytest.fixture(scope="module")
def built(study: Path) -> dict[str, Manifest]:
    """The manifests of the module's study by mix, which tests only read."""
    return make_study(study)


@pytest.fixture(scope="module")
def mixes(study: Path, built: dict[str, Manifest]) -> dict[str, list[Row]]:
    """The documents of its mixes, in the order of the stream."""
    return {name: read_rows(study.parent / "out" / name) for name in built}
