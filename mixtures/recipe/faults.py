"""Rules between the parts of a recipe: sources, budget, exclusions, filters and inserts.

They are held on whatever part of the file is well-formed, so that a misspelt key does not hide what
else is wrong: all faults of a file are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from mixtures.keys import KeyRange, key_bound
from mixtures.recipe.heading import Budget
from mixtures.recipe.source_request import SourceRequest
from mixtures.yaml.fields import Location, describe, listed, mapping
from mixtures.yaml.tree import suggest

MAX_TOKENS = 1 << 52
"""The merge compares 2 * position + length in float64, which is exact below 2^53."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class PartialRequest:
    """What of one source's request is well-formed; a malformed or absent field is None."""

    use: str | None
    tokens: int | None
    weight: Decimal | None
    all: bool
    reserve: bool
    corpus: str | None
    keys: KeyRange | None
    refill: str | None
    sound: bool
    """Nothing is malformed."""

    @classmethod
    def of(cls, given: Any) -> PartialRequest:
        """Take what can be taken of a request, which may be anything."""
        request = _made(SourceRequest, given)
        fields = vars(request) if request else _well_formed(SourceRequest, given)
        keys, shortfall = fields.get("keys"), fields.get("shortfall")
        return cls(
            use=fields.get("use"),
            tokens=fields.get("tokens"),
            weight=fields.get("weight"),
            all=fields.get("all", False),
            reserve=fields.get("reserve", False),
            corpus=fields.get("corpus"),
            keys=KeyRange(key_bound(keys[0]), key_bound(keys[1])) if keys else None,
            refill=shortfall.refill if shortfall else None,
            sound=request is not None,
        )


@dataclass(frozen=True)
class PartialRecipe:
    """What of a recipe is well-formed."""

    sources: dict[str, PartialRequest]
    """By name, in order."""
    budget: Budget | None
    """None: absent or malformed."""
    has_budget: bool
    exclude: tuple[str, ...] = ()
    """As given."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> PartialRecipe:
        """Take what can be taken of a recipe's raw values."""
        sources = mapping(given.get("sources")).items()
        return cls(
            {name: PartialRequest.of(value) for name, value in sources},
            _made(Budget, given.get("budget")),
            "budget" in given,
            tuple(item for item in listed(given.get("exclude")) if isinstance(item, str)),
        )

    @property
    def complete(self) -> bool:
        """Whether sums over all sources can be judged."""
        return len(self.sources) > 0 and all(source.sound for source in self.sources.values())


def _made(model: type[M], value: Any) -> M | None:
    with suppress(ValidationError):
        return model.model_validate(value)
    return None


def _well_formed(model: type[BaseModel], value: Any) -> dict[str, Any]:
    """The fields of a record that are well-formed by themselves; absent ones by their defaults."""
    if not isinstance(value, Mapping):
        return {}
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name not in value and not field.is_required():
            fields[name] = field.get_default()
        elif value.get(name) is not None:
            with suppress(ValidationError):
                annotation: Any = Annotated[(field.annotation, *field.metadata, None)]
                fields[name] = TypeAdapter(annotation).validate_python(value[name])
    return fields


def recipe_faults(given: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield (where, message) for every broken rule. given: a recipe's raw values."""
    parts = PartialRecipe.of(given)
    yield from _refill_faults(parts)
    yield from _reserve_faults(parts)
    yield from _circle_faults(parts)
    yield from _budget_faults(parts)
    yield from _overlap_faults(parts)
    yield from _corpus_faults(given, parts)
    yield from _filter_faults(given)
    for index, reference in enumerate(parts.exclude):
        if reference in parts.exclude[:index]:
            yield ("exclude", index), f"{reference!r} is listed twice; keep one of them"


def _refill_faults(parts: PartialRecipe) -> Iterator[tuple[Location, str]]:
    for name, source in parts.sources.items():
        target = source.refill
        where = ("sources", name, "shortfall", "refill")
        if target is None:
            continue
        if target == name:
            yield where, "a source cannot refill itself; name another source, or use {repeat: N}"
        elif target not in parts.sources:
            others = [other for other in parts.sources if other != name]
            yield where, f"{target!r} is not a source of this recipe; {suggest(target, others)}"
        elif parts.sources[target].all:
            yield (
                where,
                f"{target!r} is used whole (all), so it has nothing left to give; name a source"
                " with tokens or weight",
            )


def _reserve_faults(parts: PartialRecipe) -> Iterator[tuple[Location, str]]:
    refilled = {source.refill for source in parts.sources.values()}
    for name, source in parts.sources.items():
        if source.reserve and name not in refilled:
            yield (
                ("sources", name, "reserve"),
                "gives what others refill from it, and none does; write shortfall:"
                f" {{refill: {name}}} at another source, or ask for tokens or a weight",
            )


def _corpus_faults(
    given: Mapping[str, Any], parts: PartialRecipe
) -> Iterator[tuple[Location, str]]:
    """A name in a table is a source, an insert or a corpus, and published figures are of one of
    these. given: a recipe's raw values.
    """
    taken = {*parts.sources, *mapping(given.get("insert"))}
    corpora = {source.corpus for source in parts.sources.values() if source.corpus}
    for name, source in parts.sources.items():
        if source.corpus in taken:
            yield (
                ("sources", name, "corpus"),
                f"{source.corpus!r} is the name of a source or insert; give the corpus another",
            )
    figures = mapping(mapping(given.get("published")).get("sources"))
    known = [*parts.sources, *sorted(corpora)]
    for name in figures if parts.complete else ():
        if name not in known:
            yield (
                ("published", "sources", name),
                f"is no source or corpus of this recipe; {suggest(str(name), known)}",
            )


def _circle_faults(parts: PartialRecipe) -> Iterator[tuple[Location, str]]:
    """One fault for each circle, at its first source."""
    reported: set[str] = set()
    for name in parts.sources:
        path = [name]
        while (target := _refill(parts, path[-1])) is not None and target not in path:
            path.append(target)
        if target == name and len(path) > 1 and reported.isdisjoint(path):
            reported.update(path)
            yield (
                ("sources", name, "shortfall", "refill"),
                f"refills go in a circle: {' -> '.join([*path, name])}; break it",
            )


def _refill(parts: PartialRecipe, name: str) -> str | None:
    return parts.sources[name].refill if name in parts.sources else None


def _budget_faults(parts: PartialRecipe) -> Iterator[tuple[Location, str]]:
    weighted = [name for name, source in parts.sources.items() if source.weight is not None]
    whole = [name for name, source in parts.sources.items() if source.all]
    fixed = sum(source.tokens for source in parts.sources.values() if source.tokens is not None)
    budget = parts.budget.total_tokens if parts.budget else None
    if fixed > MAX_TOKENS or (budget or 0) > MAX_TOKENS:
        yield (
            (("budget",) if parts.has_budget else ("sources",)),
            f"asks {max(fixed, budget or 0):,} tokens; at most {MAX_TOKENS:,}",
        )
    if weighted and not parts.has_budget:
        yield (
            ("sources", weighted[0], "weight"),
            "needs a budget to be a share of; add budget: {tokens: N}",
        )
    if budget is not None and fixed > budget:
        yield (
            ("budget",),
            f"is {budget:,} tokens, but fixed quotas ask {fixed:,}; raise the budget or lower them",
        )
    if budget is None or not parts.complete:
        return
    if weighted and fixed == budget:
        yield (
            ("budget",),
            f"of {budget:,} tokens is taken by fixed quotas, nothing is left for"
            f" {', '.join(weighted)}; raise it",
        )
    elif whole and not weighted:
        message = (
            f"cannot be met: {', '.join(whole)} is used whole (all), and no source has a weight to"
            " take the rest; remove the budget"
        )
        yield ("budget",), message
    elif fixed < budget and not weighted:
        yield (
            ("budget",),
            f"is {budget:,} tokens, but the sources ask {fixed:,} and none has a weight to take"
            " the rest; make them equal",
        )


def _overlap_faults(parts: PartialRecipe) -> Iterator[tuple[Location, str]]:
    for (first, one), (second, other) in combinations(parts.sources.items(), 2):
        if one.use is None or one.use != other.use or one.keys is None or other.keys is None:
            continue
        if one.keys.meets(other.keys):
            yield (
                ("sources", second),
                f"shares keys with {first}, which uses {one.use!r} too; make their keys disjoint",
            )


def _filter_faults(given: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield (where, message) for what does not fit between filters, removals, copies, inserts and
    sources. given: a recipe's raw values.
    """
    if not given.get("filters"):
        for key, value in (("removed", "shrink"), ("copies", "approved")):
            if given.get(key) == value:
                yield (
                    (key,),
                    f"{value} says what becomes of documents that filters judge, and there are"
                    " no filters; add some, or remove it",
                )
    sources, inserts = mapping(given.get("sources")), mapping(given.get("insert"))
    for number, item in enumerate(given.get("filters") or ()):
        for other in listed(mapping(item).get("partners")):
            if sources and other not in sources:
                yield (
                    ("filters", number, "partners"),
                    f"{describe(other)} is no source; sources are {', '.join(map(str, sources))}",
                )
    for name, insert in inserts.items():
        where = ("insert", name)
        if name in sources:
            yield where, "has the name of a source; give it another"
        if mapping(insert).get("on_top") in ("false", False):
            if "budget" not in given:
                yield (
                    (*where, "on_top"),
                    "is false, but there is no budget that it could be part of; add budget:"
                    " {tokens: N}",
                )
            elif not any("weight" in mapping(source) for source in sources.values()):
                yield (
                    (*where, "on_top"),
                    "is false, but no source has a weight, so nothing can give way; let it be true",
                )
