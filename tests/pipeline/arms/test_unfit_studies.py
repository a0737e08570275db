"""A study that cannot be built as a whole is refused before any of its mixes is written: every
fault of it at once, with its file and field; and mended it is built in the same place.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError, SupplyError
from mixtures.mix.manifest import sealed
from tests.pipeline.arms.studies import ARMS, DONORS, TOKENS, make_study, write_study
from tests.pipeline.command_line import fails

TIGHT: dict[str, Any] = {
    "remove": {"placebo_of": "toy", "level": "strong", "tolerance": 0},
    "fill": "fresh",
}
LENT = {"small": {"source": "a"}, "b": {"source": "a"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose data, filters and store the studies share."""
    return tmp_path_factory.mktemp("unfit")


@pytest.mark.parametrize("fill", ["fresh", "mask"])
def test_a_placebo_that_is_none_is_said_before_any_mix_is_written_and_mended_in_place(folder, fill):
    arms = {"strong": ARMS["strong"], "placebo": {**TIGHT, "fill": fill}}
    name, out = f"placebo-{fill}", f"out-{fill}"
    path = write_study(folder, arms=arms, name=name)
    with pytest.raises(SupplyError) as refused:
        make_study(path, out=out)
    assert f"{name}.yaml: arms.placebo.remove: placebo of toy strong removes" in str(refused.value)
    assert "more than the tolerance of 0 off" in str(refused.value)
    assert not (folder / out).exists()
    mended = {**TIGHT["remove"], "tolerance": 1, "partners": ["a"]}
    arms["placebo"] = {"remove": mended, "fill": fill}
    built = make_study(write_study(folder, arms=arms, name=name), out=out)
    assert set(built) == {"base", *arms}


def test_every_fault_of_a_study_is_said_at_once(folder):
    arms = {"strong": ARMS["strong"], "placebo": TIGHT}
    path = write_study(folder, arms=arms, donors={"b": {"below": 0.11}}, name="both")
    with pytest.raises(SupplyError) as refused:
        make_study(path, out="both")
    lines = str(refused.value).splitlines()
    fields = [line.partition("both.yaml: ")[2].partition(": ")[0] for line in lines]
    assert fields == ["arms.placebo.remove", "donors", "donors.b.below"]
    assert "such as a, which has" in lines[1], "who has enough is named"
    assert "let those of b go further (below, up to 0.9)" in lines[2]
    assert not (folder / "both").exists()


@pytest.mark.parametrize("whole", [False, True])
def test_too_much_in_cut_donors_says_the_tolerance_that_would_do(folder, whole):
    arms = {"strong": ARMS["strong"], "masked": {**ARMS["strong"], "fill": "mask"}}
    donors = LENT if whole else DONORS
    path = write_study(folder, arms=arms, donors=donors, name="cut", tolerance=0)
    out = f"cut-{whole}"
    with pytest.raises(SupplyError) as refused:
        make_study(path, out=out)
    said = str(refused.value)
    assert "cut.yaml: tolerance: " in said
    assert ("let those of b go further (below, up to 0.9)" in said) == (not whole)
    assert not (folder / out).exists()
    least = float(said.rpartition("raise the tolerance to ")[2])
    with pytest.raises(SupplyError, match="tolerance"):
        make_study(
            write_study(folder, arms=arms, donors=donors, name="cut", tolerance=least - 0.001),
            out=out,
        )
    make_study(write_study(folder, arms=arms, donors=donors, name="cut", tolerance=least), out=out)


def test_filters_that_are_not_brought_are_named_with_their_arms_before_anything_is_read(folder):
    absent = {"use": "deep-ignorance", "level": "strong"}
    arms = {
        "strong": ARMS["strong"],
        "whole": {"remove": absent, "fill": "mask"},
        "half": {"remove": {**absent, "fraction": 0.5}, "fill": "fresh"},
    }
    path = write_study(folder, arms=arms, name="levels")
    with pytest.raises(RecipeError) as refused:
        make_study(path, out="levels", store="levels-store")
    for arm, line in zip(("whole", "half"), str(refused.value).splitlines(), strict=True):
        assert f"levels.yaml: arms.{arm}.remove: filter 'deep-ignorance' is not shipped" in line
    assert not (folder / "levels-store").exists()


def test_a_changed_study_names_the_arms_that_are_in_its_way_and_keeps_the_base(folder):
    arms = {"strong": ARMS["strong"], "half": ARMS["half"]}
    make_study(write_study(folder, arms=arms, name="grown"), out="grown")
    base = (folder / "grown" / "base" / "manifest.json").stat().st_ino
    grown = write_study(folder, arms={**arms, "weak": ARMS["weak"]}, name="grown")
    with pytest.raises(RecipeError) as refused:
        make_study(grown, out="grown")
    lines = str(refused.value).splitlines()
    for arm, line in zip(arms, lines, strict=True):
        assert f"grown.yaml: arms.{arm}: " in line
        assert f"{folder / 'grown' / arm}: holds grown.{arm} of another recipe or size" in line
        assert "or delete it" in line
        shutil.rmtree(folder / "grown" / arm)
    assert set(make_study(grown, out="grown")) == {"base", *arms, "weak"}
    assert (folder / "grown" / "base" / "manifest.json").stat().st_ino == base


def test_an_arm_of_another_base_is_named_before_another_is_written(folder, tmp_path):
    arms = {"strong": ARMS["strong"], "half": ARMS["half"]}
    path = write_study(folder, arms=arms, name="old")
    make_study(path, out="old")
    for name in ("strong", "base"):
        shutil.rmtree(folder / "old" / name)
    manifest = folder / "old" / "half" / "manifest.json"
    content = json.loads(manifest.read_bytes())
    assert content["arm"]["base"]
    content["arm"]["base"] = "0" * 64
    manifest.write_text(json.dumps(sealed(content)))
    with pytest.raises(RecipeError, match=r"old.yaml: arms.half: .* made from another base"):
        make_study(path, out="old")
    assert not (folder / "old" / "strong").exists()


def test_the_command_says_it_with_exit_code_5(folder):
    arms = {"strong": ARMS["strong"], "placebo": TIGHT}
    path = write_study(folder, arms=arms, name="told", tolerance=1)
    places = ["--out", folder / "told", "--store", folder / "store"]
    brought = ["--data", folder / "data", "--filters", folder / "filters"]
    found = " ".join(fails(5, "build", path, *places, *brought, "--tokens", str(TOKENS)).split())
    assert "told.yaml: arms.placebo.remove: placebo of toy strong removes" in found
