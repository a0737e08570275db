"""Which sources an estimated supply does not cover, how sure that is, and what would mend each.

A shortage is `certain` if the quota lies above the whole interval of every supply, `probable` if it
lies above the estimates, and `possible` if it lies above the lower ends alone. Of a figure without
an interval it is certain, or not there.

Every remedy is tried on the recipe before it is named, at the lower ends of the intervals:
afterwards the source has enough and no other one lacks more than before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any, Literal

from mixtures.errors import RecipeError, SupplyError
from mixtures.estimates import SupplyEstimate
from mixtures.keys import key_bound
from mixtures.plan.cost import TEXT_BYTES_A_TOKEN
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.source_request import Shortfall, SourceRequest
from mixtures.stream.quotas import LargestFit, Quotas, Size, Supply, fitted_quotas, largest_fit
from mixtures.yaml.fields import plain_decimal

EVERYTHING = 1 << 64  # tokens: more than any mix holds

Certainty = Literal["certain", "probable", "possible"]
Supplies = Mapping[str, SupplyEstimate | None]
_ENDS: dict[Certainty, Callable[[SupplyEstimate], int]] = {
    "certain": lambda supply: supply.bounds[1],
    "probable": lambda supply: supply.tokens,
    "possible": lambda supply: supply.bounds[0],
}


@dataclass(frozen=True)
class Demand:
    """What is asked of the supplies."""

    recipe: LoadedRecipe
    size: Size
    within: Supplies
    """Of each source's key range."""
    filling: Supplies
    """Likewise, after what filters remove of it: tokens of the quota that it fills."""
    inserted: Mapping[str, int]
    """Tokens of each insert."""

    def fitted(self, certainty: Certainty) -> tuple[Quotas, dict[str, int]]:
        """Quotas at an end of the intervals, and the quotas of what is short there.

        Raises:
            RecipeError, SupplyError: as `asked_quotas`.
        """
        return fitted_quotas(
            self.recipe.recipe, self.size, self._supplies(certainty), self.inserted
        )

    def _supplies(self, certainty: Certainty) -> dict[str, Supply]:
        end = _ENDS[certainty]
        return {
            name: Supply(end(supply), True) if supply else Supply(0, False)
            for name, supply in self.filling.items()
        }

    def largest(self) -> LargestFit | None:
        """The largest mix with the same shares that nothing is short for at the lower ends."""
        return largest_fit(self.recipe.recipe, self.size, self._supplies("possible"), self.inserted)

    def lacking(self, certainty: Certainty) -> dict[str, int]:
        """Tokens that each short source lacks at an end of the intervals; EVERYTHING, if the
        request cannot even be shared out.
        """
        try:
            _, short = self.fitted(certainty)
        except (RecipeError, SupplyError):
            return dict.fromkeys(self.filling, EVERYTHING)
        return {name: quota - self.available(name, certainty) for name, quota in short.items()}

    def available(self, name: str, certainty: Certainty) -> int:
        """Tokens that a source can give, in all epochs that it is allowed."""
        supply = self.filling[name]
        return (
            self.recipe.recipe.sources[name].max_epochs * _ENDS[certainty](supply) if supply else 0
        )

    def changed(self, name: str, **update: Any) -> Demand:
        """The demand with other fields of a source's request."""
        sources = self.recipe.recipe.sources
        request = sources[name].model_copy(update=update)
        recipe = self.recipe.recipe.model_copy(update={"sources": {**sources, name: request}})
        return replace(self, recipe=replace(self.recipe, recipe=recipe))


@dataclass(frozen=True)
class Remedy:
    """One thing that would mend a shortage."""

    change: Literal["repeat", "refill", "tokens", "weight", "budget", "keys", "removed", "data"]
    """What it changes of the recipe."""
    value: str
    """To what."""
    says: str
    """The same for people."""


@dataclass(frozen=True)
class Shortage:
    """A source that is short."""

    source: str
    certainty: Certainty
    asked_tokens: int
    """Its quota, with what it gives for others."""
    available_tokens_estimated: int
    """In all epochs that it is allowed."""
    available_tokens_interval: tuple[int, int]
    remedies: tuple[Remedy, ...]

    def line(self, recipe: str) -> str:
        """For people."""
        low, high = self.available_tokens_interval
        interval = f" ({low:,} to {high:,})" if low < high else ""
        how = {"certain": "is short", "probable": "is probably short", "possible": "may be short"}[
            self.certainty
        ]
        mend = "; or ".join(remedy.says for remedy in self.remedies)
        asks = (
            f"sources.{self.source} asks {self.asked_tokens:,} tokens, about"
            f" {self.available_tokens_estimated:,}{interval} are available"
        )
        return f"{recipe}: {asks}, so it {how}; {mend}"


def fitted_whole(demand: Demand) -> tuple[Quotas, list[str]]:
    """Quotas at the estimates, and a warning if sources that are used whole may hold more than the
    budget; if they probably do, quotas at the lower ends.

    Raises:
        SupplyError: they certainly do.
    """
    try:
        quotas, _ = demand.fitted("probable")
    except SupplyError as error:
        return demand.fitted("possible")[0], [
            f"{error}; that is estimated: they may hold less, and fit"
        ]
    try:
        demand.fitted("certain")
    except SupplyError as error:
        return quotas, [f"{error}; that is the upper end of an estimate, which itself fits"]
    return quotas, []


def shortages(demand: Demand, asked: Quotas) -> list[Shortage]:
    """Every source that is short, or may be. asked: the quotas at the estimates."""
    certainties: dict[str, Certainty] = {}
    for certainty in _ENDS:
        for name in _short(demand, certainty):
            certainties.setdefault(name, certainty)
    return [
        Shortage(
            name,
            certainties[name],
            asked.resolved[name],
            demand.available(name, "probable"),
            (demand.available(name, "possible"), demand.available(name, "certain")),
            tuple(_remedies(demand, name, asked)),
        )
        for name in demand.recipe.recipe.sources
        if name in certainties
    ]


def _short(demand: Demand, certainty: Certainty) -> dict[str, int]:
    try:
        return demand.fitted(certainty)[1]
    # the sources that are used whole exceed the budget: the caller has met that at the estimates
    except SupplyError:
        return {}


def _remedies(demand: Demand, name: str, asked: Quotas) -> Iterator[Remedy]:
    """Remedies that work, and at last the one that always does."""
    before = demand.lacking("possible")
    missing = before.get(name, 0)
    # it may be asked more there, for others that are short
    quotas = demand.fitted("possible")[0] if missing < EVERYTHING else asked
    for remedy, tried in _candidates(demand, name, quotas.resolved[name], missing):
        after = tried.lacking("possible")
        if name not in after and all(
            missing <= before.get(other, 0) for other, missing in after.items()
        ):
            yield remedy
    if largest := demand.largest():
        yield Remedy("budget", str(largest.tokens), f"{largest.says} ({largest.option})")
    if missing < EVERYTHING:
        request = demand.recipe.recipe.sources[name]
        share = Fraction(request.keys[1] - request.keys[0])
        more = int((missing + 1) / request.max_epochs / share / _left(demand, name)) + 1
        size = int(more * TEXT_BYTES_A_TOKEN) // 10**6 + 1
        yield Remedy(
            "data", str(more), f"add files with {more:,} tokens, about {size:,} MB of text"
        )


def _left(demand: Demand, name: str) -> Fraction:
    """Share of a source that filters leave at the lower ends; at the estimates, if that may be
    nothing.
    """
    within, filling = demand.within[name], demand.filling[name]
    for end in (_ENDS["possible"], _ENDS["probable"]):
        if within and filling and end(within) and end(filling):
            return Fraction(end(filling), end(within))
    return Fraction(1)


def _candidates(
    demand: Demand, name: str, quota: int, missing: int
) -> Iterator[tuple[Remedy, Demand]]:
    """What could mend a shortage, each with the demand that it makes."""
    request, supply = demand.recipe.recipe.sources[name], demand.filling[name]
    low = supply.bounds[0] if supply else 0
    if low and 2 <= (times := -(-quota // low)) <= 65_535:
        says = f"allow {times} epochs of it (shortfall: {{repeat: {times}}})"
        changed = demand.changed(name, shortfall=Shortfall(repeat=times))
        yield Remedy("repeat", str(times), says), changed
    yield from _refills(demand, name, missing)
    yield from _smaller(demand, name, low * request.max_epochs, quota)
    yield from _wider(demand, name, quota)
    if demand.recipe.filters and not demand.recipe.recipe.shrinks:
        recipe = replace(
            demand.recipe, recipe=demand.recipe.recipe.model_copy(update={"removed": "shrink"})
        )
        says = "leave gaps where filters remove documents (removed: shrink)"
        yield (
            Remedy("removed", "shrink", says),
            replace(demand, recipe=recipe, filling=demand.within),
        )


def _refills(demand: Demand, name: str, missing: int) -> Iterator[tuple[Remedy, Demand]]:
    """The source with the most to spare, if it does not itself refill from this one."""
    requests = demand.recipe.recipe.sources
    quotas = demand.fitted("possible")[0].resolved if missing < EVERYTHING else {}
    spare = {
        other: demand.available(other, "possible") - quotas[other]
        for other in quotas
        if not requests[other].all and other != name
    }
    for other in sorted(spare, key=lambda other: -spare[other]):
        if (
            spare[other] < missing
            or demand.filling[other] is None
            or _leads_to(requests, other, name)
        ):
            continue
        says = (
            f"let {other} give what is missing, about {missing:,} of the {spare[other]:,} tokens it"
            " has to spare"
        )
        yield (
            Remedy("refill", other, f"{says} (shortfall: {{refill: {other}}})"),
            demand.changed(name, shortfall=Shortfall(refill=other)),
        )
        return


def _leads_to(requests: Mapping[str, SourceRequest], start: str, end: str) -> bool:
    at: str | None = start
    while at is not None and at != end:
        at = requests[at].refill_from
    return at == end


def _smaller(
    demand: Demand, name: str, available: int, quota: int
) -> Iterator[tuple[Remedy, Demand]]:
    """A lower quota of the source alone."""
    recipe, request = demand.recipe.recipe, demand.recipe.recipe.sources[name]
    if request.tokens is not None and available and demand.size == Size():
        yield (
            Remedy("tokens", str(available), f"lower its tokens to {available:,}"),
            demand.changed(name, tokens=available),
        )
    if request.weight is not None and available:
        weights = sum(
            Fraction(other.weight) for other in recipe.sources.values() if other.weight is not None
        )
        own = Fraction(request.weight)
        shared = quota * weights / own
        if shared > available and weights > own:
            weight = _rounded_down(available * (weights - own) / (shared - available))
            yield (
                Remedy(
                    "weight",
                    f"{weight:f}",
                    f"lower its weight from {plain_decimal(request.weight)} to {weight:f}",
                ),
                demand.changed(name, weight=weight),
            )


def _rounded_down(value: Fraction) -> Decimal:
    """Four digits of a positive number, never more than it."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - 3), ROUND_DOWN).normalize()


def _wider(demand: Demand, name: str, quota: int) -> Iterator[tuple[Remedy, Demand]]:
    """A wider key range, up to what others take of the same definition."""
    request, supply = demand.recipe.recipe.sources[name], demand.filling[name]
    low, high = request.keys
    available = demand.available(name, "possible")
    if supply is None or not available or high - low == 1:
        return
    # keys are whole numbers: a token may lie at the edge
    width = _rounded_up((high - low) * Decimal(quota + 1) / Decimal(available))
    floor, top = _free(demand.recipe, name)
    new_high = min(low + width, top)
    new_low = max(new_high - width, floor)
    if new_high - new_low < width:
        return
    wider = request.model_copy(update={"keys": (new_low, new_high)})
    share = Fraction(wider.key_range.width, request.key_range.width)
    ends = [None if bound is None else int(bound * share) for bound in (supply.low, supply.high)]
    filling = {
        **demand.filling,
        name: replace(supply, tokens=int(supply.tokens * share), low=ends[0], high=ends[1]),
    }
    wider_keys = f"{plain_decimal(new_low)}, {plain_decimal(new_high)}"
    says = f"widen its keys from [{low}, {high}) to [{wider_keys})"
    changed = replace(demand.changed(name, keys=(new_low, new_high)), filling=filling)
    yield Remedy("keys", f"[{wider_keys}]", says), changed


def _rounded_up(value: Decimal) -> Decimal:
    step = Decimal("0.001")
    return (value / step).to_integral_value(rounding="ROUND_CEILING") * step


def _free(recipe: LoadedRecipe, name: str) -> tuple[Decimal, Decimal]:
    """The keys around a source's range that no other source and no excluded recipe takes of its
    definition.
    """
    low, high = recipe.recipe.sources[name].keys
    floor, top = Decimal(0), Decimal(1)
    for other in (recipe, *recipe.excluded):
        for taken, request in other.recipe.sources.items():
            if (other is recipe and taken == name) or other.definitions[
                taken
            ].name != recipe.definitions[name].name:
                continue
            if key_bound(request.keys[1]) <= key_bound(low):
                floor = max(floor, request.keys[1])
            if key_bound(request.keys[0]) >= key_bound(high):
                top = min(top, request.keys[0])
    return floor, top
