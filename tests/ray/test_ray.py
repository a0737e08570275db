"""Builds on a Ray cluster that is started here, of one node with two cores: the same mix as on one
machine, whatever fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixtures.errors import AnnealmixError, InputError, RecipeError
from mixtures.mix import manifest as manifests
from pipeline.executors.ray import RayExecutor, open_ray
from pipeline.executors.stage import in_hand
from tests.pipeline.command_line import CHECKOUT, Process, passes
from tests.pipeline.corpus import contents, make, prose, sharded, write_files, write_recipe
from tests.pipeline.executors.test_pool import Touch, plan_of

pytestmark = pytest.mark.ray

MEMORY = 6_000_000_000  # that the node offers; nothing is taken of it before it is needed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster."""
    folder = tmp_path_factory.mktemp("r")
    offers = ["--num-cpus=2", f"--memory={MEMORY}", "--object-store-memory=100000000"]
    place = [
        "--port=0",
        "--node-ip-address=127.0.0.1",
        f"--temp-dir={folder}",
        "--include-dashboard=false",
        "--disable-usage-stats",
    ]
    started = subprocess.Popen(
        [
            sys.executable,
            Path(sys.executable).with_name("ray"),
            "start",
            "--head",
            "--block",
            *offers,
            *place,
        ],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert started.stdout
    try:
        yield _address(started.stdout)
    finally:
        open_ray().shutdown()
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)


def _address(lines: Iterator[str]) -> str:
    printed = []
    for line in lines:
        printed.append(line)
        if "--address=" in line:
            return line.partition("--address=")[2].strip().strip("'\"")
    raise AssertionError("".join(printed))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of two sources, a recipe with near-duplicates, and the mix that one machine makes of
    them.
    """
    folder = tmp_path_factory.mktemp("data")
    for name, texts in {"a": prose(31, 300), "b": [*prose(32, 600), *prose(31, 40)]}.items():
        write_files(folder / "data", name, sharded(texts, 3))
    sources = {"a": {"weight": 1}, "b": {"weight": 3}}
    make(
        write_recipe(
            folder / "recipes", sources, budget={"tokens": 20_001}, near={"rule": "words"}
        ),
        folder,
        folder / "data",
        "local",
    )
    return folder


def test_a_build_on_ray_has_the_identity_and_the_bytes_of_a_local_one(cluster, data):
    recipe = data / "recipes" / "mix.yaml"
    manifest = make(
        recipe, data, data / "data", "ray", "store-ray", executor=RayExecutor(cluster, tasks=2)
    )
    assert manifest == manifests.load(data / "local")
    assert contents(data / "ray") == contents(data / "local")
    assert not list((data / "store-ray").rglob("*.tmp"))


def test_the_command_builds_the_sample_on_ray(cluster, tmp_path):
    places = ["--out", tmp_path / "out", "--store", tmp_path / "store"]
    ended = passes(
        "build", "sample", *places, "--executor", "ray", "--ray-address", cluster, "--tasks", "1"
    )
    assert ended.mix == json.loads((CHECKOUT / "manifests" / "sample.json").read_text())["identity"]


def test_a_failed_task_ends_the_build_with_its_message_kind_and_the_units_that_are_missing(
    cluster, tmp_path
):
    plan = plan_of(tmp_path, b={"error": "input"})
    with pytest.raises(
        InputError,
        match=r"row 7: no text\ntouch: 2 of 6 units were not done: file b, file e; logs are in",
    ):
        RayExecutor(cluster, tasks=3).execute(Touch, plan, tmp_path / "work")
    RayExecutor(cluster, tasks=2).execute(Touch, plan_of(tmp_path), tmp_path / "work")
    assert Touch.num_done(plan) == 6


def test_a_task_whose_process_is_killed_is_done_again_and_one_that_always_is_fails_the_build(
    cluster, tmp_path
):
    RayExecutor(cluster, tasks=3).execute(
        Touch, plan_of(tmp_path, a={"kills": 1}, f={"kills": 2}), tmp_path / "work"
    )
    assert {path.name for path in tmp_path.glob("?")} == set("abcdef")
    (tmp_path / "d").unlink()
    with pytest.raises(AnnealmixError, match="1 of 6 units were not done: file d") as caught:
        RayExecutor(cluster, tasks=3).execute(
            Touch, plan_of(tmp_path, d={"kills": 99}), tmp_path / "work"
        )
    assert "were lost" in str(caught.value)
    assert in_hand(tmp_path / "work", 0).read_text() == "file d"


def test_a_slice_with_an_old_record_counts_only_if_its_task_ended_well(
    cluster, tmp_path, monkeypatch
):
    plan = plan_of(tmp_path, c={"error": "input"})
    monkeypatch.setattr(Touch, "is_done", classmethod(lambda *_: True))
    RayExecutor(cluster, tasks=6).execute(Touch, plan, tmp_path / "work")
    monkeypatch.setattr(Touch, "in_place", True)
    with pytest.raises(InputError, match="1 of 6 units were not done: file c"):
        RayExecutor(cluster, tasks=6).execute(Touch, plan, tmp_path / "work")


def test_a_task_that_no_node_can_do_is_refused_before_ray_waits_for_one(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(Touch, "task_bytes", MEMORY + 1)
    with pytest.raises(RecipeError, match=r"reserves a core and 6\.0 GB of memory; no node"):
        RayExecutor(cluster).execute(Touch, plan_of(tmp_path), tmp_path / "work")


def test_a_cluster_that_is_not_there_is_exit_code_2(data, tmp_path):
    words = [
        "build",
        str(data / "recipes" / "mix.yaml"),
        "--data",
        str(data / "data"),
        "--store",
        str(tmp_path / "store"),
    ]
    ended = Process(
        tmp_path,
        *words,
        "--out",
        str(tmp_path / "out"),
        "--executor",
        "ray",
        "--ray-address",
        "127.0.0.1:1",
    ).end()
    assert ended.code == 2, ended.err
    assert "no Ray cluster there" in ended.err
