"""What differs in what two mixes were asked to be: recipe, size, tokenizer, layout, budgets by
source, inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from mixtures.mix.claims import Claims
from mixtures.words import plural

BUDGET = {"asked_tokens", "resolved_tokens", "realised_tokens", "documents", "epochs"}
WHOLE = ("name", "size", "tokenizer", "layout", "total_tokens", "total_documents", "revisions")


@dataclass(frozen=True)
class Setting:
    """A setting that two mixes do not share."""

    setting: str
    """Its path, such as `recipe.sources.dclm.tokens`; items of a list go by their name, where they
    have one.
    """
    a: object
    """A leaf of JSON, or an empty or nameless list; None where the mix has no such setting."""
    b: object


def differing_settings(one: Claims, two: Claims) -> list[Setting]:
    """Each setting that differs, by name; then the definitions of which other files are read."""
    a, b = _settings(one), _settings(two)
    return [
        Setting(name, a.get(name), b.get(name))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ] + _differing_inputs(one, two)


def _settings(claims: Claims) -> dict[str, object]:
    budgets = {source.label: source.model_dump(include=BUDGET) for source in claims.sources}
    whole = claims.as_json()
    return _flat({**{key: whole[key] for key in (*WHOLE, "recipe")}, "sources": budgets})


def _flat(value: object, path: str = "") -> dict[str, object]:
    """Leaves by their path; the order of named items is a leaf of its own."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    ):
        value = {
            "(order)": ", ".join(str(item["name"]) for item in value),
            **{str(item["name"]): item for item in value},
        }
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    leaves: dict[str, object] = {}
    for key, item in value.items():
        leaves |= _flat(item, f"{path}.{key}" if path else str(key))
    return leaves


def _differing_inputs(one: Claims, two: Claims) -> list[Setting]:
    """Of each definition that does not read the same files: how many files each mix reads that the
    other does not.
    """
    differing = []
    for name in sorted(one.inputs.keys() | two.inputs.keys()):
        here, there = (
            {(file.path, file.sha256) for file in claims.inputs.get(name, [])}
            for claims in (one, two)
        )
        if here != there:
            differing.append(Setting(f"inputs.{name}", _more(here, there), _more(there, here)))
    return differing


def _more(files: Set[object], other: Set[object]) -> str:
    return f"{plural(len(files), 'file')}, {len(files - other):,} of them not in the other"
