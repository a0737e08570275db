"""manifests/ is what the code makes today: `make manifests` writes it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixtures.recipe.load import list_recipes, load_recipe
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.commands.plan import build_plan as planning
from pipeline.executors.local import LocalExecutor

MANIFESTS = Path(__file__).parent.parent / "manifests"
PREVIEWS = {"sample", "sample-pretraining"}


@pytest.mark.parametrize("name", sorted(set(list_recipes()) - PREVIEWS))
def test_the_plan_of_every_full_scale_recipe_is_up_to_date(name):
    plan = json.loads(json.dumps(planning.plan(planning.PlanRequest(load_recipe(name))).as_json()))
    assert json.loads((MANIFESTS / f"{name}.plan.json").read_text()) == plan, "run `make manifests`"


def mixes() -> list[dict[str, Any]]:
    """The plans of the published mixes."""
    found = [json.loads(path.read_text()) for path in sorted(MANIFESTS.glob("*-50*b*.plan.json"))]
    assert len(found) == 10
    return found


def test_every_figure_that_is_published_of_a_mix_is_within_three_per_cent_of_its_plan():
    """Documents of filtered mixes are those that filters left: of the published condition, not of
    the refilled one.
    """
    compared = 0
    for plan in mixes():
        for row in plan["published"]:
            if row["name"] == "total" and plan["removed"]:
                continue
            for name in ("documents", "tokens", "tokens_a_document"):
                mine, published = row[name], row[f"published_{name}"]
                if published:
                    compared += 1
                    assert abs(mine - published) <= 0.03 * published, (plan["recipe"], row)
            assert row["off"] == {}, (plan["recipe"], row)
    assert compared == 3 * (9 + 2)  # eight sources and all of annealing, one and all of pretraining


@pytest.mark.parametrize("plan", mixes(), ids=lambda plan: str(plan["recipe"]))
def test_documents_of_a_filtered_mix_in_the_published_condition_are_as_published(plan):
    recipe = load_recipe(plan["recipe"])
    figures = recipe.recipe.published
    if not recipe.filters or figures is None:
        pytest.skip("nothing is published of what its filter left")
    request = planning.PlanRequest(recipe.with_removed("shrink"))
    total = planning.plan(request).plan.published[-1]
    assert (total.name, total.published_documents) == ("total", figures.documents)
    assert total.documents is not None
    assert figures.documents is not None
    assert abs(total.documents - figures.documents) <= 0.03 * figures.documents


@pytest.mark.parametrize("name", [plan["recipe"] for plan in mixes()])
def test_every_mix_is_one_epoch_of_the_steps_of_its_trainer(name):
    plan = json.loads((MANIFESTS / f"{name}.plan.json").read_text())
    fit = plan["trainer_fit"]
    assert fit["steps"] == (11_921 if "annealing" in name else 119_209)
    assert (fit["meant_for"], fit["trainers"]["gpt-neox"]["epochs"]) == ("gpt-neox", 1)
    assert fit["trainers"]["gpt-neox"]["single_epoch_steps"] == fit["steps"]
    assert fit["trainers"]["gpt-neox"]["warnings"] == []


def test_plans_say_which_figures_are_estimates():
    for path in MANIFESTS.glob("*.plan.json"):
        for source in json.loads(path.read_text())["sources"].values():
            assert {key for key in source if key.startswith("supply_")} == {
                "supply_tokens_estimated",
                "supply_tokens_interval",
                "supply_documents_estimated",
                "supply_basis",
            }


def test_the_sample_builds_to_its_reference_manifest_on_any_machine(tmp_path):
    built = build(
        BuildRequest(
            load_recipe("sample"),
            tmp_path / "mix",
            tmp_path / "store",
            executor=LocalExecutor(workers=1),
        )
    )
    reference = json.loads((MANIFESTS / "sample.json").read_text())
    assert built["identity"] == reference["identity"]
    assert built == reference
