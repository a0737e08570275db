"""A chain on one cluster, asked about where Slurm is that of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixtures.errors import AnnealmixError, RecipeError
from pipeline.executors.slurm import client
from pipeline.executors.slurm.chain import Chain, refuse_busy


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """A build that was given to the cluster `alps`, of which no job is waiting or running."""
    monkeypatch.setattr(client, "cluster_name", lambda: "alps")
    monkeypatch.setattr(client, "queued", lambda name, uid: [])
    chain = Chain.of(tmp_path / "store", tmp_path / "mix")
    chain.begin({"out": str(tmp_path / "mix")}, "annealmix")
    return chain


def test_where_its_cluster_is_asked_a_build_is_over_when_its_jobs_are(chain, tmp_path):
    assert chain.jobs() == []
    refuse_busy(tmp_path / "store", tmp_path / "mix")


def test_the_queue_of_another_cluster_says_nothing_of_its_jobs(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "cluster_name", lambda: "plains")
    with pytest.raises(AnnealmixError, match=r"are of cluster alps, .* that of plains"):
        chain.jobs()
    with pytest.raises(RecipeError, match="cannot be asked here whether its jobs have ended"):
        refuse_busy(tmp_path / "store", tmp_path / "mix")
