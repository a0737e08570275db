"""Studies that are stopped while their arms are written: nothing partial is visible, the base is
untouched, and the same command goes on with what is missing.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import ManifestError, RecipeError
from mixtures.mix.manifest import Manifest
from pipeline.arms import slices
from tests.pipeline.arms.studies import ARMS, make_study, write_study
from tests.pipeline.corpus import contents

MIXED = {
    "strong": ARMS["strong"],
    "masked": {**ARMS["strong"], "fill": "mask"},
    "half": ARMS["half"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"), arms=MIXED)


@pytest.fixture
def unwritten(study: Path, built: dict[str, Manifest], tmp_path: Path) -> Path:
    """A copy of the study of which the base alone is there."""
    shutil.copytree(study.parent, tmp_path / "study")
    for arm in MIXED:
        shutil.rmtree(tmp_path / "study" / "out" / arm)
    return tmp_path / "study" / study.name


def write_until(monkeypatch: pytest.MonkeyPatch, most: int) -> list[tuple[str, int]]:
    """Let so many slices be written and stop at the next. Returns those that were, as they come."""
    write_slice, written = WRITE_SLICE, list[tuple[str, int]]()

    def write(self: Any, number: int) -> Any:
        if len(written) == most:
            raise RuntimeError("stands for whatever ends a process")
        written.append((self.folder.name, number))
        return write_slice(self, number)

    monkeypatch.setattr(slices._Arm, "write_slice", write)
    return written


WRITE_SLICE = slices._Arm.write_slice


def shown(out: Path) -> list[str]:
    return sorted(child.name for child in out.iterdir() if child.name[0] != ".")


def test_a_stopped_study_shows_no_arm_and_goes_on_with_the_slices_that_are_missing(
    study, built, unwritten, monkeypatch
):
    out, reference = unwritten.parent / "out", study.parent / "out"
    base, written = contents(out / "base"), list[tuple[str, int]]()
    for most in (0, 1, 12, 13):
        more = write_until(monkeypatch, most)
        with pytest.raises(RuntimeError, match="arms failed at slice"):
            make_study(unwritten)
        assert len(more) == most
        assert not set(more) & set(written)
        written += more
        assert shown(out) == ["base"]
    rest = write_until(monkeypatch, 10**6)
    assert make_study(unwritten) == built
    assert rest
    assert not set(rest) & set(written)
    assert contents(out / "base") == base
    assert sorted(child.name for child in out.iterdir()) == sorted(built)
    for arm in built:
        assert contents(out / arm) == contents(reference / arm)


def test_a_slice_that_was_damaged_since_it_was_written_is_written_again(
    study, built, unwritten, monkeypatch
):
    out = unwritten.parent / "out"
    write_until(monkeypatch, 10)
    with pytest.raises(RuntimeError):
        make_study(unwritten)
    (hidden,) = out.glob(".strong.building-*")
    with (hidden / "tokens.bin").open("r+b") as file:
        file.write(b"\xff\xff")
    again = write_until(monkeypatch, 10**6)
    assert make_study(unwritten) == built
    assert (hidden.name, 0) in again
    assert (hidden.name, 1) not in again
    assert contents(out / "strong") == contents(study.parent / "out" / "strong")


@pytest.mark.parametrize(
    "name", ["tokens.bin", "tokens.idx", "documents.parquet", "provenance.parquet"]
)
def test_no_damage_of_a_base_goes_on_into_an_arm(unwritten, name):
    out = unwritten.parent / "out"
    path = out / "base" / name
    if path.is_dir():
        shutil.copy(path / "part-00000.parquet", path / "part-00001.parquet")
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(ManifestError, match="base"):
        make_study(unwritten)
    assert shown(out) == ["base"]


def test_a_place_that_is_taken_while_arms_are_written_is_not_replaced(unwritten, monkeypatch):
    out = unwritten.parent / "out"

    def write(self: Any, number: int) -> Any:
        (out / "half").mkdir(exist_ok=True)
        (out / "half" / "mine").touch()
        return WRITE_SLICE(self, number)

    monkeypatch.setattr(slices._Arm, "write_slice", write)
    with pytest.raises((OSError, RecipeError), match="half"):
        make_study(unwritten)
    assert [child.name for child in (out / "half").iterdir()] == ["mine"]
