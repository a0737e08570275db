"""The cluster, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import missing, rest, running


@pytest.fixture(scope="session")
def cluster(shared: Path) -> Iterator[Path]:
    """A cluster of two nodes whose arrays hold four elements at most; its folder."""
    if reason := missing(shared):
        pytest.skip(reason)
    with running(shared) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _at_rest(cluster: Path) -> Iterator[None]:
    """No test finds jobs of the one before, nor a node that is still away: of two nodes, tasks that
    are held would then leave no place for what must run beside them.
    """
    yield
    rest()
