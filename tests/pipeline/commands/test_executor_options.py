"""Where a build runs: an option of one executor is refused with another, and one whose package is
missing says how to install it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.build import ahead
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


LARGE = "name: m\nbudget: {tokens: 9_000_000}\ntokenizer: named\n"
STEPS = "budget: {steps: 2, batch: 2048}  # 8M\ntokenizer: named # known\n"


@pytest.mark.parametrize(
    ("text", "options", "begins"),
    [
        (LARGE, {}, "named.json"),
        (STEPS, {}, "named.json"),
        (LARGE, {"tokenizer": Path("given.json")}, "given.json"),
        (LARGE.replace("named", "{file: named.json, eod: x}"), {}, None),
        (LARGE.replace("named", "absent"), {}, None),
        (LARGE.replace("9", "7"), {}, None),
        (LARGE.replace("9", "7"), {"tokens": 8_000_000}, "named.json"),
        (LARGE, {"tokens": 1000}, None),
        (LARGE, {"scale": 0.5}, None),
        (LARGE, {"workers": 1}, None),
        (LARGE, {"tasks": 1}, None),
        (LARGE, {"store": Path()}, None),  # which is there
        ("base: other\n", {}, None),
        (LARGE.replace("9_000_000", "9_000_000__"), {}, None),  # no number
        (LARGE.replace("9_000_000", "9" * 5000), {}, None),
        (LARGE.encode() + b"\xff", {}, None),
        (None, {}, None),
    ],
)
def test_workers_are_begun_ahead_of_a_large_mix_alone(tmp_path, monkeypatch, text, options, begins):
    begun = list[Path]()
    monkeypatch.setattr(ahead, "begin_server", begun.append)
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenizers").mkdir()
    for file in ("tokenizers/named.json", "given.json"):
        (tmp_path / file).touch()
    if text is not None:
        (tmp_path / "m.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    nothing: dict[str, Any] = dict.fromkeys(("tokens", "scale", "steps", "tokenizer", "tasks"))
    asked = {**nothing, "recipe": "m.yaml", "workers": 2, "store": Path("store"), **options}
    ahead.begin_ahead(argparse.Namespace(**asked))
    assert [file.name for file in begun] == ([begins] if begins else [])


def test_a_recipe_that_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zeros.yaml"):
        places = ["--out", tmp_path / "out", "--store", tmp_path / "store"]
        said = fails(2, "build", tmp_path / name, *places, "--workers", "2")
        assert "not a regular file); give an existing YAML file" in said
