"""Rules between a recipe's sources and its budget. Every broken rule is reported, whatever else is wrong with the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from mixtures.keys import key_bound
from mixtures.yaml.fields import Location
from mixtures.yaml.tree import suggest

if TYPE_CHECKING:
    from mixtures.recipe.model import Budget, SourceRequest

MAX_TOKENS = 1 << 52  # the merge compares 2 * position + length in float64, which is exact below 2^53

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Wish:
    """What of one source's request is well-formed; a malformed or absent field is None. sound: nothing is malformed."""

    use: str | None
    tokens: int | None
    weight: Decimal | None
    all: bool
    keys: tuple[int, int] | None
    refill: str | None
    sound: bool

    @classmethod
    def of(cls, model: type[SourceRequest], given: Any) -> Wish:
        """Take what can be taken of a request, which may be anything."""
        request = _made(model, given)
        if request is not None:
            return cls(request.use, request.tokens, request.weight, request.all, request.key_range, request.refill_from, sound=True)
        fields = _well_formed(model, given)
        keys, shortfall = fields.get("keys"), fields.get("shortfall")
        if keys is None and isinstance(given, Mapping) and "keys" not in given:
            keys = model.model_fields["keys"].default
        return cls(
            use=fields.get("use"),
            tokens=fields.get("tokens"),
            weight=fields.get("weight"),
            all=fields.get("all", False),
            keys=(key_bound(keys[0]), key_bound(keys[1])) if keys else None,
            refill=shortfall.refill if shortfall else None,
            sound=False,
        )


@dataclass(frozen=True)
class Parts:
    """What of a recipe is well-formed.

    sources: by name, in order.  budget: absent or malformed if None; has_budget tells which.  exclude: as given.
    """

    sources: dict[str, Wish]
    budget: Budget | None
    has_budget: bool
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any], budget: type[Budget], request: type[SourceRequest]) -> Parts:
        """Take what can be taken of a recipe's raw values."""
        raw = given.get("sources")
        sources = {name: Wish.of(request, value) for name, value in raw.items()} if isinstance(raw, Mapping) else {}
        exclude = given.get("exclude")
        references = tuple(item for item in exclude if isinstance(item, str)) if isinstance(exclude, list | tuple) else ()
        return cls(sources, _made(budget, given.get("budget")), "budget" in given, references)

    @property
    def complete(self) -> bool:
        """Whether sums over all sources can be judged."""
        return len(self.sources) > 0 and all(wish.sound for wish in self.sources.values())


def _made(model: type[M], value: Any) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _well_formed(model: type[BaseModel], value: Any) -> dict[str, Any]:
    """The fields of a record that are well-formed by themselves."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items() if isinstance(value, Mapping) else ():
        if value.get(name) is not None:
            with suppress(ValidationError):
                annotation: Any = Annotated[(field.annotation, *field.metadata, None)]
                fields[name] = TypeAdapter(annotation).validate_python(value[name])
    return fields


def cross_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    """Yield (where, message) for every broken rule."""
    yield from _refill_faults(parts)
    yield from _circle_faults(parts)
    yield from _budget_faults(parts)
    yield from _overlap_faults(parts)
    for index, reference in enumerate(parts.exclude):
        if reference in parts.exclude[:index]:
            yield ("exclude", index), f"{reference!r} is listed twice; keep one of them"


def _refill_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    for name, wish in parts.sources.items():
        target = wish.refill
        where = ("sources", name, "shortfall", "refill")
        if target is None:
            continue
        if target == name:
            yield where, "a source cannot refill itself; name another source, or use {repeat: N}"
        elif target not in parts.sources:
            others = [other for other in parts.sources if other != name]
            yield where, f"{target!r} is not a source of this recipe; {suggest(target, others)}"
        elif parts.sources[target].all:
            yield where, f"{target!r} is used whole (all), so it has nothing left to give; name a source with tokens or weight"


def _circle_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    """One fault for each circle, at its first source."""
    reported: set[str] = set()
    for name in parts.sources:
        path = [name]
        while (target := _refill(parts, path[-1])) is not None and target not in path:
            path.append(target)
        if target == name and len(path) > 1 and reported.isdisjoint(path):
            reported.update(path)
            yield ("sources", name, "shortfall", "refill"), f"refills go in a circle: {' -> '.join([*path, name])}; break it"


def _refill(parts: Parts, name: str) -> str | None:
    return parts.sources[name].refill if name in parts.sources else None


def _budget_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    weighted = [name for name, wish in parts.sources.items() if wish.weight is not None]
    whole = [name for name, wish in parts.sources.items() if wish.all]
    fixed = sum(wish.tokens for wish in parts.sources.values() if wish.tokens is not None)
    budget = parts.budget.total_tokens if parts.budget else None
    if fixed > MAX_TOKENS or (budget or 0) > MAX_TOKENS:
        yield ("budget",) if parts.has_budget else ("sources",), f"asks {max(fixed, budget or 0):,} tokens; at most {MAX_TOKENS:,}"
    if weighted and not parts.has_budget:
        yield ("sources", weighted[0], "weight"), "needs a budget to be a share of; add budget: {tokens: N}"
    if budget is not None and fixed > budget:
        yield ("budget",), f"is {budget:,} tokens, but fixed quotas ask {fixed:,}; raise the budget or lower them"
    if budget is None or not parts.complete:
        return
    if weighted and fixed == budget:
        yield ("budget",), f"of {budget:,} tokens is taken by fixed quotas, nothing is left for {', '.join(weighted)}; raise it"
    elif whole and not weighted:
        message = f"cannot be met: {', '.join(whole)} is used whole (all), and no source has a weight to take the rest; remove the budget"
        yield ("budget",), message
    elif fixed < budget and not weighted:
        yield ("budget",), f"is {budget:,} tokens, but the sources ask {fixed:,} and none has a weight to take the rest; make them equal"


def _overlap_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    for (first, one), (second, other) in combinations(parts.sources.items(), 2):
        if one.use is None or one.use != other.use or one.keys is None or other.keys is None:
            continue
        if max(one.keys[0], other.keys[0]) < min(one.keys[1], other.keys[1]):
            yield ("sources", second), f"shares keys with {first}, which uses {one.use!r} too; make their keys disjoint"


def filter_faults(given: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield (where, message) for what does not fit between filters, removals, copies, inserts and sources. given: a recipe's raw values."""
    if not given.get("filters"):
        for key, value in (("removed", "shrink"), ("copies", "approved")):
            if given.get(key) == value:
                yield (key,), f"{value} says what becomes of documents that filters judge, and there are no filters; add some, or remove it"
    sources, inserts = (raw if isinstance(raw, Mapping) else {} for raw in (given.get("sources"), given.get("insert")))
    for name, insert in inserts.items():
        where = ("insert", name)
        if name in sources:
            yield where, "has the name of a source; give it another"
        if isinstance(insert, Mapping) and insert.get("on_top") in ("false", False):
            if "budget" not in given:
                yield (*where, "on_top"), "is false, but there is no budget that it could be part of; add budget: {tokens: N}"
            elif not any(isinstance(source, Mapping) and "weight" in source for source in sources.values()):
                yield (*where, "on_top"), "is false, but no source has a weight, so nothing can give way; let it be true"
