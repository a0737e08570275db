"""How a recipe asks for near-duplicates to be removed: by which rule, in which sources, against
which other recipes.

    near: words                                              # a preset of mixtures.rules.near
    near: {rule: words, verify: 0.8, sources: [dclm, pes2o], excluded: true}
    near: {rule: {unit: characters, shingle: 24, bands: 20, rows: 13}}

What relates documents sees the whole key range of each source that takes part, whatever the quotas
take of it. Only exact survivors take part, so a document has one reason: `duplicate of SOURCE`
first, `near-duplicate of SOURCE` second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mixtures.rules.near import PRESETS, NearRule, threshold_faults
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Location,
    Name,
    listed,
    mapping,
    plain_decimal,
)
from mixtures.yaml.tree import suggest

NEAR = "near-duplicate of "
"""What the reason of a dropped document begins with; the source of what stays follows, or EXCLUDED.
"""
EXCLUDED = "an excluded recipe"
MAX_CLUSTER = Decimal("0.1")


def _rule(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"{value!r} is not a preset; {suggest(value, PRESETS, 'presets')}")
    return PRESETS[value]


class NearRequest(Checked):
    """Which near-duplicates a recipe removes; a bare name is its `rule`.

    rule: a preset's name, or unit, shingle, bands and rows. verify: least Jaccard similarity of
        linked documents; absent: as the rule says.
    sources: those that take part; absent: all. excluded: whether near-copies of what `exclude`
        takes are kept out too.
    max_cluster: the share of a source's documents that one cluster may hold before a build fails;
        it changes no mix, so it is no part of a recipe's digest.
    """

    rule: Annotated[NearRule, BeforeValidator(_rule)]
    verify: Exact | None = None
    sources: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    excluded: Flag = False
    max_cluster: Annotated[Exact, Field(ge=0, le=1)] = MAX_CLUSTER

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """One place for the threshold, and each source once."""
        yield from threshold_faults(given.get("verify"))
        rule, sources = given.get("rule"), given.get("sources")
        if "verify" in mapping(rule):
            yield (
                ("rule", "verify"),
                "stands beside rule, not in it; write near: {rule: ..., verify: 0.8}",
            )
        for index, name in enumerate(names := listed(sources)):
            if name in names[:index]:
                yield ("sources", index), f"{name!r} is listed twice; keep one of them"

    @property
    def effective(self) -> NearRule:
        """The rule with the request's own threshold."""
        if self.verify is None:
            return self.rule
        return self.rule.model_copy(update={"verify": self.verify})

    def competes(self, source: str) -> bool:
        """Whether a source of the recipe takes part."""
        return self.sources is None or source in self.sources

    def canonical(self, sources: Iterable[str]) -> dict[str, object]:
        """What is asked, for a recipe's digest. sources: of the recipe, in its order."""
        rule = self.effective
        asked: dict[str, object] = {
            "identity": rule.identity(),
            "rule": rule.model_dump(exclude={"verify"}),
            "sources": [name for name in sources if self.competes(name)],
            "excluded": str(self.excluded).lower(),
        }
        return asked if rule.verify is None else {**asked, "verify": plain_decimal(rule.verify)}


def read_near(canonical: Mapping[str, Any]) -> NearRequest:
    """The request of a canonical recipe.

    Raises:
        ValueError: it is none (a ValidationError is a ValueError).
    """
    asked = ("rule", "verify", "sources", "excluded")
    return NearRequest.model_validate({key: canonical[key] for key in asked if key in canonical})


def request_of(value: Any) -> Any:
    """A bare name stands for the rule."""
    return {"rule": value} if isinstance(value, str) else value


NearField = Annotated[NearRequest, BeforeValidator(request_of)]


def near_faults(given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
    """Yield (where, message) for what does not fit between `near`, the sources and `exclude`.
    given: a recipe's raw values.
    """
    near, sources = given.get("near"), given.get("sources")
    if not isinstance(near, Mapping):
        return
    for index, name in enumerate(listed(near.get("sources"))):
        if isinstance(sources, Mapping) and isinstance(name, str) and name not in sources:
            yield (
                ("near", "sources", index),
                f"{name!r} is not a source of this recipe; {suggest(name, list(sources))}",
            )
    if near.get("excluded") in ("true", True) and not given.get("exclude"):
        yield (
            ("near", "excluded"),
            "is true, but the recipe excludes nothing; add exclude: [RECIPE], or remove it",
        )
