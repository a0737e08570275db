"""What differs in what two mixes were asked to be: recipe, size, tokenizer, layout, budgets by
source, inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from mixtures.mix.manifest import Manifest
from mixtures.words import plural, strand_label

BUDGET = ("asked_tokens", "resolved_tokens", "realised_tokens", "documents", "epochs")
WHOLE = ("name", "size", "tokenizer", "layout", "total_tokens", "total_documents", "revisions")


def differing_settings(one: Manifest, two: Manifest) -> list[dict[str, Any]]:
    """Each setting that differs: {setting, a, b}, None where a mix has no such setting; by name.

    Settings are paths such as `recipe.sources.dclm.tokens`; items of a list go by their name, where
    they have one.
    """
    found = [_settings(manifest) for manifest in (one, two)]
    names = sorted(found[0].keys() | found[1].keys())
    pairs = [(name, found[0].get(name), found[1].get(name)) for name in names]
    return [
        {"setting": name, "a": here, "b": there} for name, here, there in pairs if here != there
    ] + _differing_inputs(one, two)


def _settings(manifest: Manifest) -> dict[str, Any]:
    budgets = {
        strand_label(item["name"], item["copy"]): {key: item[key] for key in BUDGET}
        for item in manifest["sources"]
    }
    return _flat(
        {**{key: manifest[key] for key in WHOLE}, "recipe": manifest["recipe"], "sources": budgets}
    )


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


def _differing_inputs(one: Manifest, two: Manifest) -> list[dict[str, Any]]:
    """Of each definition that does not read the same files: how many files each mix reads that the
    other does not.
    """
    found = []
    for name in sorted(one["inputs"].keys() | two["inputs"].keys()):
        here, there = (
            {(file["path"], file["sha256"]) for file in manifest["inputs"].get(name, [])}
            for manifest in (one, two)
        )
        if here != there:
            found.append(
                {"setting": f"inputs.{name}", "a": _more(here, there), "b": _more(there, here)}
            )
    return found


def _more(mine: Set[Any], other: Set[Any]) -> str:
    return f"{plural(len(mine), 'file')}, {len(mine - other):,} of them not in the other"
