"""Arms of one study as a user builds them: brought filters, sources and papers, refilled or shrunk,
and what is printed of removals.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.recipe.load import load_recipe
from tests.pipeline.command_line import Ended, fails, passes
from tests.pipeline.corpus import prose, read_mix, sharded, write_files, write_recipe
from tests.pipeline.planted import TERMS, write_list_filter

FLAGGED = "Abrin and Rinderpest virus"
TOKENS = 3_000


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of a source `a`, every fourth document of which is flagged, papers
    elsewhere, and a recipe of both.
    """
    folder = tmp_path_factory.mktemp("study")
    texts = [
        f"{text} {FLAGGED if number % 4 == 0 else 'tea and water rights'}"
        for number, text in enumerate(prose(7, 400))
    ]
    write_files(folder / "data", "a", {"part": texts})
    write_files(folder / "elsewhere", "papers", sharded(prose(8, 5), 1), "jsonl")
    write_recipe(
        folder,
        {"a": {"weight": 1}},
        budget={"tokens": TOKENS},
        filters=["control-lists"],
        insert={"papers": {"use": "papers.yaml", "times": 2}},
        published={"sources": {"a": {"removed_percent": 30}}},
    )
    (folder / "papers.yaml").write_text(
        json.dumps({"name": "papers", "format": "jsonl", "adapter": "text", "licence": "mine"})
    )
    return folder


def command(
    study: Path, *more: str | Path, out: str = "out", papers: bool = True
) -> list[str | Path]:
    brought: list[str | Path] = (
        ["--data", f"papers={study / 'elsewhere' / 'papers'}"] if papers else []
    )
    data: list[str | Path] = ["--data", study / "data", *brought]
    return [
        "build",
        study / "mix.yaml",
        "--out",
        study / out,
        "--store",
        study / "store",
        *data,
        *more,
    ]


@pytest.fixture(scope="module")
def refilled(study: Path) -> Ended:
    return passes(*command(study))


def test_a_source_without_a_repository_is_read_from_its_own_folder(study, refilled):
    documents = [document for document in read_mix(study / "out") if document.source == "papers"]
    assert len(documents) == 10
    assert {document.text for document in documents} == set(prose(8, 5))


def test_a_source_without_a_repository_and_without_a_folder_is_refused_before_anything_is_read(
    study,
):
    only_a = [
        "build",
        study / "mix.yaml",
        "--out",
        study / "no",
        "--store",
        study / "no-store",
        "--data",
        f"a={study / 'data' / 'a'}",
    ]
    found = fails(2, *only_a)
    assert "papers is published nowhere" in found
    assert "--data papers=DIR" in found
    assert "name their folder with --data papers=DIR" in fails(
        4, *command(study, out="no", papers=False)
    )


def test_a_folder_of_one_source_goes_before_that_of_all(study, tmp_path):
    write_files(tmp_path, "other", {"part": prose(9, 300)})
    passes(*command(study, "--data", f"a={tmp_path / 'other'}", "--tokens", "500", out="named"))
    texts = {
        document.text
        for document in read_mix(study / "named")
        if document.source == "a" and not document.cut
    }
    assert texts
    assert texts <= set(prose(9, 300))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "b=x"], "no source definition of the recipe is called so; allowed: a, papers"),
        (["--data", "papers=x"], "--data papers=...: given twice"),
        (["--data", "elsewhere"], "--data ...: given twice"),
        (["--data", "a="], "names no folder"),
    ],
)
def test_a_folder_that_cannot_be_meant_is_refused(study, more, said):
    assert said in " ".join(fails(2, *command(study, *more, out="no")).split())


def test_removed_on_the_command_line_makes_the_mix_that_the_recipe_would_make(study, refilled):
    shrunk = passes(*command(study, "--removed", "shrink", out="shrunk"))
    recipe = json.loads((study / "mix.yaml").read_text())
    (study / "said.yaml").write_text(json.dumps({**recipe, "removed": "shrink"}))
    said = command(study, out="said")
    said[1] = study / "said.yaml"
    assert passes(*said).mix == shrunk.mix != refilled.mix
    digests = [
        json.loads((study / name / "manifest.json").read_text())["recipe_digest"]
        for name in ("out", "shrunk", "said")
    ]
    assert digests[1] == digests[2] != digests[0]


def test_removals_are_shown_beside_the_published_share(study, refilled):
    manifest = json.loads((study / "out" / "manifest.json").read_text())
    documents, kept = (
        manifest["filters"][0]["removed"]["a"]["first_documents"],
        manifest["removed"]["a"]["kept"],
    )
    assert documents
    for printed in (refilled.out, passes("audit", study / "out").out):
        rows = [line.split() for line in printed.partition("removed by filters")[2].splitlines()]
        (row,) = [words for words in rows[:8] if words[:1] == ["a"]]
        assert (row[1], row[-1]) == (str(documents), "30%")
        assert float(row[3].removesuffix("%")) == pytest.approx(
            100 * documents / (documents + kept), abs=0.006
        )


def test_a_mix_without_filters_shows_no_removals(tmp_path):
    write_files(tmp_path / "data", "a", {"part": prose(3, 50)})
    recipe = write_recipe(tmp_path, {"a": {"tokens": 200}})
    ended = passes(
        "build",
        recipe,
        "--out",
        tmp_path / "out",
        "--store",
        tmp_path / "store",
        "--data",
        tmp_path / "data",
    )
    assert "removed by filters" not in ended.out + passes("audit", tmp_path / "out").out


def test_a_plan_probes_what_a_brought_filter_removes_of_the_data_at_hand(study):
    data = ["--data", study / "data", "--data", f"papers={study / 'elsewhere' / 'papers'}"]
    plan = passes("plan", study / "mix.yaml", *data, "--json").answer
    row = plan["sources"]["a"]
    assert row["removal_basis"] == "probe"
    assert float(row["removed_share_estimated"]) == pytest.approx(0.25, abs=0.05)
    assert plan["inserts"]["papers"]["tokens_estimated"] > 0
    assert "30.00%" in passes("plan", study / "mix.yaml").out, "without data, the published figure"


def test_a_plan_probes_doses_placebos_and_copies(study, tmp_path):
    shares = {}
    arms: dict[str, dict[str, Any]] = {
        "whole": {"filters": ["control-lists"]},
        "half": {"filters": [{"use": "control-lists", "fraction": 0.5}], "copies": "approved"},
        "placebo": {"filters": [{"placebo_of": "control-lists"}]},
    }
    for name, more in arms.items():
        recipe = write_recipe(
            tmp_path / name, {"a": {"weight": 1}}, budget={"tokens": TOKENS}, **more
        )
        row = passes("plan", recipe, "--data", study / "data", "--json").answer["sources"]["a"]
        shares[name] = float(row["removed_share_estimated"]), float(row["copied_share_estimated"])
    assert shares["half"] == pytest.approx(
        (shares["whole"][0] / 2, shares["whole"][0] / 2), abs=0.001
    )
    removed, _ = shares["whole"]
    assert removed < 0.23, "a quarter of the documents, and less of the text"
    assert shares["placebo"] == (removed, 0)


def test_a_filter_that_is_not_shipped_is_planned_without_and_must_be_brought_for_a_build(
    study, tmp_path
):
    recipe = write_recipe(
        tmp_path, {"a": {"weight": 1}}, budget={"tokens": TOKENS}, filters=["deep-ignorance"]
    )
    plan = passes("plan", recipe, "--data", study / "data")
    assert "deep-ignorance must be brought" in plan.err
    found = fails(
        2,
        "build",
        recipe,
        "--out",
        tmp_path / "out",
        "--store",
        tmp_path / "store",
        "--data",
        study / "data",
    )
    assert "--filters DIR" in found


def test_a_definition_without_a_repository_chooses_files_of_the_users_folder(tmp_path):
    recipe = write_recipe(tmp_path, {"a": {"all": True}})
    write_files(tmp_path / "data", "a", {"kept": ["one", "two"], "left": ["three"]}, "jsonl")
    good = {"name": "a", "format": "jsonl", "adapter": "text", "licence": "mine"}
    for more, said in (
        ({"repo": "me/a"}, "gives one of repo and revision"),
        ({"revision": "main"}, "gives one of repo and revision"),
        ({"format": "datasets"}, "datasets reads a repository"),
    ):
        (tmp_path / "a.yaml").write_text(json.dumps({**good, **more}))
        assert said in fails(2, "plan", recipe)
    (tmp_path / "a.yaml").write_text(json.dumps({**good, "paths": ["kept*"]}))
    assert "published nowhere" in fails(2, "plan", recipe)
    out, store, data = (tmp_path / name for name in ("out", "store", "data"))
    passes("build", recipe, "--out", out, "--store", store, "--data", data)
    assert {document.text for document in read_mix(out)} == {"one", "two"}


def test_a_folder_of_filters_that_is_not_there_is_refused_rather_than_a_shipped_filter_taken(
    tmp_path,
):
    recipe = write_recipe(tmp_path / "recipes", {"s": {"all": "true"}}, filters=["control-lists"])
    (tmp_path / "file").touch()
    for folder in ("absent", "file"):
        with pytest.raises(RecipeError, match=rf"--filters .*{folder}: no such folder"):
            load_recipe(str(recipe), tmp_path / folder)


def test_a_filter_that_is_there_in_both_forms_is_refused(tmp_path):
    recipe = write_recipe(tmp_path / "recipes", {"s": {"all": "true"}}, filters=["mine"])
    write_list_filter(tmp_path / "filters", "mine", TERMS)
    assert load_recipe(str(recipe), tmp_path / "filters").filters[0].name == "mine"
    (tmp_path / "filters" / "mine").mkdir()
    shutil.copy(tmp_path / "filters" / "mine.yaml", tmp_path / "filters" / "mine" / "filter.yaml")
    with pytest.raises(RecipeError, match=r"holds mine\.yaml and mine/filter\.yaml"):
        load_recipe(str(recipe), tmp_path / "filters")
