"""Where a build runs: an option of one executor is refused with another, and one whose package is
missing says how to install it.
"""

from __future__ import annotations

import sys

import pytest

from tests.pipeline.command_line import fails


@pytest.mark.parametrize(
    ("executor", "options", "words"),
    [
        ("local", ["--ray-address", "127.0.0.1:6379"], "--ray-address"),
        ("local", ["--profile", "cluster.yaml", "--wait"], "--profile, --wait"),
        ("ray", ["--status"], "--status"),
        ("local", ["--cancel", "--dry-run"], "--cancel, --dry-run"),
        (
            "slurm",
            ["--tasks", "2", "--workers", "2", "--ray-address", "auto"],
            "--ray-address, --tasks, --workers",
        ),
    ],
)
def test_an_option_of_another_executor_is_refused(tmp_path, executor, options, words):
    build = [
        "build",
        "sample",
        "--out",
        tmp_path / "out",
        "--store",
        tmp_path / "store",
        "--executor",
        executor,
        *options,
    ]
    assert (
        fails(2, *build)
        == f"annealmix: {words}: no option of --executor {executor}; leave it out\n"
    )
    assert not (tmp_path / "store").exists()


def test_what_is_asked_of_a_build_on_a_cluster_is_asked_alone(tmp_path):
    build = ["build", "sample", "--out", tmp_path / "out", "--store", tmp_path / "store"]
    assert fails(2, *build, "--executor", "slurm", "--status", "--wait", "--cancel") == (
        "annealmix: --status, --cancel, --wait: each asks for something else; give one of them\n"
    )


def test_ray_that_is_not_installed_is_asked_for_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = fails(
        2,
        "build",
        "sample",
        "--out",
        tmp_path / "out",
        "--store",
        tmp_path / "store",
        "--executor",
        "ray",
        "--tasks",
        "1",
    )
    assert said == "annealmix: --executor ray needs Ray: pip install 'annealmix[ray]'\n"
    assert not (tmp_path / "store").exists()
