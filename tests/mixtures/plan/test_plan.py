"""What a plan says of filters, copies and inserts, from published figures or from a probe's."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.estimates import SupplyEstimate
from mixtures.plan.plan import FilterPlan, Plan, make_plan
from mixtures.plan.removal_levels import estimated_removals, published_levels
from mixtures.plan.removals import Removal, published_removals
from mixtures.plan.source_plan import published_supplies
from mixtures.recipe.load import list_recipes, load_recipe
from mixtures.rules.levels import LEVELS
from mixtures.stream.quotas import Size

PRETRAINING, ANNEALING = 499_998_787_585, 50_000_300_033  # of the published schedules
NEVER, TWICE = "20.6%", "29.8%"  # deep-ignorance.md section 2, of a mix that lost 8.4%


def planned(name: str, rule: Any = None, size: Size = Size()) -> Plan:  # noqa: B008
    recipe = load_recipe(name)
    return make_plan(
        recipe.with_removed(rule) if rule else recipe, size, published_supplies(recipe)
    )


def small(folder: Path, filters: str, published: str = "") -> str:
    """A recipe of one source of 900,000 tokens, half of its supply."""
    (folder / "a.yaml").write_text("name: a\nformat: jsonl\nadapter: text\nlicence: CC0\n")
    path = folder / "mix.yaml"
    head = (
        "name: mix\ntokenizer: sample\nbudget: {tokens: 900_000}\nsources:\n  a: {use: a.yaml,"
        " weight: 1}\n"
    )
    path.write_text(f"{head}filters: [{filters}]\n{published}\n")
    return str(path)


def test_a_shrunk_mix_at_the_full_schedule_shows_what_the_published_runs_saw():
    plan = planned("pretraining-500b-strong", "shrink")
    assert plan.total_tokens == PRETRAINING
    assert plan.left_tokens_estimated == PRETRAINING * 9158 // 10_000
    assert plan.as_json()["trainer_fit"]["steps"] == 119_209
    seen = plan.as_json()["trainer_fit"]["trainers"]["gpt-neox"]
    assert (seen["epochs"], seen["exposure"]["never"], seen["exposure"]["twice"]) == (
        2,
        NEVER,
        TWICE,
    )
    (note,) = [note for note in plan.notes if note.startswith("removed: shrink")]
    assert NEVER in note
    assert TWICE in note


def test_a_shrunk_annealing_mix_is_read_at_its_own_schedule():
    plan = planned("annealing-50b-strong", "shrink")
    assert plan.as_json()["trainer_fit"]["steps"] == 11_921
    assert plan.as_json()["trainer_fit"]["trainers"]["gpt-neox"]["epochs"] == 2


def test_a_refilled_mix_fits_its_trainer_as_the_unfiltered_one():
    for arm in ("annealing-50b-strong", "annealing-50b-weak", "annealing-50b-extra-weak"):
        plan = planned(arm)
        assert plan.left_tokens_estimated == plan.total_tokens == ANNEALING
        assert plan.fit == planned("annealing-50b").fit


def test_refilling_takes_more_of_a_source_and_shrinking_takes_what_the_unfiltered_mix_takes():
    plain = planned("annealing-50b").sources
    refilled, shrunk = (
        planned("annealing-50b-strong", rule).sources for rule in ("refill", "shrink")
    )
    for name in ("pes2o-papers", "flan", "dclm"):
        assert float(refilled[name].key_ceiling_estimated) > float(
            plain[name].key_ceiling_estimated
        )
        assert shrunk[name].key_ceiling_estimated == plain[name].key_ceiling_estimated
        assert (
            shrunk[name].left_tokens_estimated
            < shrunk[name].resolved_tokens
            == plain[name].resolved_tokens
        )
    ratio = float(refilled["dclm"].tokenized_share_estimated) / float(
        plain["dclm"].tokenized_share_estimated
    )
    ratio *= plain["dclm"].resolved_tokens / refilled["dclm"].resolved_tokens
    assert ratio == pytest.approx(1 / (1 - 0.0844), rel=0.001)


def test_a_source_that_is_used_whole_lacks_what_filters_remove_and_dclm_gives_it():
    plain, filtered = planned("annealing-50b"), planned("annealing-50b-strong")
    short = {name: sum(row.refilled.values()) for name, row in filtered.sources.items()}
    for name in ("camel-biology", "wiki", "stackexchange"):
        assert short[name] > sum(plain.sources[name].refilled.values())
    papers = short.pop("pes2o-abstracts")
    assert filtered.sources["pes2o-papers"].resolved_tokens == papers
    assert filtered.sources["dclm"].resolved_tokens == ANNEALING // 2 + sum(short.values())


def test_a_plan_says_what_must_be_brought_and_what_is_not_known():
    notes = planned("pretraining-500b-weak").notes
    assert any(
        "deep-ignorance weak must be brought" in note and "--filters DIR" in note for note in notes
    )
    assert any(note.startswith("dclm: what filters remove is not published") for note in notes)
    plan = planned("annealing-50b-strong-weak-corruption")
    assert plan.filters == (FilterPlan("deep-ignorance strong", "not brought"),)
    assert plan.inserts["rewrites"].tokens_estimated is None
    assert any("--data rewrites-weak-corruption=DIR" in note for note in plan.notes)


def test_an_unfiltered_plan_has_no_filters_and_removes_nothing():
    plan = planned("annealing-50b")
    assert (plan.filters, plan.removed, plan.inserts) == ((), None, {})
    assert {row.removal_basis for row in plan.sources.values()} == {None}


def test_where_only_the_whole_mix_is_published_every_source_is_taken_to_lose_that():
    found = published_removals(load_recipe("annealing-50b-extra-weak"))
    assert {(removal.removed, removal.basis) for removal in found.values()} == {
        (Fraction(202, 10_000), "published of the whole mix")
    }


def test_estimates_of_levels_are_nested_in_every_source_as_levels_are():
    for name in list_recipes():
        levels = published_levels(load_recipe(name))
        for weaker, stronger in pairwise(level for level in LEVELS if level in levels):
            for source, removal in levels[weaker].items():
                assert removal.removed <= levels[stronger][source].removed, (name, source, weaker)


def test_a_figure_of_the_whole_mix_is_shared_out_as_at_the_next_stronger_level():
    found = estimated_removals(load_recipe("annealing-50b-extra-weak"))
    weak = published_removals(load_recipe("annealing-50b-weak"))
    assert {name: removal.removed for name, removal in found.items()} == {
        name: removal.removed * Fraction("2.02") / Fraction("5.04")
        for name, removal in weak.items()
    }
    bases = {removal.basis for removal in found.values()}
    assert bases == {"published of the whole mix, shared as at weak"}


def test_a_dose_removes_its_fraction_of_what_is_published(tmp_path):
    published = "published: {removed_percent: 10}"
    whole, half = (
        published_removals(load_recipe(small(tmp_path, item, published)))["a"].removed
        for item in ("control-lists", "{use: control-lists, fraction: 0.5}")
    )
    assert (whole, half) == (Fraction(1, 10), Fraction(1, 20))


def test_a_supply_that_covers_the_quota_may_not_cover_it_after_filters(tmp_path):
    recipe = load_recipe(small(tmp_path, "control-lists"))
    supplies = {"a": SupplyEstimate(1_000, 1_000_000, "probe")}
    for removed, copied, short in (
        (0, 0, False),
        (Fraction(1, 5), 0, True),
        (Fraction(1, 5), Fraction(1, 5), False),
        (1, 0, True),
    ):
        removal = Removal(
            Fraction(removed), Fraction(copied), "probe", (Fraction(removed), Fraction(removed))
        )
        plan = make_plan(recipe, Size(), supplies, {"a": removal})
        assert bool(plan.shortages) == short, (removed, copied)
        shrunk = make_plan(
            recipe.with_removed("shrink"),
            Size(),
            supplies,
            {"a": Removal(Fraction(removed), Fraction(copied), "probe")},
        )
        assert not shrunk.shortages
        assert shrunk.left_tokens_estimated == int(
            900_000 * (1 - Fraction(removed) + Fraction(copied))
        )


def test_inserts_on_top_add_their_tokens_as_often_as_they_are_used():
    recipe = load_recipe("annealing-50b-strong-weak-corruption")
    supplies = {
        **published_supplies(recipe),
        "rewrites": SupplyEstimate(24_453, 100_000_000, "probe"),
    }
    plan = make_plan(recipe, Size(), supplies)
    assert plan.total_tokens == ANNEALING + 100_000_000
    assert (
        make_plan(recipe, Size(scale=Fraction(1, 10)), supplies).total_tokens
        == ANNEALING // 10 + 10_000_000
    )


def test_removed_overrides_the_recipe_as_if_its_file_said_so(tmp_path):
    recipe = load_recipe(small(tmp_path, "control-lists"))
    written = load_recipe(small(tmp_path, "control-lists", "removed: shrink"))
    assert recipe.with_removed("shrink").digest == written.digest != recipe.digest
    assert recipe.with_removed("refill").digest == recipe.digest


def test_there_is_nothing_to_shrink_without_filters():
    with pytest.raises(RecipeError, match="annealing-50b: has no filters"):
        load_recipe("annealing-50b").with_removed("shrink")


def test_supplies_that_another_tokenizer_counted_are_converted_by_a_stated_ratio_and_said():
    recipe = load_recipe("annealing-50b")
    supplies = published_supplies(recipe)
    size = recipe.definitions["stackexchange"].published
    assert size
    assert (size.tokenizer, size.tokens) == ("dolma2", 1_260_000_000)
    supply = supplies["stackexchange"]
    assert supply.tokens == 1_260_000_000 * 1119 // 1000 + size.documents
    assert supply.basis == "published, by dolma2 x 1.119"
    assert supplies["dclm"].basis == "published"
    notes = planned("annealing-50b").notes
    assert any("stackexchange (dolma2 x 1.119)" in note for note in notes)


def test_a_supply_without_a_ratio_is_taken_as_it_is_and_said(tmp_path):
    path = small(tmp_path, "control-lists")
    (tmp_path / "a.yaml").write_text(
        "{name: a, format: jsonl, adapter: text, licence: CC0, published: {documents: 10, tokens:"
        " 2_000_000, tokenizer: cl100k}}"
    )
    recipe = load_recipe(path)
    supplies = published_supplies(recipe)
    assert supplies["a"].tokens == 2_000_010
    notes = make_plan(recipe, Size(), supplies).notes
    assert any("taken as if sample had: a (cl100k)" in note for note in notes)
