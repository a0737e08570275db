"""How many tokens each source gives: exact apportionment, and what happens when a source is short.

Weights are shared out by Webster's method (Sainte-Lague divisors; Balinski and Young, "Fair
Representation", 1982), not by largest
remainder: it is house-monotone, so a budget that is one token larger never takes a token from any
    source, and a small
mix stays a subset of a large one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, Any, NamedTuple

from mixtures.errors import RecipeError, SupplyError
from mixtures.recipe.faults import MAX_TOKENS
from mixtures.trainers.names import Trainer
from mixtures.trainers.schedule import Schedule, schedule_of

if TYPE_CHECKING:
    from mixtures.recipe.model import Recipe
    from mixtures.recipe.source_request import SourceRequest


def webster(shares: Sequence[Fraction], seats: int) -> list[int]:
    """Apportion `seats` over `shares` by Webster's method; ties go to the earlier share.

    Args:
        shares: non-negative, at least one positive (or seats is 0).
        seats: tokens to give out.

    Returns:
        Integers that sum to `seats`, each within its fair share's rounding by a common divisor.
    """
    total = sum(shares, Fraction(0))
    if seats < 0 or (total <= 0 and seats > 0):
        raise ValueError(f"cannot share {seats} tokens over weights that sum to {total}")
    if seats == 0:
        return [0] * len(shares)
    # Rounding at the common divisor total/seats is a Webster apportionment of some number of seats
    # near the wanted one; from there each further seat goes to the largest share / (2 given + 1),
    # or comes back from the smallest share / (2 given - 1).
    given = [_round_half_down(share * seats / total) for share in shares]
    missing = seats - sum(given)
    step = 1 if missing > 0 else -1
    queue = [
        (-step * share / (2 * held + step), step * number)
        for number, (share, held) in enumerate(zip(shares, given, strict=True))
        if held > 0 or step > 0
    ]
    heapify(queue)
    for _ in range(abs(missing)):
        number = abs(queue[0][1])
        given[number] += step
        if given[number] > 0:
            quotient = -step * shares[number] / (2 * given[number] + step)
            heapreplace(queue, (quotient, step * number))
        else:
            heappop(queue)
    return given


def _round_half_down(value: Fraction) -> int:
    return -((-2 * value.numerator + value.denominator) // (2 * value.denominator))


@dataclass(frozen=True)
class Supply:
    """Eligible tokens of one source that are counted so far; `complete` when its whole key range is
    tokenized.
    """

    tokens: int
    complete: bool


@dataclass(frozen=True)
class Size:
    """How large a build is asked to be: the recipe's budget, a share of it, a number of tokens, or
    what the steps of a training take. At most one is set.
    """

    scale: Fraction | None = None
    tokens: int | None = None
    schedule: Schedule | None = None

    @property
    def asked_tokens(self) -> int | None:
        """Tokens, where the size says how many."""
        return self.schedule.tokens if self.schedule else self.tokens

    def meant_schedule(self, budget: Any) -> Schedule | None:
        """The steps that a mix of this size is meant for: its own, or the recipe's at full size.

        Args:
            budget: of a canonical recipe, untrusted.
        """
        return schedule_of(budget) if self == Size() else self.schedule

    def as_json(self) -> dict[str, str]:
        """The size as plans and manifests hold it; empty for the whole recipe."""
        if self.schedule:
            return self.schedule.as_json()
        return {
            name: str(value)
            for name, value in (("scale", self.scale), ("tokens", self.tokens))
            if value is not None
        }


def sized(
    recipe: Recipe,
    *,
    scale: Fraction | None = None,
    tokens: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    sequence: int | None = None,
    trainer: Trainer | None = None,
) -> Size:
    """The size that a user asks for.

    Args:
        batch, sequence, trainer: of the steps; None: as the recipe's budget has them. Steps that
            are the recipe's own make its full size.

    Raises:
        RecipeError: the steps take more tokens than a mix can have.
    """
    own = recipe.budget.schedule if recipe.budget else None
    if steps is None:
        return Size(scale, tokens)
    basis = own or Schedule(steps)
    schedule = Schedule(
        steps, batch or basis.batch, sequence or basis.sequence, trainer or basis.trainer
    )
    if schedule.tokens > MAX_TOKENS:
        raise RecipeError(
            f"{recipe.name}: {steps:,} steps of {schedule.batch:,} x {schedule.sequence:,} take"
            f" {schedule.tokens:,} tokens; at most {MAX_TOKENS:,}"
        )
    return Size() if schedule == own else Size(schedule=schedule)


@dataclass(frozen=True)
class Quotas:
    """Tokens by source. asked: by the recipe; resolved: after shortfalls; both in recipe order and
    summing to `total`.

    refilled: {short source: {source that gives instead: tokens}}. inserted: tokens of each insert,
        not part of the others.
    wanted: sources of which more must be tokenized before the quotas are final, with the tokens
        that each must reach.
    """

    asked: dict[str, int]
    resolved: dict[str, int]
    refilled: dict[str, dict[str, int]] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    inserted: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Tokens that the sources' quotas and the inserts make. What filters leave of them, and
        copies on top, are counted later.
        """
        return sum(self.resolved.values()) + sum(self.inserted.values())


def scale_of(recipe: Recipe, size: Size) -> Fraction:
    """The share of the full recipe that a size asks for.

    Raises:
        RecipeError: the size does not fit the recipe.
    """
    return _scaled_budget(recipe, size, recipe.budget.total_tokens if recipe.budget else 0)[0]


def asked_quotas(
    recipe: Recipe, size: Size, supplies: Mapping[str, Supply], inserted: int = 0
) -> dict[str, int]:
    """Turn a recipe's requests into tokens by source, before any shortfall.

    Args:
        recipe: its `all` sources must be complete in `supplies`; the others need not be there.
        size: a preview's size keeps the proportions of the full recipe.
        inserted: tokens at this size of the inserts that are not on top; the weighted sources share
            what they leave.

    Raises:
        RecipeError: the size does not fit the recipe. SupplyError: the sources that are used whole
            exceed the budget.
    """
    whole = {name: supplies[name].tokens for name, request in recipe.sources.items() if request.all}
    fixed = {
        name: request.tokens
        for name, request in recipe.sources.items()
        if request.tokens is not None
    }
    weights = {
        name: Fraction(request.weight)
        for name, request in recipe.sources.items()
        if request.weight is not None
    }
    asked, held = sum(fixed.values()), sum(whole.values())
    budget = recipe.budget.total_tokens if recipe.budget else asked
    rest = Fraction(budget - asked - (held if recipe.budget else 0))
    if rest < 0:
        raise SupplyError(
            f"{recipe.name}: budget of {budget:,} tokens, but sources that are used whole hold"
            f" {held:,} and fixed quotas ask {asked:,}; raise the budget or give those sources a"
            " quota"
        )
    scale, seats = _scaled_budget(recipe, size, budget)
    seats, rest = seats - inserted, rest - (inserted / scale if inserted else 0)
    if rest < 0 or seats < 0:
        raise SupplyError(
            f"{recipe.name}: inserts hold {inserted:,} tokens, more than weighted sources share;"
            " let them be on_top: true"
        )
    known, given = {**fixed, **whole}, dict[str, int]()
    if recipe.budget is None:
        known, given = fixed, {name: int(tokens * scale) for name, tokens in whole.items()}
    # Two levels, so that known quotas are met as written: first they and all weighted sources
    # together, then the weights among themselves. Both are house-monotone, and so a smaller scale
    # is nested in a larger one.
    *known_tokens, weighted_tokens = webster([*map(Fraction, known.values()), rest], seats)
    given |= zip(known, known_tokens, strict=True)
    given |= zip(weights, webster(list(weights.values()), weighted_tokens), strict=True)
    return {name: given.get(name, 0) for name in recipe.sources}  # nothing is asked of a reserve


def _scaled_budget(recipe: Recipe, size: Size, budget: int) -> tuple[Fraction, int]:
    if (tokens := size.asked_tokens) is not None:
        if recipe.budget is None:
            option = "--steps" if size.schedule else "--tokens"
            raise RecipeError(
                f"{recipe.name}: has no token budget, so {option} cannot scale it; use --scale"
            )
        return Fraction(tokens, budget), tokens
    scale = Fraction(1) if size.scale is None else size.scale
    return scale, int(budget * scale)


def resolve_quotas(
    recipe: Recipe,
    size: Size,
    supplies: Mapping[str, Supply],
    where: str = "",
    inserted: Mapping[str, int] | None = None,
) -> Quotas:
    """Fit the asked quotas to the supplies by each source's shortfall rule.

    Args:
        inserted: tokens of each insert at this size.

    A source that is not complete is never called short: it is listed in `wanted` instead, and the
    call is repeated when more of it is tokenized. So the result does not depend on how much was
    tokenized first.

    Raises:
        SupplyError: names every source that is short with no rule that helps: asked, available,
            what to do.
    """
    quotas, short = fitted_quotas(recipe, size, supplies, inserted)
    if short:
        lines = [
            _shortage(name, recipe.sources[name], quota, supplies[name].tokens)
            for name, quota in short.items()
        ]
        if largest := largest_fit(recipe, size, supplies, inserted):
            lines.append(f"{largest.says}; build it with {largest.option}")
        raise SupplyError("\n".join(f"{where or recipe.name}: {line}" for line in lines))
    return quotas


class LargestFit(NamedTuple):
    """The largest mix with a recipe's shares that no source is short for."""

    tokens: int
    option: str
    """That asks for it: --tokens, or --scale where a recipe has no budget."""

    @property
    def says(self) -> str:
        """For people."""
        return f"the largest mix with these shares has {self.tokens:,} tokens"


def largest_fit(
    recipe: Recipe,
    size: Size,
    supplies: Mapping[str, Supply],
    inserted: Mapping[str, int] | None = None,
) -> LargestFit | None:
    """The largest mix below `size` that the supplies suffice for; None if there is none of which
    every source that is asked gives a token.

    By bisection: the apportionment is house-monotone, so what fits also fits at a smaller size.
    """
    fixed = sum(request.tokens or 0 for request in recipe.sources.values())
    budget = recipe.budget.total_tokens if recipe.budget else fixed

    def fitted(tokens: int) -> tuple[Quotas, dict[str, int]] | None:
        try:
            return fitted_quotas(recipe, Size(Fraction(tokens, budget)), supplies, inserted)
        except SupplyError:
            return None

    fits, exceeds = 0, _scaled_budget(recipe, size, budget)[1]
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        found = fitted(middle)
        fits, exceeds = (middle, exceeds) if found and not found[1] else (fits, middle)
    found = fitted(fits) if fits else None
    if found is None:
        return None
    asked = asked_quotas(recipe, Size(), supplies)
    if any(asked[name] and not quota for name, quota in found[0].asked.items()):
        return None
    return LargestFit(fits, f"--tokens {fits}" if recipe.budget else f"--scale {fits}/{budget}")


def fitted_quotas(
    recipe: Recipe,
    size: Size,
    supplies: Mapping[str, Supply],
    inserted: Mapping[str, int] | None = None,
) -> tuple[Quotas, dict[str, int]]:
    """As `resolve_quotas`, but sources that are short are returned beside the quotas, with the
    quota of each, which stands.

    Raises:
        RecipeError, SupplyError: as `asked_quotas`.
    """
    inserts = dict(inserted or {})
    asked = asked_quotas(
        recipe,
        size,
        supplies,
        sum(tokens for name, tokens in inserts.items() if not recipe.insert[name].on_top),
    )
    resolved, refilled, wanted, short = dict(asked), {}, {}, {}
    for name in refill_order(recipe.sources):
        request, supply, quota = recipe.sources[name], supplies[name], resolved[name]
        if quota == 0 or quota < supply.tokens or (quota == supply.tokens and supply.complete):
            continue
        # nor if it ends exactly where was tokenized to: what stands behind must be known
        if not supply.complete:
            wanted[name] = quota
        elif (target := request.refill_from) is not None:
            resolved[name] = supply.tokens
            resolved[target] += quota - supply.tokens
            refilled[name] = {target: quota - supply.tokens}
        elif quota > request.max_epochs * supply.tokens:
            short[name] = quota
    return Quotas(asked, resolved, refilled, wanted, inserts), short


def _shortage(name: str, request: SourceRequest, quota: int, available: int) -> str:
    rule = f", {request.max_epochs} epochs of them are allowed" if request.max_epochs > 1 else ""
    return (
        f"sources.{name} asks {quota:,} tokens, {available:,} are available in its key range{rule};"
        " lower its quota, widen its keys, allow repeats or a refill (shortfall), or add files"
    )


def refill_order(requests: Mapping[str, SourceRequest]) -> list[str]:
    """Sources in an order in which each comes before the one that refills it (refill chains have no
    cycle: the recipe checks).
    """
    givers: dict[str, list[str]] = {}
    for name, request in requests.items():
        if request.refill_from is not None:
            givers.setdefault(request.refill_from, []).append(name)
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for giver in givers.get(name, []):
                visit(giver)
            order[name] = None

    for name in requests:
        visit(name)
    return list(order)
