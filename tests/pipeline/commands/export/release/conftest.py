"""A mix, and a release of it with its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.command_line import passes
from tests.pipeline.commands.export.release.released import build_mix


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mix(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def made(mix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release") / "out"
    passes("export", mix, "--release", out, "--workers", "1", "--with-tokens")
    return out
