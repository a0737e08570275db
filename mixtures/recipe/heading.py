"""The head of a recipe: what it is called, what it is, and how large it is; and the heads of all
that are shipped, read alone, since a list of them needs nothing that they refer to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mixtures.yaml.disk import SHIPPED, names_in, shown
from mixtures.yaml.fields import Checked, Location, Name, Positive, Text
from mixtures.yaml.tree import load_yaml


class Budget(Checked, use_attribute_docstrings=True):
    """How many tokens the whole mix has, EOD tokens counted: the number, or trainer steps."""

    tokens: Positive | None = None
    steps: Positive | None = None
    """Of `batch` sequences of `sequence` tokens each. A trainer that needs S samples of length L
    reads S*L + 1 tokens, because each sample's targets are shifted by one (GPT-NeoX and
    megatron-core, `GPT2Dataset`)."""
    batch: Positive = 2048
    """Sequences of a step; with the next one, the 4,194,304 tokens of the published runs."""
    sequence: Positive = 2048
    """Tokens."""

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


class Heading(Checked, use_attribute_docstrings=True):
    """How a recipe begins."""

    name: Name
    description: Text = ""
    budget: Budget | None = None
    """Absent if the sources' supply decides (`all`) or the fixed quotas do."""

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """None among these."""
        return ()


def shipped_headings() -> list[Heading]:
    """Of every shipped recipe, by name."""
    files = [SHIPPED / f"{name}.yaml" for name in names_in(SHIPPED)]
    return [_heading(load_yaml(file, shown(file)).value) for file in files]


def _heading(recipe: Mapping[str, Any]) -> Heading:
    return Heading.model_validate(
        {name: recipe[name] for name in Heading.model_fields if name in recipe}
    )
