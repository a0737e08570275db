"""Quotas sum to the budget, are those of Webster, are nested at every size, and shortfalls never
depend on how much was counted first.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mixtures.errors import RecipeError, SupplyError
from mixtures.recipe.faults import MAX_TOKENS
from mixtures.recipe.load import load_recipe
from mixtures.recipe.model import Recipe
from mixtures.stream.quotas import (
    Quotas,
    Size,
    Supply,
    asked_quotas,
    largest_fit,
    refill_order,
    resolve_quotas,
    scale_of,
    sized,
    webster,
)
from mixtures.trainers.schedule import Schedule

WEIGHTS = st.lists(st.fractions(0, 50, max_denominator=40), min_size=1, max_size=7).filter(any)
SCALES = st.fractions(0, 1, max_denominator=1000)


def by_hand(shares: list[Fraction], seats: int) -> list[int]:
    """Webster's method as a clerk does it: each seat in turn goes to the largest quotient, the
    earlier one of equals.
    """
    given_seats = [0] * len(shares)
    for _ in range(seats):
        quotients = [
            share / (2 * held + 1) for share, held in zip(shares, given_seats, strict=True)
        ]
        given_seats[quotients.index(max(quotients))] += 1
    return given_seats


def recipe(
    sources: dict[str, dict[str, Any]], budget: int | None = None, **more: dict[str, Any]
) -> Recipe:
    fields: dict[str, Any] = {"name": "mix", "tokenizer": "sample", **more}
    fields["sources"] = {
        name: {"use": f"definition-{name}", **request} for name, request in sources.items()
    }
    return Recipe.model_validate(fields | ({"budget": {"tokens": budget}} if budget else {}))


def whole(**tokens: int) -> dict[str, Supply]:
    return {name: Supply(count, complete=True) for name, count in tokens.items()}


@given(WEIGHTS, st.integers(0, 120))
@example([Fraction(1)] * 5, 3)  # all round up to a seat, which two give back
@example([Fraction(5), *[Fraction(1)] * 45], 5)  # all round down to none, and one takes two
def test_seats_are_those_that_a_clerk_gives_one_by_one(shares, seats):
    assert webster(shares, seats) == by_hand(shares, seats)


@given(WEIGHTS, st.integers(0, 10**12))
def test_seats_sum_exactly_and_one_seat_more_takes_none_away(shares, seats):
    fewer, more = webster(shares, seats), webster(shares, seats + 1)
    assert (sum(fewer), sum(more)) == (seats, seats + 1)
    assert sorted(after - before for before, after in zip(fewer, more, strict=True)) == [0] * (
        len(shares) - 1
    ) + [1]


@given(WEIGHTS, st.integers(0, 10**9), st.randoms())
def test_the_order_of_sources_matters_for_ties_alone(shares, seats, random):
    assume(len(set(shares)) == len(shares))
    before = webster(shares, seats)
    # Without a tie at the last seat the result is the only one; with one, the seat is somebody's of
    # equal quotient.
    order = random.sample(range(len(shares)), len(shares))
    after = webster([shares[index] for index in order], seats)
    moved = [index for position, index in enumerate(order) if after[position] != before[index]]
    last = {
        shares[index] / (2 * min(before[index], after[order.index(index)]) + 1) for index in moved
    }
    assert len(last) <= 1


def test_equal_shares_give_the_odd_token_to_the_earlier_source():
    assert webster([Fraction(1), Fraction(1), Fraction(1)], 5) == [2, 2, 1]


@pytest.mark.parametrize(("shares", "seats"), [([Fraction(0)], 1), ([], 1), ([Fraction(1)], -1)])
def test_what_cannot_be_shared_is_refused(shares, seats):
    with pytest.raises(ValueError, match="cannot share"):
        webster(shares, seats)


def test_the_annealing_mix_gets_the_published_tokens_exactly():
    size = Size(tokens=50_000_000_000)
    asked = asked_quotas(load_recipe("annealing-50b").recipe, size, {})
    camel = dict.fromkeys(("camel-biology", "camel-chemistry", "camel-physics"), 9_996_002)
    rest = {
        "wiki": 3_683_526_589,
        "stackexchange": 1_409_436_225,
        "pes2o-abstracts": 11_445_421_831,
        "pes2o-papers": 0,
        "flan": 8_431_627_349,
        "dclm": 25_000_000_000,
    }
    assert asked == camel | rest
    assert sum(asked.values()) == 50_000_000_000


@given(st.integers(1, 50_000_000_000))
def test_the_annealing_mix_keeps_its_sum_and_is_nested_at_every_budget(tokens):
    annealing = load_annealing()
    here, above = (
        asked_quotas(annealing, Size(tokens=count), {}) for count in (tokens, tokens + 1)
    )
    assert sum(here.values()) == tokens
    assert all(here[name] <= above[name] for name in here)


def load_annealing(cache: list[Recipe] = []) -> Recipe:  # noqa: B006 - read once
    if not cache:
        cache.append(load_recipe("annealing-50b").recipe)
    return cache[0]


@st.composite
def budgets(draw):
    """A recipe with fixed, weighted and whole sources in any order, and the supplies of the whole
    ones.
    """
    kinds = [*draw(st.lists(st.sampled_from(["tokens", "weight", "all"]), max_size=5)), "weight"]
    requests: dict[str, dict[str, Any]] = {}
    supplies: dict[str, Supply] = {}
    for number, kind in enumerate(draw(st.permutations(kinds))):
        name, amount = f"s{number}", draw(st.integers(1, 500))
        requests[name] = {kind: True if kind == "all" else amount}
        if kind == "all":
            supplies[name] = Supply(amount, complete=True)
    known = sum(int(item["tokens"]) for item in requests.values() if "tokens" in item) + sum(
        item.tokens for item in supplies.values()
    )
    return recipe(requests, known + draw(st.integers(1, 500))), supplies


@given(budgets())
def test_fixed_and_whole_quotas_are_met_as_written_and_the_total_is_the_budget(drawn):
    mix, supplies = drawn
    asked = asked_quotas(mix, Size(), supplies)
    assert list(asked) == list(mix.sources)
    assert mix.budget is not None
    assert sum(asked.values()) == mix.budget.tokens
    for name, request in mix.sources.items():
        if request.tokens is not None:
            assert asked[name] == request.tokens
        if request.all:
            assert asked[name] == supplies[name].tokens


@given(budgets(), st.lists(SCALES, min_size=2, max_size=6))
def test_quotas_of_a_smaller_scale_are_nested_in_those_of_a_larger(drawn, scales):
    mix, supplies = drawn
    assert mix.budget is not None
    ladder = [
        asked_quotas(mix, Size(scale=scale), supplies) for scale in sorted({*scales, Fraction(1)})
    ]
    for scale, asked in zip(sorted({*scales, Fraction(1)}), ladder, strict=True):
        assert sum(asked.values()) == int(mix.budget.total_tokens * scale)
    for small, large in pairwise(ladder):
        assert all(small[name] <= large[name] for name in small)


def test_sources_used_whole_that_fill_the_budget_to_the_token_scale_too():
    mix = recipe({"a": {"all": True}, "b": {"all": True}, "w": {"weight": 1}}, 10)
    for scale in (Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(1, 10)):
        asked = asked_quotas(mix, Size(scale=scale), whole(a=5, b=5))
        assert sum(asked.values()) == int(10 * scale)
        assert asked["w"] == 0


def test_without_a_budget_all_is_the_supply_times_the_scale():
    mix = recipe({"a": {"all": True}, "f": {"tokens": 100}})
    assert asked_quotas(mix, Size(), whole(a=7)) == {"a": 7, "f": 100}
    assert asked_quotas(mix, Size(scale=Fraction(1, 2)), whole(a=7)) == {"a": 3, "f": 50}
    for size, option in ((Size(tokens=5), "tokens"), (Size(schedule=Schedule(1)), "steps")):
        with pytest.raises(RecipeError, match=f"no token budget, so --{option} cannot scale it"):
            asked_quotas(mix, size, whole(a=7))


def test_whole_sources_above_the_budget_are_a_shortage_of_budget():
    with pytest.raises(
        SupplyError, match="budget of 10 tokens, but sources that are used whole hold 11"
    ):
        asked_quotas(recipe({"a": {"all": True}, "w": {"weight": 1}}, 10), Size(), whole(a=11))
    mix = recipe({"a": {"all": True}, "f": {"tokens": 7}, "w": {"weight": 1}}, 10)
    with pytest.raises(SupplyError, match="whole hold 5 and fixed quotas ask 7; raise the budget"):
        asked_quotas(mix, Size(), whole(a=5))


def with_inserts() -> Recipe:
    """Of 1,000 tokens: 200 of f, the rest a quarter of a and three of b; canaries take their place
    among these, extras come on top.
    """
    return recipe(
        {"a": {"weight": 1}, "b": {"weight": 3}, "f": {"tokens": 200}},
        1_000,
        insert={
            "canaries": {"use": "definition-c", "on_top": False},
            "extras": {"use": "definition-e"},
        },
    )


def test_inserts_that_are_not_on_top_take_the_place_of_weighted_sources_at_every_size():
    mix = with_inserts()
    assert asked_quotas(mix, Size(), {}, 100) == {"a": 175, "b": 525, "f": 200}
    half = {"a": 88, "b": 262, "f": 100}
    for size in (Size(Fraction(1, 2)), Size(tokens=500)):
        assert scale_of(mix, size) == Fraction(1, 2)
        assert asked_quotas(mix, size, {}, 50) == half
    found = resolve_quotas(
        mix, Size(), whole(a=10**6, b=10**6, f=10**6), "", {"canaries": 100, "extras": 30}
    )
    assert found.resolved == {"a": 175, "b": 525, "f": 200}
    assert (found.inserted, found.total) == ({"canaries": 100, "extras": 30}, 1_030)
    assert asked_quotas(mix, Size(), {}, 800) == {"a": 0, "b": 0, "f": 200}
    with pytest.raises(SupplyError, match="inserts hold 801 tokens, more than weighted sources"):
        asked_quotas(mix, Size(), {}, 801)


def test_the_largest_mix_that_fits_is_counted_with_its_inserts():
    mix = recipe({"w": {"weight": 1}}, 1_000, insert={"c": {"use": "d", "on_top": False}})
    with pytest.raises(SupplyError) as caught:
        resolve_quotas(mix, Size(), whole(w=500), "", {"c": 100})
    assert str(caught.value).splitlines() == [
        "mix: sources.w asks 900 tokens, 500 are available in its key range; lower its quota,"
        " widen its keys, allow repeats or a refill (shortfall), or add files",
        "mix: the largest mix with these shares has 600 tokens; build it with --tokens 600",
    ]


def test_where_no_size_fits_none_is_offered():
    with pytest.raises(SupplyError) as caught:
        resolve_quotas(recipe({"w": {"weight": 1}}, 1_000), Size(), whole(w=0))
    assert "largest mix" not in str(caught.value)
    assert largest_fit(recipe({"a": {"all": True}}), Size(), whole(a=5)) is None


def test_the_largest_mix_without_a_budget_is_a_share_of_what_is_asked_by_number():
    mix = recipe({"a": {"all": True}, "f": {"tokens": 100}})
    found = largest_fit(mix, Size(), whole(a=7, f=50))
    assert found is not None
    assert (found.tokens, found.option) == (50, "--scale 50/100")


def test_more_of_a_source_is_never_wanted_for_a_quota_of_nothing():
    mix = recipe({"a": {"weight": 1}, "b": {"weight": 1000}}, 1_001)
    asked = {"a": Supply(0, complete=False), "b": Supply(5, complete=True)}
    assert resolve_quotas(mix, Size(tokens=1), asked).wanted == {}


STEPS = {"steps": 12, "batch": 4, "sequence": 32}


def test_a_size_in_steps_takes_from_the_budget_what_is_not_said():
    mix = Recipe.model_validate(
        {"name": "mix", "tokenizer": "sample", "sources": {"a": {"use": "a", "weight": 1}}}
        | {"budget": {**STEPS, "trainer": "megatron"}}
    )
    assert sized(mix, steps=12) == Size()
    assert sized(mix, steps=12, trainer="neox") == Size(schedule=Schedule(12, 4, 32, "neox"))
    assert sized(mix, steps=2) == Size(schedule=Schedule(2, 4, 32, "megatron"))
    assert sized(mix, steps=2, batch=8) == Size(schedule=Schedule(2, 8, 32, "megatron"))
    assert sized(mix, steps=2, sequence=8) == Size(schedule=Schedule(2, 4, 8, "megatron"))
    plain = recipe({"a": {"tokens": 5}})
    assert sized(plain, steps=3, batch=2) == Size(schedule=Schedule(3, 2))
    assert sized(plain, scale=Fraction(1, 2)) == Size(Fraction(1, 2))
    assert sized(plain, tokens=7) == Size(tokens=7)


def test_steps_that_take_more_tokens_than_a_mix_can_have_are_refused():
    plain = recipe({"a": {"tokens": 5}})
    most = sized(plain, steps=MAX_TOKENS - 2, batch=1, sequence=1)
    assert most.asked_tokens == MAX_TOKENS
    with pytest.raises(RecipeError, match="steps of 1 x 1 take 4,503,599,627,370,497 tokens; at"):
        sized(plain, steps=MAX_TOKENS - 1, batch=1, sequence=1)


def test_a_size_is_written_by_what_it_sets_and_means_the_budgets_steps_at_full_size():
    steps = Size(schedule=Schedule(2, 4, 8, "neox"))
    assert [size.as_json() for size in (Size(), Size(Fraction(1, 3)), Size(tokens=7), steps)] == [
        {},
        {"scale": "1/3"},
        {"tokens": "7"},
        {"steps": "2", "batch": "4", "sequence": "8", "trainer": "neox"},
    ]
    budget = {**STEPS, "trainer": "neox"}
    assert Size().meant_schedule(budget) == Schedule(12, 4, 32, "neox")
    assert Size(tokens=7).meant_schedule(budget) is None
    assert steps.meant_schedule(budget) == steps.schedule


def test_a_chain_of_refills_hands_the_shortfall_on_and_keeps_the_total():
    chain: dict[str, dict[str, Any]] = {
        "a": {"tokens": 10, "shortfall": {"refill": "b"}},
        "b": {"tokens": 10, "shortfall": {"refill": "c"}},
        "c": {"tokens": 10},
    }
    for order in (["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]):
        mix = recipe({name: chain[name] for name in order})
        found = resolve_quotas(mix, Size(), whole(a=4, b=5, c=100))
        assert found.resolved == {"a": 4, "b": 5, "c": 21}
        assert found.refilled == {"a": {"b": 6}, "b": {"c": 11}}
        assert found.total == 30
        assert (
            refill_order(mix.sources).index("a")
            < refill_order(mix.sources).index("b")
            < refill_order(mix.sources).index("c")
        )


def test_a_source_repeats_up_to_its_epochs_and_no_token_further():
    mix = recipe({"a": {"tokens": 10, "shortfall": {"repeat": 2}}})
    assert resolve_quotas(mix, Size(), whole(a=5)).resolved == {"a": 10}
    with pytest.raises(
        SupplyError,
        match=r"sources.a asks 10 tokens, 4 are available.*2 epochs of them are allowed",
    ):
        resolve_quotas(mix, Size(), whole(a=4))


def test_every_short_source_is_named_with_what_it_asked_and_what_there_is():
    mix = recipe(
        {
            "a": {"tokens": 1_000},
            "b": {"tokens": 5},
            "c": {"tokens": 2_000, "shortfall": {"refill": "a"}},
        }
    )
    with pytest.raises(SupplyError) as caught:
        resolve_quotas(mix, Size(), whole(a=1_500, b=4, c=0), "mix.yaml")
    lines = str(caught.value).splitlines()
    assert [line.startswith("mix.yaml: sources.") for line in lines] == [True, True, False]
    assert lines[-1].endswith("shares has 1,503 tokens; build it with --scale 1503/3005")
    assert any("sources.b asks 5 tokens, 4 are available" in line for line in lines)
    assert any("sources.a asks 3,000 tokens, 1,500 are available" in line for line in lines)


@st.composite
def supplied(draw):
    """A recipe of fixed quotas with any shortfall rules that make no circle, and the true
    supplies.
    """
    count = draw(st.integers(1, 5))
    requests: dict[str, dict[str, Any]] = {}
    for number in range(count):
        rules: list[Any] = [
            "error",
            {"repeat": 2},
            {"repeat": 3},
            *({"refill": f"s{later}"} for later in range(number + 1, count)),
        ]
        requests[f"s{number}"] = {
            "tokens": draw(st.integers(1, 30)),
            "shortfall": draw(st.sampled_from(rules)),
        }
    order = draw(st.permutations(sorted(requests)))
    return recipe({name: requests[name] for name in order}), {
        name: draw(st.integers(0, 60)) for name in order
    }


def outcome(mix: Recipe, supplies: dict[str, Supply]) -> Quotas | str:
    try:
        return resolve_quotas(mix, Size(), supplies)
    except SupplyError as error:
        return str(error)


@given(supplied(), st.data())
def test_the_resolved_quotas_do_not_depend_on_how_the_coverage_grew(drawn, data):
    mix, supply = drawn
    true = outcome(mix, {name: Supply(tokens, complete=True) for name, tokens in supply.items()})
    known = {name: data.draw(st.integers(0, tokens)) for name, tokens in supply.items()}
    complete = {name for name in supply if data.draw(st.booleans())}
    for _ in range(200):
        known |= {name: supply[name] for name in complete}
        found = outcome(
            mix, {name: Supply(tokens, name in complete) for name, tokens in known.items()}
        )
        if isinstance(found, str) or not found.wanted:
            break
        assert not complete & set(found.wanted), "what is counted to its end is asked for again"
        for name, wanted in found.wanted.items():
            assert wanted >= known[name]
            known[name] = min(known[name] + data.draw(st.integers(1, 20)), supply[name])
            if known[name] == supply[name] and (wanted >= supply[name] or data.draw(st.booleans())):
                complete.add(name)
    if isinstance(found, str):
        # A shortage that is reported early is a true one: each of its lines names a source that is
        # short in the end as well.
        assert isinstance(true, str)
        assert {line.split(" asks ")[0] for line in found.splitlines()} <= {
            line.split(" asks ")[0] for line in true.splitlines()
        }
    else:
        assert isinstance(true, Quotas)
        assert (found.resolved, found.refilled) == (true.resolved, true.refilled)
        assert found.total == sum(request.tokens or 0 for request in mix.sources.values())


def test_an_incomplete_source_is_never_called_short():
    mix = recipe({"a": {"tokens": 10}})
    found = resolve_quotas(mix, Size(), {"a": Supply(0, complete=False)})
    assert found.wanted == {"a": 10}
