"""What a recipe asks: its budget, and of each source a quota, a key range and what happens if it is
short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    WithJsonSchema,
)

from mixtures.keys import KeyRange, key_bound
from mixtures.recipe.quality.steps import Quality
from mixtures.recipe.source_definition import Adapter, HubSplit, SourceDefinition, Split, Where
from mixtures.rules.text_expression import Expression
from mixtures.yaml.fields import (
    Checked,
    Described,
    Exact,
    Flag,
    Integer,
    Line,
    LocalPath,
    Location,
    Name,
    Positive,
    Reference,
    describe,
)


class Shortfall(Described, Checked):
    """What happens when a source holds less than its quota: neither field set means that the build
    fails.
    """

    repeat: Annotated[Integer, Field(ge=2, le=65_535)] | None = None
    """How often the whole source may be used at most."""
    refill: Name | None = None
    """The source that gives the missing tokens instead."""

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """One rule at a time."""
        if "repeat" in given and "refill" in given:
            yield (), "gives both repeat and refill; keep one of them"


_SHORTFALL_SCHEMA = WithJsonSchema(
    {"anyOf": [{"const": "error"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}
)


HUB_URL = re.compile(
    r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/@]+))?(/(?P<folder>[^@]*))?/?"
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
LOCAL: TypeAdapter[str] = TypeAdapter(LocalPath)
DataPlace = Annotated[Line, BeforeValidator(lambda value: _data_place(value))]
"""A `LocalPath` or a URL; which URLs are allowed, `pipeline.places.places` says."""


def is_url(place: str) -> bool:
    """Whether a place is a URL."""
    return _URL.match(place) is not None


def split_glob(place: str) -> tuple[str, str]:
    """A place and the pattern of files below it, which is empty where the place has none."""
    scheme, separator, path = place.rpartition("://")
    parts = path.split("/")
    first = next((at for at, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts))
    root = "/".join(parts[:first]) or "."
    return f"{scheme}{separator}{root}", "/".join(parts[first:])


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


def _data_place(value: Any) -> Any:
    return value if isinstance(value, str) and _URL.match(value) else LOCAL.validate_python(value)


_INLINE = ("text", "adapter", "where", "splits", "partial", "licence", "non_commercial")
"""Fields of a source definition that stands in the recipe."""


def _source_faults(given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
    """A source is a definition that is named, or one that stands here."""
    inline = [key for key in _INLINE if key in given]
    if "use" in given and "data" in given:
        yield (), "gives both use and data; keep one of them"
    elif "use" in given and inline:
        yield (inline[0],), "belongs to the source definition that is used; write it there"
    elif "use" not in given and "data" not in given:
        yield (), "names no source; give use: DEFINITION, or data: FOLDER and text: COLUMN"
    elif "data" in given and ("text" in given) == ("adapter" in given):
        both = "gives both text and adapter; keep one of them"
        neither = "does not say how a row becomes a text; give text: COLUMN (or an adapter)"
        yield (), both if "text" in given else neither


DataField = Annotated[
    Annotated[DataPlace, Tag("place")] | Annotated[HubSplit, Tag("hub")],
    Discriminator(lambda value: "place" if isinstance(value, str) else "hub"),
]
"""Where the files of a source are."""


class SourceRequest(Described, Checked):
    """What a mix takes of one source: exactly one of `tokens`, `weight`, `all` and `reserve`."""

    use: Reference | None = None
    """The source definition, by shipped name or by file (relative to the recipe); or the fields of
    one that stand here (`data`, `text`, `adapter`, `where`, `splits`, `partial`, `licence`,
    `non_commercial`)."""
    data: DataField | None = None
    """Where the files are: a folder, a file or a glob, relative to the recipe, a URL of a folder,
    or a split of the hub."""
    text: Expression | None = None
    """How a row becomes a text (`mixtures.rules.text_expression`)."""
    adapter: Adapter | None = None
    """Instead of `text`: the name of an adapter."""
    where: Where = Field(default_factory=dict)
    """Rows are read only if each named column is one of the listed values."""
    splits: tuple[Split, ...] = ()
    """Of files whose paths name splits, those that are read."""
    partial: Flag = False
    """Whether shards may be missing that the names of others count."""
    licence: Line | None = None
    non_commercial: Flag = False
    tokens: Positive | None = None
    """A fixed quota."""
    weight: Annotated[Exact, Field(gt=0)] | None = None
    """A share of what fixed quotas leave."""
    all: Flag = False
    """Everything."""
    reserve: Flag = False
    """No quota of its own: it gives what other sources refill from it, and nothing else."""
    corpus: Name | None = None
    """The corpus that this source is a part of: tables and published figures have one line for all
    sources of a corpus. No mix depends on it."""
    keys: Annotated[tuple[Exact, ...], AfterValidator(_key_range)] = (Decimal(0), Decimal(1))
    """The half-open share of the key space that is taken, as exact decimals."""
    shortfall: Annotated[Shortfall, BeforeValidator(_shortfall), _SHORTFALL_SCHEMA] = Shortfall()
    quality: Quality = ()
    """Steps that each document goes through when it is read, in order
    (`mixtures.recipe.quality.steps`)."""

    def definition(
        self, name: str, paths: tuple[str, ...], repository: tuple[str, str] | None = None
    ) -> SourceDefinition:
        """The source definition whose fields stand here.

        Args:
            name: of the source. paths: patterns of files below the folder, where not all are meant.
            repository: of the hub, with its revision, whose files are listed.
        """
        fields: dict[str, object] = {field: getattr(self, field) for field in _INLINE}
        fields |= {"name": name, "paths": paths}
        if repository:
            fields |= dict(zip(("repo", "revision"), repository, strict=True))
        if isinstance(hub := self.data, HubSplit):
            fields |= {
                "format": "datasets",
                "repo": hub.repo,
                "revision": hub.revision,
                "datasets": {"config": hub.config, "split": hub.split},
            }
        return SourceDefinition.model_validate({key: item for key, item in fields.items() if item})

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
        """One source, exactly one amount; no shortfall rule where all is taken."""
        yield from _source_faults(given)
        amounts = [key for key in ("tokens", "weight", "all", "reserve") if key in given]
        if not amounts:
            yield (), "asks for nothing; give one of tokens, weight, all: true, reserve: true"
        elif len(amounts) > 1:
            yield (), f"gives {' and '.join(amounts)}; keep one of them"
        for key in ("all", "reserve"):
            if given.get(key) in ("false", False) and key in given:
                yield (key,), f"is false; write {key}: true or leave it out"
        if "all" in given and given.get("shortfall", "error") != "error":
            yield (
                ("shortfall",),
                "a source that is used whole (all) is never short; remove the rule",
            )
