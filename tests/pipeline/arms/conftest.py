"""A study that tests of several subjects share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.arms.studies import SHOWN, make_study, write_study


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of SHOWN, with its store and mixes, which tests only copy and read."""
    path = write_study(tmp_path_factory.mktemp("shown"), arms=SHOWN)
    make_study(path)
    return path.parent
