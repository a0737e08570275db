"""A store that was moved, and one that its reader may not write to: whatever it holds everything
for is built, traced and audited from it, and not a byte of it changes; what it lacks is said.

The reader is this user without root's right to pass over modes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mixtures.errors import AnnealmixError
from pipeline.build.claims import seal
from tests.pipeline.command_line import CHECKOUT, PATIENCE_SECONDS, Ended, fails, passes
from tests.pipeline.corpus import contents, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters

OBEYS_MODES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root without the right to do what modes forbid."""
NEAR = {"rule": "words", "verify": 0.8}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources with near-copies, recipes with a classifier's filter and a search that verifies, and
    a store from which `mix` was built.
    """
    folder = tmp_path_factory.mktemp("home")
    write_filters(folder / "filters")
    texts = prose(1, 60, (30, 60))
    near = [f"{text} again" for text in texts[:20]]
    write_files(folder / "data", "a", sharded([*texts, *near], 2))
    write_files(folder / "data", "b", sharded(planted(2, 400), 2))
    sources = {"a": {"tokens": 500}, "b": {"tokens": 2500}}
    write_recipe(folder, sources, filters=[{"use": "toy"}], near=NEAR)
    passes(*build(folder, folder / "store", folder / "mix"))
    return folder


def build(home: Path, store: Path, out: Path) -> list[str | Path]:
    """The words of a command that builds the mix."""
    what: list[str | Path] = [
        home / "mix.yaml",
        "--data",
        home / "data",
        "--filters",
        home / "filters",
    ]
    return ["build", *what, "--store", store, "--out", out]


def read_only(home: Path, place: Path, *without: str) -> Path:
    """A copy of the store at another place, which nobody may write to. without: folders of it."""
    store = place / "elsewhere" / "read-only"
    shutil.copytree(home / "store", store)
    for name in without:
        for folder in store.glob(name):
            shutil.rmtree(folder)
    for path in [store, *store.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    return store


def as_reader(place: Path, *arguments: str | Path) -> Ended:
    """Give a command as somebody whom modes bind."""
    temporary = place / "tmp"
    temporary.mkdir(exist_ok=True)
    who = OBEYS_MODES if os.geteuid() == 0 else []
    words = [sys.executable, "-m", "annealmix", *map(str, arguments)]
    ended = subprocess.run(
        [*who, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(temporary)},
        timeout=PATIENCE_SECONDS,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything in a folder, with when it was last changed in any way."""
    return {
        path.relative_to(folder).as_posix(): (found.st_ino, found.st_ctime_ns, found.st_size)
        for path in [folder, *folder.rglob("*")]
        for found in [path.stat()]
    }


def published(store: Path) -> dict[str, int]:
    """Files of a store but its lock and plans, with when they were written."""
    return {
        name: path.stat().st_mtime_ns
        for path in store.rglob("*")
        if path.is_file()
        and (name := path.relative_to(store).as_posix()) != "lock"
        and not name.startswith("work/")
    }


def test_a_mix_that_a_read_only_store_elsewhere_holds_is_built_audited_and_traced(home, tmp_path):
    store = read_only(home, tmp_path)
    before = state(store)
    out = tmp_path / "again"
    built = as_reader(tmp_path, *build(home, store, out))
    assert built.code == 0, built.err
    assert contents(out) == contents(home / "mix")
    assert "not noted" not in built.err
    audited = as_reader(tmp_path, "audit", out, "--store", store)
    assert audited.code == 0, audited.err + audited.out
    row = {"source": "b", "file": "part-000.json.gz", "row": "0"}
    asked = [word for name, value in row.items() for word in (f"--{name}", value)]
    traced = as_reader(tmp_path, "trace", out, *asked, "--store", store, "--json")
    assert traced.code == 0, traced.err
    answer = traced.answer
    assert [item["row"] for item in answer["rows"]] == [0]
    assert state(store) == before


def test_a_selection_that_a_read_only_store_lacks_is_made_beside_it_for_an_audit(home, tmp_path):
    store = read_only(home, tmp_path, "select/*")
    before = state(store)
    audited = as_reader(tmp_path, "audit", home / "mix", "--store", store)
    assert audited.code == 0, audited.err + audited.out
    assert "making it again" in audited.err
    assert state(store) == before
    assert not list((tmp_path / "tmp").iterdir())


def test_a_smaller_mix_is_built_of_a_read_only_store_and_the_missing_note_is_said(home, tmp_path):
    store = read_only(home, tmp_path)
    built = as_reader(tmp_path, *build(home, store, tmp_path / "half"), "--scale", "0.5")
    assert built.code == 0, built.err
    assert "is read-only here, so the mix is not noted there" in built.err


@pytest.mark.parametrize(
    ("without", "lacking"),
    [
        ("sources/b-*", "files of b, such as "),
        ("sources/b-*/*/tokens-*", "tokens of input files part-000.json.gz"),
        (
            "sources/b-*/*/terms-*",
            "what filters, evaluation sets or near-duplicates need of input files",
        ),
        ("near/*", "a search for near-duplicates as this mix has it"),
        ("select/*", "a selection from these sources under these filters"),
    ],
)
def test_what_a_read_only_store_lacks_is_said_and_nothing_is_built(
    home, tmp_path, without, lacking
):
    store = read_only(home, tmp_path, without)
    before = state(store)
    ended = as_reader(tmp_path, *build(home, store, tmp_path / "mix"))
    assert ended.code == 2, ended.err
    assert f"{store}: is read-only here, and lacks {lacking}" in ended.err
    assert not (tmp_path / "mix").exists()
    assert state(store) == before


def test_nothing_is_deleted_of_a_read_only_store(home, tmp_path):
    store = read_only(home, tmp_path)
    before = state(store)
    assert "is read-only here" in as_reader(tmp_path, "store", "gc", "--store", store).err
    assert as_reader(tmp_path, "store", "gc", "--store", store, "--dry-run").code == 0
    assert state(store) == before


def test_a_store_that_was_moved_makes_nothing_again(home, tmp_path):
    shutil.copytree(home / "store", tmp_path / "first-place")
    store = (tmp_path / "first-place").rename(tmp_path / "moved")
    before = published(store)
    passes(*build(home, store, tmp_path / "mix"))
    passes("audit", tmp_path / "mix", "--store", store)
    assert contents(tmp_path / "mix") == contents(home / "mix")
    assert published(store) == before


def test_a_build_that_was_stopped_goes_on_from_a_store_that_was_moved(home, tmp_path, monkeypatch):
    shutil.copytree(home / "store", tmp_path / "store")

    def stopped(*_: object) -> None:
        raise AnnealmixError("stopped")

    def left() -> dict[str, int]:
        slices = tmp_path.glob(".out.building-*/slices/*")
        return {str(path): path.stat().st_ino for path in slices}

    with monkeypatch.context() as patch:
        patch.setattr(seal, "seal", stopped)
        fails(1, *build(home, tmp_path / "store", tmp_path / "out"))
        before = left()
        assert before
        (tmp_path / "store").rename(tmp_path / "moved")
        fails(1, *build(home, tmp_path / "moved", tmp_path / "out"))
        assert left() == before
