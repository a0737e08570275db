"""The head of a recipe: what it is called, what it is, and how large it is; and the heads of all
that are shipped, read alone, since a list of them needs nothing that they refer to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from mixtures.trainers.names import Trainer
from mixtures.trainers.schedule import Schedule
from mixtures.yaml.disk import SHIPPED, names_in
from mixtures.yaml.fields import (
    Checked,
    Described,
    Location,
    Name,
    Positive,
    Text,
    describe,
)
from mixtures.yaml.tree import load_yaml


class Budget(Described, Checked):
    """How many tokens the whole mix has, EOD tokens counted: the number, or trainer steps."""

    tokens: Positive | None = None
    steps: Positive | None = None
    """Of `batch` sequences of `sequence` tokens each, by `trainer`."""
    batch: Positive = 2048
    """Sequences of a step; with the next one, the 4,194,304 tokens of the published runs."""
    sequence: Positive = 2048
    """Tokens."""
    trainer: Trainer = "neox"
    """Whose steps: how many tokens they take differs (`mixtures.trainers.epochs`). GPT-NeoX, the
    published runs' own, needs one sequence more than megatron-core, and so has enough for it and
    for OLMo-core."""

    @property
    def schedule(self) -> Schedule | None:
        """The steps; None of a budget in tokens."""
        if self.steps is None:
            return None
        return Schedule(self.steps, self.batch, self.sequence, self.trainer)

    @property
    def total_tokens(self) -> int:
        """Tokens of the mix: `tokens`, or what the steps take."""
        return self.schedule.tokens if self.schedule else self.tokens or 0

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one of tokens and steps; batch, sequence and trainer belong to steps."""
        if ("tokens" in given) == ("steps" in given):
            yield (), "give either tokens, or steps (with batch, sequence and trainer)"
        elif "tokens" in given:
            for key in ("batch", "sequence", "trainer"):
                if key in given:
                    yield (
                        (key,),
                        "belongs to a budget in steps; remove it, or give steps instead of tokens",
                    )


_MAGNITUDES = {"k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def _budget(value: Any) -> Any:
    """A bare number is refused with the mapping to write."""
    if not isinstance(value, str | int):
        return value
    said = re.fullmatch(r"([0-9]{1,9})([kmbgt]?)", str(value).replace("_", ""), re.IGNORECASE)
    tokens = int(said[1]) * _MAGNITUDES.get(said[2].lower(), 1) if said else 600_000
    raise ValueError(f"found {describe(value)}; write budget: {{tokens: {tokens:_}}}")


class Heading(Described, Checked):
    """How a recipe begins."""

    name: Name
    description: Text = ""
    budget: Annotated[Budget, BeforeValidator(_budget)] | None = None
    """Absent if the sources' supply decides (`all`) or the fixed quotas do."""


def shipped_headings() -> list[Heading]:
    """Of every shipped recipe, by name."""
    recipes = [load_yaml(SHIPPED / f"{name}.yaml").value for name in names_in(SHIPPED)]
    fields = Heading.model_fields
    return [
        Heading.model_validate({name: recipe[name] for name in fields if name in recipe})
        for recipe in recipes
    ]
