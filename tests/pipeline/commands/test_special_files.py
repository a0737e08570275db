"""A pipe, a socket or a device where a file is expected is named as what it is, at once: a pipe
without a writer would be waited for without end, and a device be read without end.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import recipes
from mixtures.yaml.disk import open_file
from tests.pipeline.command_line import PATIENCE_SECONDS, fails, passes
from tests.pipeline.corpus import prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters

KINDS = {"pipe": "a named pipe (FIFO)", "socket": "a socket", "device": "a character device"}


def put(path: Path, kind: str) -> None:
    """Make a special file at a path, in the place of what is there."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "socket":
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(path.parent)  # the address of a socket is short
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path.name)
        finally:
            os.chdir(here)
            os.close(here)
    else:
        path.symlink_to("/dev/zero")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End a test that waits for a writer."""

    def late(*_: object) -> None:
        raise AssertionError(f"still waiting after {PATIENCE_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished mix, to be looked at."""
    folder = home(tmp_path_factory.mktemp("mix"))
    passes(*build(folder))
    return folder / "out"


def home(folder: Path) -> Path:
    """A recipe with a filter and its sources."""
    write_filters(folder / "filters")
    for name, texts in {"a": prose(1, 30), "b": planted(2, 60)}.items():
        write_files(folder / "data", name, sharded(texts, 2))
    sources = {"a": {"tokens": 300}, "b": {"tokens": 500}}
    write_recipe(folder, sources, filters=[{"use": "toy"}])
    return folder


def build(folder: Path, *more: str | Path) -> list[str | Path]:
    """The words of a build."""
    places = {"--out": "out", "--store": "store", "--data": "data", "--filters": "filters"}
    given = [word for name, place in places.items() for word in (name, folder / place)]
    return ["build", folder / "mix.yaml", *given, *more]


NAMED = {
    "data/a/part-000.json.gz": 4,
    "data/a/more.jsonl.gz": 4,
    "data/a/SHA256SUMS": 4,
    "mix.yaml": 2,
    "a.yaml": 2,
    "mix.lock.yaml": 2,
    "filters/toy/filter.yaml": 2,
    "filters/toy/blocklist.txt": 4,
    "filters/toy/weights.safetensors": 4,
}
"""Files of a build by place, and the code with which it ends when one is no file."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", NAMED)
def test_a_build_names_what_is_no_file(tmp_path: Path, place: str, kind: str) -> None:
    put(home(tmp_path) / place, kind)
    said = fails(NAMED[place], *build(tmp_path))
    assert Path(place).name in said or "filters[0]: 'toy'" in said
    assert any(words in said for words in (KINDS[kind], "no file", "not a shipped filter", "leads"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    put(home(tmp_path) / "tokenizer.json", kind)
    said = fails(4, *build(tmp_path, "--tokenizer", tmp_path / "tokenizer.json"))
    assert "is not a file" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_folder_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    put(home(tmp_path) / "pipe", kind)
    words = build(tmp_path)
    words[words.index("--data") + 1] = tmp_path / "pipe"
    assert str(tmp_path / "pipe") in fails(4, *words)


def trace(mix: Path, special: Path) -> list[str | Path]:
    return ["trace", mix, "--position", "0", "--show-text", "--tokenizer", special]


def audit(mix: Path, special: Path) -> list[str | Path]:
    return ["audit", mix, "--tokenizer", special, "--filter", mix.parent / "filters" / "list.yaml"]


def salted(mix: Path, special: Path) -> list[str | Path]:
    return ["export", mix, "--public", special.parent / "public", "--salt", special]


def trained(mix: Path, special: Path) -> list[str | Path]:
    terms = mix.parent / "filters" / "toy" / "blocklist.txt"
    return ["filter", "train", special, "--out", special.parent / "new", "--blocklist", terms]


def listed(mix: Path, special: Path) -> list[str | Path]:
    rows = mix.parent / "filters" / ".toy.jsonl"
    return ["filter", "train", rows, "--out", special.parent / "new", "--blocklist", special]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [trace, audit, salted, trained, listed])
def test_a_command_names_what_is_no_file(
    mix: Path, tmp_path: Path, command: Callable[[Path, Path], list[str | Path]], kind: str
) -> None:
    put(tmp_path / "special.jsonl", kind)
    said = fails(4, *command(mix, tmp_path / "special.jsonl"))
    assert "special.jsonl" in said or "/dev/zero" in said
    assert any(words in said for words in (KINDS[kind], "is not a file", "cannot be opened"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["trace", "audit"])
def test_a_manifest_that_is_no_file_is_named(tmp_path: Path, command: str, kind: str) -> None:
    put(tmp_path / "manifest.json", kind)
    more = ("--position", "0") if command == "trace" else ()
    said = fails(6, command, tmp_path, *more)
    assert KINDS[kind] in said


def test_a_file_is_looked_at_again_when_it_is_open(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    regular = os.stat(Path(recipes.__file__))
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    with pytest.raises(OSError, match="a named pipe"):
        open_file(tmp_path / "pipe")
