"""The sample mix, built once for all readers."""

from __future__ import annotations

import pytest

from tests.readers.sample_mix import Mix, build_sample, build_wide


@pytest.fixture(scope="session")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Mix:
    return build_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Mix:
    return build_wide(tmp_path_factory.mktemp("wide"))
