"""manifests/ is what the code makes today: `make manifests` writes it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixtures.recipe.load import list_recipes, load_recipe
from pipeline.build.build import BuildRequest, build
from pipeline.commands.plan import build_plan as planning
from pipeline.executors.local import LocalExecutor

MANIFESTS = Path(__file__).parent.parent / "manifests"
PREVIEWS = {"sample", "sample-pretraining"}


@pytest.mark.parametrize("name", sorted(set(list_recipes()) - PREVIEWS))
def test_the_plan_of_every_full_scale_recipe_is_up_to_date(name):
    plan = json.loads(json.dumps(planning.plan(planning.PlanRequest(load_recipe(name))).as_json()))
    assert json.loads((MANIFESTS / f"{name}.plan.json").read_text()) == plan, "run `make manifests`"


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
