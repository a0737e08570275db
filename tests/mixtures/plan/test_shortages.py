"""Sources that are short: how sure that is, and remedies that work when they are taken."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from mixtures.errors import SupplyError
from mixtures.estimates import SupplyEstimate
from mixtures.plan.plan import Plan, make_plan
from mixtures.plan.removals import Removal
from mixtures.recipe.load import load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.source_request import Shortfall
from mixtures.stream.quotas import Size

HEAD = "name: mix\ntokenizer: sample\n"


def recipe(folder: Any, sources: str, more: str = "budget: {tokens: 1_000_000}") -> LoadedRecipe:
    for name in "ab":
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nformat: jsonl\nadapter: text\nlicence: CC0\n"
        )
    path = folder / "mix.yaml"
    path.write_text(f"{HEAD}{more}\nsources:\n{sources}\n")
    return load_recipe(str(path))


def supply(tokens: int, error: int = 0) -> SupplyEstimate:
    return SupplyEstimate(tokens // 100, tokens, "probe", tokens - error, tokens + error)


def planned(given: LoadedRecipe, **supplies: SupplyEstimate) -> Plan:
    return make_plan(given, Size(), supplies)


TWO = "  a: {use: a.yaml, weight: 1}\n  b: {use: b.yaml, weight: 1}"


@pytest.mark.parametrize(
    ("tokens", "certainty"),
    [(300_000, "certain"), (470_000, "probable"), (530_000, "possible"), (700_000, None)],
)
def test_how_sure_a_shortage_is_depends_on_where_the_quota_lies_in_the_interval(
    tmp_path, tokens, certainty
):
    plan = planned(recipe(tmp_path, TWO), a=supply(tokens, 60_000), b=supply(10**6))
    assert [item.certainty for item in plan.shortfalls] == ([certainty] if certainty else [])
    assert bool(plan.shortages) == (certainty == "certain")
    assert bool(plan.warnings) == (certainty in ("probable", "possible"))


def test_a_source_that_another_refills_is_not_short_but_its_giver_may_be(tmp_path):
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1, shortfall: {refill: b}}\n  b: {use: b.yaml, weight: 1}",
    )
    assert not planned(given, a=supply(100_000), b=supply(10**6)).shortfalls
    (short,) = planned(given, a=supply(100_000), b=supply(800_000, 50_000)).shortfalls
    assert (short.source, short.asked_tokens, short.certainty) == ("b", 900_000, "certain")


def remedies(plan: Plan) -> dict[str, str]:
    (short,) = plan.shortfalls
    return {item.change: item.value for item in short.remedies}


def taken(given: LoadedRecipe, change: str, value: str) -> LoadedRecipe:
    """The recipe after one remedy."""
    request = given.recipe.sources["a"]
    readings: dict[str, Any] = {
        "repeat": lambda: {"shortfall": Shortfall(repeat=int(value))},
        "refill": lambda: {"shortfall": Shortfall(refill=value)},
        "tokens": lambda: {"tokens": int(value)},
        "weight": lambda: {"weight": Decimal(value)},
        "keys": lambda: {"keys": tuple(map(Decimal, value.strip("[]").split(", ")))},
    }
    update = readings[change]()
    sources = {**given.recipe.sources, "a": request.model_copy(update=update)}
    return replace(given, recipe=given.recipe.model_copy(update={"sources": sources}))


@pytest.mark.parametrize(
    ("asks", "changes"),
    [
        ("weight: 1", {"repeat", "refill", "weight", "budget", "data"}),
        ("tokens: 500_000", {"repeat", "refill", "tokens", "budget", "data"}),
        ("weight: 1, keys: [0.5, 0.75]", {"repeat", "refill", "weight", "budget", "keys", "data"}),
        ("weight: 1, shortfall: {repeat: 2}", {"repeat", "refill", "weight", "budget", "data"}),
    ],
)
def test_every_remedy_works_when_it_is_taken(tmp_path, asks, changes):
    given = recipe(tmp_path, f"  a: {{use: a.yaml, {asks}}}\n  b: {{use: b.yaml, weight: 1}}")
    tokens = 1_000_000 if "keys" in asks else 150_000
    supplies = {"a": supply(tokens, 10_000), "b": supply(4 * 10**6)}
    found = remedies(planned(given, **supplies))
    assert set(found) == changes
    for change, value in found.items():
        if change == "data":
            more = tokens + int(value)
            after = planned(given, **{**supplies, "a": supply(more, 10_000)})
        elif change == "budget":
            after = make_plan(given, Size(tokens=int(value)), supplies)
            assert make_plan(given, Size(tokens=int(value) + 1), supplies).shortfalls
        else:
            after = planned(taken(given, change, value), **supplies)
        assert not after.shortfalls, (change, value)


def test_files_to_add_make_up_for_what_filters_remove_of_them(tmp_path):
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1}",
        "budget: {tokens: 900_000}\nfilters: [control-lists]",
    )
    removal = {"a": Removal(Fraction(1, 2), Fraction(0), "probe", (Fraction(2, 5), Fraction(3, 5)))}
    more = int(remedies(make_plan(given, Size(), {"a": supply(1_000_000)}, removal))["data"])
    assert 1_250_000 <= more < 1_260_000
    assert not make_plan(given, Size(), {"a": supply(1_000_000 + more)}, removal).shortfalls


def test_a_giver_that_is_short_only_where_others_are_shorter_has_remedies_too(tmp_path):
    """At the estimates it is asked less than it has in one epoch, so that its epochs would be
    counted as one.
    """
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1, shortfall: {refill: b}}\n  b: {use: b.yaml, weight: 1}",
    )
    supplies = {"a": supply(400_000, 300_000), "b": supply(700_000)}
    assert remedies(planned(given, **supplies))["repeat"] == "2"


def test_what_would_make_another_source_short_is_no_remedy(tmp_path):
    found = remedies(planned(recipe(tmp_path, TWO), a=supply(100_000), b=supply(520_000)))
    assert "refill" not in found
    assert "weight" not in found
    assert {"repeat", "budget", "data"} <= set(found)


def test_keys_are_not_widened_into_what_an_excluded_recipe_takes(tmp_path):
    (tmp_path / "other.yaml").write_text(
        f"{HEAD}sources:\n  x: {{use: a.yaml, all: true, keys: [0, 0.5]}}\n"
    )
    sources = "  a: {use: a.yaml, weight: 1, keys: [0.5, 0.6]}\n  b: {use: b.yaml, weight: 1}"
    (tmp_path / "a.yaml").write_text("name: a\nformat: jsonl\nadapter: text\nlicence: CC0\n")
    given = recipe(tmp_path, sources, "budget: {tokens: 1_000_000}\nexclude: [other.yaml]")
    assert remedies(planned(given, a=supply(2_000_000), b=supply(10**7)))["keys"] == "[0.5, 0.751]"
    assert "keys" not in remedies(planned(given, a=supply(900_000), b=supply(10**7)))


def test_keys_are_not_widened_into_those_of_another_source_of_the_recipe(tmp_path):
    """The recipe would be refused, since both would take the same documents."""
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1, keys: [0, 0.5]}\n  b: {use: a.yaml, weight: 1, keys:"
        " [0.5, 1]}",
    )
    assert "keys" not in remedies(planned(given, a=supply(800_000), b=supply(4 * 10**6)))
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1, keys: [0, 0.5]}\n  b: {use: a.yaml, weight: 1, keys:"
        " [0.8, 1]}",
    )
    assert remedies(planned(given, a=supply(800_000), b=supply(4 * 10**6)))["keys"] == "[0, 0.626]"


@pytest.mark.parametrize(
    ("tokens", "warned"), [(1_050_000, True), (950_000, True), (700_000, False)]
)
def test_sources_that_are_used_whole_exceed_the_budget_for_certain_only_at_the_lower_end(
    tmp_path, tokens, warned
):
    given = recipe(tmp_path, "  a: {use: a.yaml, all: true}\n  b: {use: b.yaml, weight: 1}")
    plan = planned(given, a=supply(tokens, 200_000), b=supply(4 * 10**6))
    assert any("used whole" in line for line in plan.warnings) == warned
    assert not plan.shortages
    assert plan.sources["a"].resolved_tokens == (850_000 if tokens > 1_000_000 else tokens)
    with pytest.raises(SupplyError, match="used whole hold 1,050,000"):
        planned(given, a=supply(1_250_000, 200_000), b=supply(4 * 10**6))


@pytest.mark.parametrize(("quota", "certainty"), [(1_000_000, "probable"), (1_000_002, "certain")])
def test_a_published_removal_alone_makes_no_shortage_certain(tmp_path, quota, certainty):
    """It is that of other documents; of these, nothing at all may be removed."""
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1}",
        f"budget: {{tokens: {quota}}}\nfilters: [control-lists]",
    )
    plan = make_plan(
        given,
        Size(),
        {"a": supply(1_000_001)},
        {"a": Removal(Fraction(1, 5), Fraction(0), "published of the whole mix")},
    )
    assert [item.certainty for item in plan.shortfalls] == [certainty]


def test_copies_count_at_the_upper_end_before_a_shortage_is_certain():
    removal = Removal(
        Fraction(1, 10), Fraction(1, 20), "probe", (Fraction(0), Fraction(1, 5)), Fraction(1, 8)
    )
    found = removal.filling(supply(1_000_000))
    assert (found.low, found.tokens, found.high) == (850_000, 950_000, 1_125_000)


def test_leaving_gaps_is_a_remedy_where_filters_make_the_source_short(tmp_path):
    given = recipe(
        tmp_path,
        "  a: {use: a.yaml, weight: 1}",
        "budget: {tokens: 900_000}\nfilters: [control-lists]",
    )
    removal = {
        "a": Removal(Fraction(1, 5), Fraction(0), "probe", (Fraction(1, 10), Fraction(3, 10)))
    }
    plan = make_plan(given, Size(), {"a": supply(1_000_000)}, removal)
    assert remedies(plan)["removed"] == "shrink"
    assert plan.shortfalls[0].certainty == "probable"
    assert plan.shortfalls[0].available_tokens_interval == (700_000, 900_000)


def test_published_figures_are_taken_at_their_word(tmp_path):
    given = recipe(tmp_path, TWO)
    exact = {
        "a": SupplyEstimate(100, 499_999, "published"),
        "b": SupplyEstimate(100, 600_000, "published"),
    }
    assert [item.certainty for item in planned(given, **exact).shortfalls] == ["certain"]
