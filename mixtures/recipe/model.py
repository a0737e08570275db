"""What a recipe may say: budget, sources with their quotas, key ranges and shortfall rules,
exclusions, published figures.

The models read a `YamlTree`'s values. Rules between sources and the budget stand at the end; every
broken rule is reported, whatever else is wrong with the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from mixtures.keys import KeyRange, key_bound
from mixtures.recipe.decontaminate import Decontamination
from mixtures.recipe.filters import FilterRequests, Insert
from mixtures.recipe.near import NearField, near_faults
from mixtures.recipe.quality import Quality
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Integer,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Reference,
    Text,
    describe,
)
from mixtures.yaml.tree import suggest


class Budget(Checked):
    """How many tokens the whole mix has, EOD tokens counted.

    tokens: the number itself; or
    steps: trainer steps, of `batch` sequences of `sequence` tokens each.  A trainer that needs S
        samples of length L reads S*L + 1 tokens, because each sample's targets are shifted by one
        (GPT-NeoX and megatron-core, `GPT2Dataset`).
    """

    tokens: Positive | None = None
    steps: Positive | None = None
    batch: Positive = 2048
    sequence: Positive = 2048

    @property
    def total_tokens(self) -> int:
        """Tokens of the mix: `tokens`, or steps * batch * sequence + 1."""
        if self.tokens is not None:
            return self.tokens
        return (self.steps or 0) * self.batch * self.sequence + 1

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one of tokens and steps; batch and sequence belong to steps."""
        if ("tokens" in given) == ("steps" in given):
            yield (), "give either tokens, or steps (with batch and sequence)"
        elif "tokens" in given:
            for key in ("batch", "sequence"):
                if key in given:
                    yield (
                        (key,),
                        "belongs to a budget in steps; remove it, or give steps instead of tokens",
                    )


class Shortfall(Checked):
    """What happens when a source holds less than its quota: neither field set means that the build
    fails.

    repeat: how often the whole source may be used at most.
    refill: the source that gives the missing tokens instead.
    """

    repeat: Annotated[Integer, Field(ge=2, le=65_535)] | None = None
    refill: Name | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """One rule at a time."""
        if "repeat" in given and "refill" in given:
            yield (), "gives both repeat and refill; keep one of them"


_SHORTFALL_SCHEMA = WithJsonSchema(
    {"anyOf": [{"const": "error"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}
)


def _shortfall(value: Any) -> Any:
    if value == "error":
        return {}
    if isinstance(value, Shortfall) or (isinstance(value, Mapping) and value):
        return value
    raise ValueError(
        f"found {describe(value)}; allowed: error, {{repeat: N}} or {{refill: SOURCE}}"
    )


def _key_range(value: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if len(value) != 2:
        raise ValueError(f"found {len(value)} numbers; write two, [lower, upper]")
    low, high = value
    if not 0 <= low < high <= 1:
        raise ValueError(f"found [{low}, {high}]; 0 <= lower < upper <= 1 must hold")
    if key_bound(low) == key_bound(high):
        raise ValueError(f"found [{low}, {high}]; no 64-bit order key lies between them")
    return value


class SourceRequest(Checked):
    """What a mix takes of one source.

    use: the source definition, by shipped name or by file (relative to the recipe).
    tokens, weight, all: exactly one: a fixed quota; a share of what fixed quotas leave; everything.
    keys: the half-open share of the key space that is taken, as exact decimals.
    quality: filters and formatters that each document goes through when it is read, in order
        (`mixtures.recipe.quality`).
    """

    use: Reference
    tokens: Positive | None = None
    weight: Annotated[Exact, Field(gt=0)] | None = None
    all: Flag = False
    keys: Annotated[tuple[Exact, ...], AfterValidator(_key_range)] = (Decimal(0), Decimal(1))
    shortfall: Annotated[Shortfall, BeforeValidator(_shortfall), _SHORTFALL_SCHEMA] = Shortfall()
    quality: Quality = ()

    @property
    def key_range(self) -> KeyRange:
        """Order keys [lower, upper) of the range; the upper bound of the whole space is 2^64."""
        return KeyRange(key_bound(self.keys[0]), key_bound(self.keys[1]))

    @property
    def refill_from(self) -> str | None:
        """The source that gives what this one lacks."""
        return self.shortfall.refill

    @property
    def max_epochs(self) -> int:
        """How often this source may be used at most."""
        return self.shortfall.repeat or 1

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one amount; no shortfall rule where all is taken."""
        amounts = [key for key in ("tokens", "weight", "all") if key in given]
        if not amounts:
            yield (), "asks for nothing; give one of tokens, weight, all: true"
        elif len(amounts) > 1:
            yield (), f"gives {' and '.join(amounts)}; keep one of them"
        if given.get("all") in ("false", False) and "all" in given:
            yield ("all",), "is false; write all: true or leave it out"
        if "all" in given and given.get("shortfall", "error") != "error":
            yield (
                ("shortfall",),
                "a source that is used whole (all) is never short; remove the rule",
            )


class PublishedFigures(Model):
    """What a paper or card states of one source of the mix. percent: as printed.

    removed_percent, copied_percent: of its documents, by the filters and by `copies: approved`.
    """

    documents: Positive | None = None
    tokens: Positive | None = None
    percent: Exact | None = None
    removed_percent: Annotated[Exact, Field(ge=0, lt=100)] | None = None
    copied_percent: Annotated[Exact, Field(ge=0, le=100)] | None = None


class Published(Model):
    """What is published of the mix that a recipe rebuilds; printed beside the realised figures, and
    no mix depends on it.

    documents: of the mix, copies counted.
    """

    documents: Positive | None = None
    tokens: Positive | None = None
    removed_percent: Annotated[Exact, Field(ge=0, lt=100)] | None = None
    copied_percent: Annotated[Exact, Field(ge=0, le=100)] | None = None
    sources: dict[Name, PublishedFigures] = Field(default_factory=dict)


class Recipe(Checked):
    """A mix, as its file describes it.

    budget: absent if the sources' supply decides (`all`) or the fixed quotas do.
    tokenizer: name of a tokenizer definition.
    special_tokens: whether strings such as `<|endoftext|>` inside a document stay text or become
        special ids.
    max_quarantined: share of a source's rows that may be unreadable before the build fails, 0 to 1.
    exclude: recipes (names, or files beside this one); documents in one of their sources and key
        ranges are not taken here.
    data: folder with the sources in their published layout, relative to the recipe, used where
        `--data` is not given.
    sources: in order of priority: of equal documents in several sources, the first source keeps its
        own.
    decontaminate: evaluation sets of which no document may hold an item.
    filters: a document that any of them flags is removed.
    removed: `refill` takes the next documents instead, so that every quota is met; `shrink` selects
        first and removes then, as the published mixes did: what is left is the unfiltered mix
        without the flagged documents, in its order, and the total falls.
    copies: `approved` adds a second copy of every document that a filter escalated and none flagged
        (they count in their source's quota under refill, and come on top under shrink).
    insert: documents of the user's, by name.
    near: near-duplicates that are removed, before filters and quotas look at anything.
    """

    name: Name
    description: Text = ""
    budget: Budget | None = None
    tokenizer: Name
    special_tokens: Literal["text", "parse"] = "text"
    max_quarantined: Annotated[Exact, Field(ge=0, le=1)] = Decimal(0)
    exclude: tuple[Reference, ...] = ()
    data: LocalPath | None = None
    sources: Annotated[dict[Name, SourceRequest], Field(min_length=1)]
    decontaminate: Decontamination | None = None
    filters: FilterRequests = ()
    removed: Literal["refill", "shrink"] = "refill"
    copies: Literal["none", "approved"] = "none"
    insert: dict[Name, Insert] = Field(default_factory=dict)
    near: NearField | None = None
    published: Published | None = None

    @property
    def shrinks(self) -> bool:
        """Whether removed documents leave a gap in the stream."""
        return self.removed == "shrink"

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Rules between the sources, the budget and the filters, on whatever part of them is
        well-formed.
        """
        yield from cross_faults(Parts.of(given, Budget, SourceRequest))
        yield from filter_faults(given)
        yield from near_faults(given)


MAX_TOKENS = (
    1 << 52
)  # the merge compares 2 * position + length in float64, which is exact below 2^53

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Wish:
    """What of one source's request is well-formed; a malformed or absent field is None. sound:
    nothing is malformed.
    """

    use: str | None
    tokens: int | None
    weight: Decimal | None
    all: bool
    keys: KeyRange | None
    refill: str | None
    sound: bool

    @classmethod
    def of(cls, model: type[SourceRequest], given: Any) -> Wish:
        """Take what can be taken of a request, which may be anything."""
        request = _made(model, given)
        if request is not None:
            return cls(
                request.use,
                request.tokens,
                request.weight,
                request.all,
                request.key_range,
                request.refill_from,
                sound=True,
            )
        fields = _well_formed(model, given)
        keys, shortfall = fields.get("keys"), fields.get("shortfall")
        if keys is None and isinstance(given, Mapping) and "keys" not in given:
            keys = model.model_fields["keys"].default
        return cls(
            use=fields.get("use"),
            tokens=fields.get("tokens"),
            weight=fields.get("weight"),
            all=fields.get("all", False),
            keys=KeyRange(key_bound(keys[0]), key_bound(keys[1])) if keys else None,
            refill=shortfall.refill if shortfall else None,
            sound=False,
        )


@dataclass(frozen=True)
class Parts:
    """What of a recipe is well-formed.

    sources: by name, in order.
    budget: absent or malformed if None; has_budget tells which.
    exclude: as given.
    """

    sources: dict[str, Wish]
    budget: Budget | None
    has_budget: bool
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, given: Mapping[str, Any], budget: type[Budget], request: type[SourceRequest]
    ) -> Parts:
        """Take what can be taken of a recipe's raw values."""
        raw = given.get("sources")
        sources = (
            {name: Wish.of(request, value) for name, value in raw.items()}
            if isinstance(raw, Mapping)
            else {}
        )
        exclude = given.get("exclude")
        references = (
            tuple(item for item in exclude if isinstance(item, str))
            if isinstance(exclude, list | tuple)
            else ()
        )
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
            yield (
                where,
                (
                    f"{target!r} is used whole (all), so it has nothing left to give; name a source"
                    " with tokens or weight"
                ),
            )


def _circle_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    """One fault for each circle, at its first source."""
    reported: set[str] = set()
    for name in parts.sources:
        path = [name]
        while (target := _refill(parts, path[-1])) is not None and target not in path:
            path.append(target)
        if target == name and len(path) > 1 and reported.isdisjoint(path):
            reported.update(path)
            yield (
                (
                    "sources",
                    name,
                    "shortfall",
                    "refill",
                ),
                f"refills go in a circle: {' -> '.join([*path, name])}; break it",
            )


def _refill(parts: Parts, name: str) -> str | None:
    return parts.sources[name].refill if name in parts.sources else None


def _budget_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    weighted = [name for name, wish in parts.sources.items() if wish.weight is not None]
    whole = [name for name, wish in parts.sources.items() if wish.all]
    fixed = sum(wish.tokens for wish in parts.sources.values() if wish.tokens is not None)
    budget = parts.budget.total_tokens if parts.budget else None
    if fixed > MAX_TOKENS or (budget or 0) > MAX_TOKENS:
        yield (
            (("budget",) if parts.has_budget else ("sources",)),
            f"asks {max(fixed, budget or 0):,} tokens; at most {MAX_TOKENS:,}",
        )
    if weighted and not parts.has_budget:
        yield (
            (
                "sources",
                weighted[0],
                "weight",
            ),
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
            (
                f"of {budget:,} tokens is taken by fixed quotas, nothing is left for"
                f" {', '.join(weighted)}; raise it"
            ),
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
            (
                f"is {budget:,} tokens, but the sources ask {fixed:,} and none has a weight to take"
                " the rest; make them equal"
            ),
        )


def _overlap_faults(parts: Parts) -> Iterator[tuple[Location, str]]:
    for (first, one), (second, other) in combinations(parts.sources.items(), 2):
        if one.use is None or one.use != other.use or one.keys is None or other.keys is None:
            continue
        if one.keys.meets(other.keys):
            yield (
                (
                    "sources",
                    second,
                ),
                f"shares keys with {first}, which uses {one.use!r} too; make their keys disjoint",
            )


def filter_faults(given: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield (where, message) for what does not fit between filters, removals, copies, inserts and
    sources. given: a recipe's raw values.
    """
    if not given.get("filters"):
        for key, value in (("removed", "shrink"), ("copies", "approved")):
            if given.get(key) == value:
                yield (
                    (key,),
                    (
                        f"{value} says what becomes of documents that filters judge, and there are"
                        " no filters; add some, or remove it"
                    ),
                )
    sources, inserts = (
        raw if isinstance(raw, Mapping) else {}
        for raw in (given.get("sources"), given.get("insert"))
    )
    for name, insert in inserts.items():
        where = ("insert", name)
        if name in sources:
            yield where, "has the name of a source; give it another"
        if isinstance(insert, Mapping) and insert.get("on_top") in ("false", False):
            if "budget" not in given:
                yield (
                    (*where, "on_top"),
                    (
                        "is false, but there is no budget that it could be part of; add budget:"
                        " {tokens: N}"
                    ),
                )
            elif not any(
                isinstance(source, Mapping) and "weight" in source for source in sources.values()
            ):
                yield (
                    (*where, "on_top"),
                    "is false, but no source has a weight, so nothing can give way; let it be true",
                )
