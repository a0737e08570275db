"""`annealmix plan STUDY`: measured where a store holds what decides, and then just what the build
does; else estimated, and close to it.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.keys import KEY_SPACE
from pipeline.commands.plan import probing
from pipeline.inputs.probe import ProbeSize
from tests.pipeline.arms.studies import ARMS, DONORS, make_study, read_slots, write_study
from tests.pipeline.command_line import Ended, fails, run
from tests.pipeline.corpus import prose, sharded, write_files, write_recipe
from tests.pipeline.planted import MORE_TERMS, planted, write_list_filter

STUDIED = {
    **{name: ARMS[name] for name in ("strong", "half", "weak", "placebo", "list")},
    "masked": {**ARMS["strong"], "fill": "mask"},
}
EXTRA = {"remove": {"use": "toy", "level": "extra-weak"}, "fill": "fresh"}
APPROVED = {**ARMS["weak"], "fill": "approved"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a store that holds what the arms of `STUDIED` need, and their mixes in `out`."""
    folder = tmp_path_factory.mktemp("planned")
    make_study(write_study(folder, arms=STUDIED))
    return folder


def plan_of(study: Path, *more: str | Path, store: bool = True) -> Ended:
    folder = study.parent
    held: list[str | Path] = ["--store", folder / "store"] if store else []
    brought: list[str | Path] = ["--data", folder / "data", "--filters", folder / "filters"]
    return run("plan", study, *brought, *held, *more)


def study_of(*words: Any, **more: Any) -> dict[str, Any]:
    """What a plan says of a study, of which one filling is all."""
    found = plan_of(*words, "--json", **more).answer["study"]
    (filling,) = found["fillings"]
    return {**found, **filling, "arms": found["arms"], "filling_arms": filling["arms"]}


@pytest.mark.parametrize("arm", ["strong", "placebo", "list", "approved"])
def test_a_measured_plan_says_what_the_build_then_reports(folder, arm):
    """Of a study that the store has no selection of."""
    arms = {arm: {**STUDIED, "approved": APPROVED}[arm]}
    path = write_study(folder, arms=arms, name=f"one-{arm}")
    before = {file for file in (folder / "store").rglob("*") if file.is_file()}
    ended = plan_of(path, "--json")
    assert (ended.code, ended.answer["study"]["basis"]) == (0, "measured"), ended.err
    made = {file for file in (folder / "store").rglob("*") if file.is_file()} - before
    places = {file.relative_to(folder / "store").parts[0] for file in made}
    assert places == {"select", "work"}, "nothing is read again"
    found = study_of(path)
    manifest = make_study(path, out=f"one-{arm}")[arm]
    lengths: dict[str, dict[int, int]] = {}  # by source, of each slot, where the base cuts it too
    for piece in read_slots(folder / f"one-{arm}" / arm):
        lengths.setdefault(piece["source"], {})[piece["slot"]] = piece["length"]
    for name, said in manifest["arm"]["sources"].items():
        row = found["sources"].get(name, dict.fromkeys(said, 0))
        assert [row[kind] for kind in ("slots", "exact", "cut", "joined")] == [
            said[kind] for kind in ("slots", "exact", "cut", "joined")
        ]
        assert row["tokens"] == sum(lengths.get(name, {}).values())
        cut_short = row["tokens"] - said["tokens"]  # of a slot that the base cuts
        assert 0 <= row["cut_tokens"] - said["cut_tokens"] <= cut_short
    for name, said in manifest["arm"]["donors"].items():
        row = found["donors"][name]
        assert row["keys"] == [f"{int(key, 16) / KEY_SPACE:.6f}" for key in said["keys"]]
        assert (row["used_documents"] == said["documents"]) == (arm != "approved"), "repeated"
    removed = manifest["filters"][0]["removed"].values()
    assert found["arms"][arm] == {
        "fill": arms[arm]["fill"],
        **{name: sum(one[name] for one in removed) for name in ("documents", "tokens")},
    }


def test_a_measured_plan_counts_what_arms_share_once(folder):
    path = folder / "study.yaml"
    found = study_of(path)
    slots: dict[int, dict[int, Any]] = {}
    for arm in found["filling_arms"]:
        for row in read_slots(folder / "out" / arm):
            slots.setdefault(row["slot"], {})[row["offset"]] = row
    for name, row in found["sources"].items():
        mine = [pieces for pieces in slots.values() if pieces[0]["source"] == name]
        assert row["slots"] == len(mine)
        assert row["tokens"] == sum(pieces[0]["length"] for pieces in mine)
        for kind in ("exact", "cut", "joined"):
            assert row[kind] == sum(pieces[0]["kind"] == kind for pieces in mine)
    for arm, figures in found["arms"].items():
        manifest = json.loads((folder / "out" / arm / "manifest.json").read_bytes())
        removed = manifest["filters"][0]["removed"].values()
        assert figures["documents"] == sum(one["documents"] for one in removed)
        assert figures["tokens"] == sum(one["tokens"] for one in removed)
        assert figures["fill"] == ("mask" if arm == "masked" else "fresh")


def test_a_plan_hashes_what_it_makes_a_selection_of_and_nothing_else(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "damaged")
    damaged = tmp_path / "damaged"
    files = (damaged / "store").glob("sources/*/*/tokens-*/*")
    tokens = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(tokens.read_bytes())
    content[0] ^= 1
    tokens.write_bytes(content)
    assert study_of(damaged / "study.yaml")["basis"] == "measured"
    again = write_study(damaged, arms={"extra": EXTRA}, name="again")
    assert plan_of(again).code == 6
    assert plan_of(write_study(folder, arms={"extra": EXTRA}, name="again")).code == 0


def test_a_study_that_the_store_lacks_something_of_is_estimated_and_says_what(folder):
    further = write_study(folder, donors={**DONORS, "b": {"below": 0.9}}, name="further")
    ended = plan_of(further, "--json")
    assert ended.answer["study"]["basis"] == "estimated"
    said = " ".join(ended.err.split())
    assert "the study is estimated, not measured in the store: " in said
    assert "lacks tokens" in said
    none = plan_of(folder / "study.yaml", "--json", store=False)
    assert none.answer["study"]["basis"] == "estimated"
    assert sum(none.answer["study"]["sampled_documents"].values()) > 1_500
    nowhere = ["--store", folder / "nowhere"]
    assert (
        plan_of(folder / "study.yaml", "--json", *nowhere).answer["study"] == (none.answer["study"])
    )
    assert not (folder / "nowhere").exists()


def test_faults_of_a_study_are_shortages_of_its_plan_and_those_of_its_build(folder):
    arms = {
        "strong": ARMS["strong"],
        "placebo": {"remove": {"placebo_of": "toy", "tolerance": 0}, "fill": "fresh"},
    }
    path = write_study(folder, arms=arms, name="unfit", tolerance=0.01)
    ended = plan_of(path)
    assert ended.code == 5
    places = ["--data", folder / "data", "--filters", folder / "filters"]
    found = fails(5, "build", path, "--out", folder / "no", "--store", folder / "store", *places)
    told = [line for line in found.splitlines() if line.startswith("annealmix: ")]
    assert len(told) == 2
    assert [line for line in ended.err.splitlines() if line.startswith("annealmix: ")] == told
    answer = plan_of(path, "--json").answer
    assert answer["shortages"] == answer["study"]["shortages"]
    assert [f"annealmix: {line}" for line in answer["shortages"]] == told


def test_a_plan_for_people_shows_slots_donors_and_arms(folder):
    ended = plan_of(folder / "study.yaml")
    lines = [line.split() for line in ended.out.splitlines()]
    found = study_of(folder / "study.yaml")
    total = sum(row["slots"] for row in found["sources"].values())
    assert ["total", f"{total:,}"] in [words[:2] for words in lines]
    assert ["half", "fresh", str(found["arms"]["half"]["documents"])] in [
        words[:3] for words in lines
    ]
    assert "study: fresh slots of strong, half, weak, placebo, list, by source" in ended.out
    assert "slots and donors: measured in the store" in ended.out
    estimated = plan_of(folder / "study.yaml", store=False)
    assert "slots and donors: estimated from 1,824 documents of 3 sources" in estimated.out


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 12,000 documents of one source, of which a filter flags about a sixth."""
    folder = tmp_path_factory.mktemp("large")
    texts = [*planted(5, 6_000, share=0.6), *prose(6, 6_000, words=(3, 40))]
    random.Random(1).shuffle(texts)
    write_files(folder / "data", "a", sharded(texts, 6))
    write_list_filter(folder / "filters", "more", MORE_TERMS)
    write_recipe(folder, {"a": {"weight": 1}}, name="plain", budget={"tokens": 200_000})
    arms = {
        "whole": {"remove": "more", "fill": "fresh"},
        "half": {"remove": {"use": "more", "fraction": 0.5}, "fill": "fresh"},
    }
    study = {"name": "large", "base": "plain.yaml", "arms": arms, "tolerance": 1}
    (folder / "large.yaml").write_text(json.dumps(study))
    make_study(folder / "large.yaml")
    return folder


@pytest.mark.parametrize(("chars", "near"), [(200_000, 0.3), (1 << 21, 0.16)])
def test_an_estimated_plan_is_close_to_the_build(large, monkeypatch, chars, near):
    """By about 1,200 of 12,000 documents, and by all of them: within three standard deviations of
    the hundreds that are slots, by chance, and of the hundred that are flagged in the sample.
    """
    monkeypatch.setattr(probing, "ProbeSize", lambda: ProbeSize(sample=(64, chars)))
    measured, estimated = (study_of(large / "large.yaml", store=store) for store in (True, False))
    assert (measured["basis"], estimated["basis"]) == ("measured", "estimated")
    assert (estimated["sampled_documents"]["a"] == 12_000) == (chars > 10**6)
    due, row = measured["sources"]["a"], estimated["sources"]["a"]
    assert due["slots"] > 300
    assert row["slots"] == pytest.approx(due["slots"], rel=near)
    assert row["tokens"] == pytest.approx(due["tokens"], rel=near + 0.05)
    assert row["exact"] / row["slots"] == pytest.approx(due["exact"] / due["slots"], abs=0.05)
    assert row["cut_tokens"] / row["tokens"] == pytest.approx(
        due["cut_tokens"] / due["tokens"], abs=0.05
    )
    for arm in ("whole", "half"):
        assert estimated["arms"][arm]["documents"] == pytest.approx(
            measured["arms"][arm]["documents"], rel=near + 0.1
        )
    for figure in ("documents", "tokens"):
        assert estimated["donors"]["a"][figure] == pytest.approx(
            measured["donors"]["a"][figure], rel=0.06
        )


def test_an_extract_tells_lengths_and_removals_and_the_publisher_sizes(large, tmp_path):
    definition = json.loads((large / "a.yaml").read_text())
    size = {"documents": 12_000_000, "tokens": 300_000_000, "tokenizer": "sample"}
    (large / "a.yaml").write_text(json.dumps({**definition, "published": size}))
    try:
        words = ["plan", large / "large.yaml", "--filters", large / "filters", "--json"]
        ended = run(*words, "--extract", large / "data", "--tokens", "100_000_000")
        found = ended.answer
        assert ended.code == 0, ended.err
        row = found["sources"]["a"]
        assert row["supply_basis"].startswith("published")
        assert row["supply_documents_estimated"] == 12_000_000
        study = {**found["study"], **found["study"]["fillings"][0], "arms": found["study"]["arms"]}
        assert study["sources"]["a"]["slots"] == study["arms"]["whole"]["documents"] > 300_000
        assert study["sources"]["a"]["exact"] / study["sources"]["a"]["slots"] > 0.99
        assert "supply_basis" in run(*words).answer["sources"]["a"]
        assert run(*words).answer["study"]["unknown"]["a"].endswith("--extract some of them")
        both = run(*words, "--extract", large / "data", "--data", large / "data").answer
        assert both["sources"]["a"]["supply_basis"].startswith("probe of 6 of 6 files")
        assert "--extract b=...: no source definition" in fails(2, *words, "--extract", "b=x")
    finally:
        (large / "a.yaml").write_text(json.dumps(definition))


def test_a_recipe_alone_is_planned_by_an_extract_likewise(large):
    filtered = write_recipe(
        large / "alone", {"a": {"weight": 1}}, budget={"tokens": 1_000}, filters=["more"]
    )
    definition = json.loads((large / "alone" / "a.yaml").read_text())
    size = {"documents": 12_000_000, "tokens": 300_000_000, "tokenizer": "sample"}
    (large / "alone" / "a.yaml").write_text(json.dumps({**definition, "published": size}))
    words = ["plan", filtered, "--filters", large / "filters", "--json"]
    row = run(*words, "--extract", large / "data").answer["sources"]["a"]
    assert row["removal_basis"] == "probe"
    assert row["supply_documents_estimated"] == 12_000_000


def test_a_study_is_planned_without_what_would_remove_for_all_arms(folder):
    assert "leave out --removed" in " ".join(
        fails(2, "plan", folder / "study.yaml", "--removed", "shrink").split()
    )
