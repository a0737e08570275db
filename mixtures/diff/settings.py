"""What differs in what two mixes were asked to be: recipe, size, tokenizer, layout, budgets by
source, inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from mixtures.mix.claims import Claims
from mixtures.words import plural

BUDGET = {"asked_tokens", "resolved_tokens", "realised_tokens", "documents", "epochs"}
WHOLE = ("name", "size", "tokenizer", "layout", "total_tokens", "total_documents", "revisions")


def differing_settings(one: Claims, two: Claims) -> list[dict[str, Any]]:
    """Each setting that differs: {setting, a, b}, None where a mix has no such setting; by name.

    Settings are paths such as `recipe.sources.dclm.tokens`; items of a list go by their name, where
    they have one.
    """
    a, b = _settings(one), _settings(two)
    return [
        {"setting": name, "a": a.get(name), "b": b.get(name)}
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ] + _differing_inputs(one, two)


def _settings(claims: Claims) -> dict[str, Any]:
    budgets = {source.label: source.model_dump(include=BUDGET) for source in claims.sources}
    whole = claims.as_json()
    return _flat({**{key: whole[key] for key in (*WHOLE, "recipe")}, "sources": budgets})


def _flat(value: Any, path: str = "") -> dict[str, Any]:
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
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{path}.{key}" if path else str(key))
    return found


def _differing_inputs(one: Claims, two: Claims) -> list[dict[str, Any]]:
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
            differing.append(
                {"setting": f"inputs.{name}", "a": _more(here, there), "b": _more(there, here)}
            )
    return differing


def _more(files: Set[Any], other: Set[Any]) -> str:
    return f"{plural(len(files), 'file')}, {len(files - other):,} of them not in the other"
