"""What a plan estimates of a study: of nested levels and doses nested arms, of filters that are not
at hand what is published, and of what nobody knows that it is not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtures.estimates import SupplyEstimate
from mixtures.plan.arms import StudyPlan, estimated_study, key_share
from mixtures.plan.chances import Known
from mixtures.plan.plan import make_plan
from mixtures.plan.removal_levels import published_levels
from mixtures.plan.sampled import SampledDocuments
from mixtures.plan.source_plan import published_supplies, supplies_within
from mixtures.stream.arms.load import load_study
from mixtures.stream.quotas import Size

ARMS: dict[str, dict[str, Any]] = {
    "strong": {"remove": {"use": "deep-ignorance", "level": "strong"}, "fill": "fresh"},
    "half": {
        "remove": {"use": "deep-ignorance", "level": "strong", "fraction": 0.5},
        "fill": "fresh",
    },
    "weak": {"remove": {"use": "deep-ignorance", "level": "weak"}, "fill": "fresh"},
    "placebo": {"remove": {"placebo_of": "deep-ignorance", "level": "strong"}, "fill": "fresh"},
    "masked": {"remove": {"use": "deep-ignorance", "level": "strong"}, "fill": "mask"},
    "terms": {"remove": {"use": "deep-ignorance", "level": "weak"}, "fill": "mask-terms"},
}
USED_WHOLE = ("camel-biology", "camel-chemistry", "camel-physics", "wiki", "stackexchange")
LENT = {name: {"source": "dclm"} for name in (*USED_WHOLE, "pes2o-abstracts")}


def known(
    folder: Path, arms: Mapping[str, Any] = ARMS, donors: Mapping[str, Any] = LENT, **more: Any
) -> Known:
    """What is known of a study of annealing-50b, a thousandth of it, of whose sources 400 documents
    were drawn.
    """
    study = {"name": "study", "base": "annealing-50b", "arms": arms, "donors": donors, **more}
    (folder / "study.yaml").write_text(json.dumps(study))
    loaded = load_study(folder / "study.yaml")
    base, supplies = loaded.base, published_supplies(loaded.base)
    draw = np.random.default_rng(1)
    lengths = np.maximum(draw.lognormal(6, 1, 400), 1).astype(np.int64)
    plan = make_plan(base, Size(tokens=50_000_000), supplies)
    return Known(
        loaded,
        plan.sources,
        supplies_within(base, supplies),
        {name: SampledDocuments(lengths, np.ones(400), {}) for name in base.recipe.sources},
        published_levels(base),
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Known, StudyPlan]:
    asked = known(tmp_path_factory.mktemp("arms"), tolerance=1)
    return asked, estimated_study(asked)


def test_arms_of_published_filters_remove_their_published_shares(found):
    asked, plan = found
    for arm, level in (("strong", "strong"), ("weak", "weak")):
        due = 0.0
        for name, row in asked.rows.items():
            supply = asked.supplies[name]
            taken = min(row.resolved_tokens / supply.tokens, 1) * supply.documents
            due += taken * float(asked.levels[level][name].removed)
        assert plan.arms[arm].documents == pytest.approx(due, abs=len(asked.rows))
    assert plan.arms["half"].documents == pytest.approx(plan.arms["strong"].documents / 2, abs=9)
    assert plan.arms["half"].tokens == pytest.approx(plan.arms["strong"].tokens / 2, rel=0.001)
    assert plan.arms["masked"] == replace(plan.arms["strong"], fill="mask")
    assert plan.arms["terms"] == replace(plan.arms["weak"], fill="mask-terms")
    assert plan.arms["placebo"].documents == plan.arms["strong"].documents


def test_slots_of_nested_arms_are_those_of_the_strongest_and_of_placebos_their_own(found):
    _, plan = found
    (figures,) = plan.figures
    total = figures.total
    assert total.slots == 2 * plan.arms["strong"].documents
    assert total.tokens == plan.arms["strong"].tokens + plan.arms["placebo"].tokens
    assert total.exact + total.cut + total.joined == total.slots
    used = figures.donors.values()
    assert sum(one.used_tokens for one in used) == total.tokens
    assert set(figures.donors) == {"dclm", "flan"}, "a thousandth takes no papers"


def test_donors_lie_behind_the_quota_and_below_their_end_and_none_is_flagged(tmp_path):
    asked = known(tmp_path, donors={**LENT, "dclm": {"below": 0.85}}, tolerance=1)
    plan = estimated_study(asked)
    row, supply = asked.rows["dclm"], asked.supplies["dclm"]
    assert supply is not None
    low, high = map(key_share, plan.figures[0].donors["dclm"].keys)
    begins = 0.8 + 0.19 * row.resolved_tokens / supply.tokens
    assert float(low) == pytest.approx(begins, abs=1e-5)
    assert high == "0.850000"
    width = supply.documents * (0.85 - begins) / 0.19
    flagged = float(asked.levels["strong"]["dclm"].removed)
    assert plan.figures[0].donors["dclm"].documents == pytest.approx(
        width * (1 - flagged), rel=1e-4
    )


def test_a_source_that_is_used_whole_has_no_donors_which_is_a_shortage_with_its_remedy(tmp_path):
    lent = {name: giver for name, giver in LENT.items() if name != "wiki"}
    asked = replace(known(tmp_path, donors=lent))
    whole = SupplyEstimate(100_000, asked.rows["wiki"].resolved_tokens, "a guess")
    plan = estimated_study(replace(asked, supplies={**asked.supplies, "wiki": whole}))
    (line,) = plan.shortages
    assert "study.yaml: donors: the slots of wiki have" in line
    assert "Let another source give donors (source), such as dclm, which has" in line
    assert not plan.warnings


def test_a_shortage_that_an_interval_may_mend_is_a_warning(tmp_path):
    asked = known(tmp_path, donors={**LENT, "flan": {"below": 0.9}}, tolerance=1)
    quota = asked.rows["flan"].resolved_tokens
    for high, certain in ((quota * 9, False), (quota * 12 // 10, True)):
        supply = SupplyEstimate(quota // 660, quota * 111 // 100, "a guess", quota, high)
        plan = estimated_study(replace(asked, supplies={**asked.supplies, "flan": supply}))
        (line,) = plan.shortages if certain else plan.warnings
        assert "study.yaml: donors.flan.below: the slots of flan have" in line
        assert "let those of flan go further (below, up to 0.99)" in line
        assert line.startswith("probably ") == (not certain)
        assert bool(plan.shortages) == certain


def test_what_nobody_knows_is_said_with_what_would_tell(tmp_path):
    arms = {**ARMS, "own": {"remove": {"use": "deep-ignorance"}, "fill": "fresh"}}
    plan = estimated_study(known(tmp_path, arms))
    assert set(plan.unknown.values()) == {
        "what deep-ignorance removes is not known; --filters brings it"
    }
    asked = known(tmp_path)
    few = {name: one for name, one in asked.samples.items() if name != "dclm"}
    plan = estimated_study(replace(asked, samples=few))
    assert set(plan.unknown) == {*LENT, "dclm"}
    assert plan.unknown["dclm"].startswith("lengths of documents are not known; --data probes")
    assert plan.unknown["wiki"].startswith("dclm gives its donors, and lengths of documents")
    assert set(plan.figures[0].sources) == {"flan"}
    plan = estimated_study(replace(asked, supplies={**asked.supplies, "flan": None}))
    assert plan.unknown == {"flan": "the size is not known; --data probes it"}


def test_approved_donors_are_not_estimated_and_their_arms_are_named(tmp_path):
    arms = {"approved": {**ARMS["weak"], "fill": "approved"}, "strong": ARMS["strong"]}
    plan = estimated_study(known(tmp_path, arms))
    assert [figures.filled.arms for figures in plan.figures] == [("strong",)]
    assert 0 < plan.arms["approved"].documents < plan.arms["strong"].documents
    assert plan.notes == (
        "approved: how approved documents fill their slots is not estimated; --store measures it"
        " where a build of the study has read them",
    )
    alone = estimated_study(known(tmp_path, {"approved": arms["approved"]}))
    assert not alone.figures
    assert alone.arms["approved"] == plan.arms["approved"]
