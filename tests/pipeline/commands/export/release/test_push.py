"""`export --release --push`: the hub's own client against a hub on this machine. Wherever a push is
killed, repeating it makes the same repository, and what was sent whole is not sent again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.command_line import Ended, Process, fails, until
from tests.pipeline.commands.export.release.loopback import PushedHub, pushed_hub
from tests.pipeline.commands.export.release.released import build_mix

TOKEN = "hf_secret_of_the_tests"


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "release")
    return tmp_path / "release"


@pytest.fixture
def hub() -> Iterator[PushedHub]:
    with pushed_hub() as server:
        yield server


def start(hub: PushedHub, mix: Path, release: Path, *more: str) -> Process:
    return Process(
        release.parent / "process",
        *("export", mix, "--release", release, "--push", "owner/name", "--workers", "1"),
        *more,
        environment={**hub.environment(release.parent / "home"), "HF_TOKEN": TOKEN},
    )


def push(hub: PushedHub, mix: Path, release: Path) -> Ended:
    return start(hub, mix, release, "--accept-licences").end()


def assert_pushed(hub: PushedHub, release: Path) -> None:
    """The repository is the release, byte for byte."""
    wanted = {
        path.relative_to(release).as_posix(): path.read_bytes()
        for path in release.rglob("*")
        if path.is_file()
    }
    there = dict(hub.files)
    del there[".gitattributes"]
    assert sorted(there) == sorted(wanted)
    assert there == wanted


def test_a_release_is_made_and_pushed_whole_to_a_private_repository(
    hub: PushedHub, mix: Path, tmp_path: Path
):
    ended = push(hub, mix, tmp_path / "release")
    assert ended.code == 0, ended.err
    assert_pushed(hub, tmp_path / "release")
    assert hub.private
    assert "/datasets/owner/name: 1" in ended.err
    assert "private: make it public" in ended.err
    assert TOKEN not in ended.err + ended.out
    said = json.loads(hub.files["croissant.json"])
    assert said["url"] == "https://huggingface.co/datasets/owner/name"
    assert said["creator"]["name"] == "owner"


def test_the_card_is_in_the_last_commit_after_all_data(hub: PushedHub, mix: Path, release: Path):
    hub.held = ("committed", 1)
    process = start(hub, mix, release, "--accept-licences")
    until(hub.stopped.is_set, process)
    process.kill()
    assert {name for name in hub.files if name.startswith(("data/", "mix/"))} == {
        path.relative_to(release).as_posix()
        for folder in ("data", "mix")
        for path in (release / folder).rglob("*")
        if path.is_file()
    }
    assert "README.md" not in hub.files


@pytest.mark.parametrize("held", [("object", 5), ("commit", 1), ("committed", 1), ("commit", 2)])
def test_a_push_that_is_killed_and_repeated_makes_the_same_repository(
    hub: PushedHub, mix: Path, release: Path, held: tuple[str, int], record_property
):
    hub.held = held
    process = start(hub, mix, release, "--accept-licences")
    until(hub.stopped.is_set, process)
    process.kill()
    record_property("kills", 1)
    whole = set(hub.objects)
    hub.go_on()
    ended = push(hub, mix, release)
    assert ended.code == 0, ended.err
    assert_pushed(hub, release)
    assert {hub.sent[sha256] for sha256 in whole} <= {1}


def test_a_push_of_what_is_there_sends_nothing(hub: PushedHub, mix: Path, release: Path):
    assert push(hub, mix, release).code == 0
    commits, sent = list(hub.commits), sum(hub.sent.values())
    assert push(hub, mix, release).code == 0
    assert (hub.commits, sum(hub.sent.values())) == (commits, sent)


def test_what_a_person_mends_is_pushed_and_other_bytes_of_data_are_not(
    hub: PushedHub, mix: Path, release: Path
):
    assert push(hub, mix, release).code == 0
    page = release / "TRAINING-SUMMARY.md"
    page.write_text(page.read_text(encoding="utf-8").replace("TO BE WRITTEN", "us"))
    assert push(hub, mix, release).code == 0
    assert_pushed(hub, release)
    shard = next((release / "data").iterdir())
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    ended = push(hub, mix, release)
    assert ended.code == 4
    assert f"{shard.name}: is not what SHA256SUMS says" in ended.err


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "manifest.json"])
def test_a_repository_that_holds_another_release_is_refused(
    hub: PushedHub, mix: Path, release: Path, name: str
):
    """`datasets` would read the documents of both."""
    hub.private, hub.files = False, {".gitattributes": b"", name: b"other", "notes.md": b"mine"}
    ended = push(hub, mix, release)
    assert ended.code == 2
    assert f"holds {name} of another release; nothing was sent" in ended.err
    assert not hub.commits
    del hub.files[name]
    assert push(hub, mix, release).code == 0
    assert hub.files.pop("notes.md") == b"mine"
    assert_pushed(hub, release)


def test_conflicts_of_licences_are_named_before_anything_is_made_or_sent(
    hub: PushedHub, mix: Path, tmp_path: Path
):
    ended = start(hub, mix, tmp_path / "release").end()
    assert ended.code == 2
    for said in ("no licence is given of own", "chat (CC-BY-NC-4.0)", "--accept-licences"):
        assert said in ended.err
    assert not (tmp_path / "release").exists()
    assert hub.private is None


def test_a_hub_that_refuses_is_asked_once(hub: PushedHub, mix: Path, release: Path):
    hub.forbidden = True
    ended = push(hub, mix, release)
    assert ended.code == 4
    assert "HF_TOKEN may write there" in ended.err
    assert "next try" not in ended.err
    assert TOKEN not in ended.err


def test_a_folder_that_is_no_release_of_the_mix_is_not_pushed(
    mix: Path, release: Path, tmp_path: Path
):
    words = ("--push", "owner/name", "--accept-licences")
    other = build_mix(tmp_path / "work", tokens=1_200)
    assert "is no release of" in fails(2, "export", other, "--release", release, *words)
    (release / "data" / "more.parquet").write_bytes(b"more")
    assert "no part of a release" in fails(2, "export", mix, "--release", release, *words)
    (release / "data" / "more.parquet").unlink()
    (release / "page.html").unlink()
    assert "page.html: missing" in fails(4, "export", mix, "--release", release, *words)
    (tmp_path / "empty").mkdir()
    assert "manifest.json" in fails(6, "export", mix, "--release", tmp_path / "empty", *words)


def test_options_of_a_push_are_for_a_push(mix: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert "is no repository of the hub" in fails(
        2, "export", mix, "--release", out, "--push", "name"
    )
    assert "--push is for --release" in fails(2, "export", mix, "--text", out, "--push", "a/b")
    assert "--accept-licences is for --push" in fails(
        2, "export", mix, "--release", out, "--accept-licences"
    )
