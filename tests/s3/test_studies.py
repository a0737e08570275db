"""Studies whose sources, store and mixes lie on S3: the bytes of a local build, and what arms share
with their base is not sent again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.build.output import remote as remote_output
from tests.pipeline.arms.studies import ARMS, write_study
from tests.pipeline.corpus import contents
from tests.s3.places import fetched

pytestmark = pytest.mark.s3
MIXED = {"strong": ARMS["strong"], "masked": {**ARMS["strong"], "fill": "mask"}}
NAMES = ["base", *MIXED]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"), arms=MIXED)


@pytest.fixture(autouse=True)
def _small_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_output, "SHARD_BYTES", 4096)


def words(study: Path, data: Any, out: Any, store: Any) -> list[Any]:
    places = ["--data", data, "--out", out, "--store", store]
    return ["build", study, *places, "--filters", study.parent / "filters"]


@pytest.fixture
def local(study: Path, run, tmp_path: Path) -> Path:
    """The mixes as they are built in local folders."""
    built = words(study, study.parent / "data", tmp_path / "local", tmp_path / "local-store")
    assert run(*built)[0] == 0
    return tmp_path / "local"


def whole(bucket: Any, prefix: str, folder: Path) -> Path:
    """A mix as it lies there, its shards put together."""
    there = fetched(bucket, prefix, folder)
    for shard in sorted(there.rglob("*.shard-*")):
        with shard.with_name(shard.name.partition(".shard-")[0]).open("ab") as file:
            file.write(shard.read_bytes())
        shard.unlink()
    return there


def holds(bucket: Any, local: Path, folder: Path) -> None:
    """All mixes of the local build lie below `study`, byte by byte."""
    for name in NAMES:
        there = whole(bucket, f"study/{name}", folder / name)
        assert contents(there) == contents(local / name)
        assert (there / "manifest.json").read_bytes() == (
            local / name / "manifest.json"
        ).read_bytes()


def test_a_study_on_s3_is_that_of_a_local_build_and_shared_objects_are_copied_there(
    bucket, study, run, local, tmp_path
):
    data = bucket.upload(study.parent / "data", "data")
    asked = words(study, data, f"{bucket.url}/study", f"{bucket.url}/store")
    status, printed = run(*asked)
    assert status == 0, printed
    holds(bucket, local, tmp_path / "there")
    assert len(bucket.names("store/mixes")) == len(NAMES)
    sent = {
        name: {path.partition(f"/study/{name}/")[2] for path in bucket.network.puts()} - {""}
        for name in NAMES
    }
    assert "manifest.json" in sent["masked"]
    copied = {path.partition("/study/")[2] for path in bucket.network.copied()}
    shared = {
        key for key in bucket.names("study/base") if key not in ("manifest.json", "build.json")
    }
    assert {key for key in shared if f"masked/{key}" in copied} == shared
    assert not {key for key in shared if key in sent["masked"]}
    index = {key for key in shared if key.startswith("tokens.idx")}
    assert {key for key in index if f"strong/{key}" in copied} == index
    assert 0 < len(sent["strong"] & shared) < len(shared)
    assert not list((tmp_path / "cache").rglob("tokens.bin")), "local copies are left"
    arms = [f"{bucket.url}/study/{name}" for name in NAMES]
    for words_of in (["audit", arms[1], "--aligned", arms[0], arms[2]], asked):
        status, printed = run(*words_of)
        assert status == 0, printed
    assert printed.count("built already, identity") >= len(NAMES)


def test_sending_a_study_that_was_interrupted_goes_on_and_an_arm_is_whole_or_not_there(
    bucket, study, run, local, tmp_path
):
    asked = words(study, study.parent / "data", f"{bucket.url}/study", tmp_path / "store")
    bucket.network.refuse_after = len(list((local / "base").rglob("*.*"))) + 14
    status, printed = run(*asked)
    assert (status, "cannot be" in printed) == (1, True), printed
    keys = set(bucket.names("study"))
    assert "base/manifest.json" in keys
    assert "masked/manifest.json" not in keys
    bucket.network.refuse_after = None
    bucket.network.seen.clear()
    status, printed = run(*asked)
    assert status == 0, printed
    again = {path.partition("/study/")[2] for path in bucket.network.puts()} - {""}
    assert not {key for key in again & keys if "uploading" not in key}, "what was there"
    holds(bucket, local, tmp_path / "there")


def test_the_place_of_an_arm_that_is_taken_is_refused_before_any_work(bucket, study, run, tmp_path):
    bucket.system.pipe_file(f"{bucket.url}/study/strong/mine.txt", b"mine")
    asked = words(study, study.parent / "data", f"{bucket.url}/study", tmp_path / "store")
    status, printed = run(*asked)
    assert (status, "arms.strong" in printed, "holds no mix" in printed) == (2, True, True), printed
    assert not (tmp_path / "store").exists()


def test_a_study_and_its_store_are_two_places(bucket, study, run):
    inside = words(study, study.parent / "data", f"{bucket.url}/a", f"{bucket.url}/a/store")
    status, printed = run(*inside)
    assert (status, "one inside the other" in printed) == (2, True), printed
