"""What differs in what two mixes were asked to be: recipe, size, tokenizer, layout, budgets by
source, inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product

from mixtures.mix.claim import InputClaim
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
    """Each setting that differs, by name; then the definitions of which other files are read,
    and files that are read under other names.
    """
    a, b = _settings(one, two), _settings(two, one)
    return [
        Setting(name, a.get(name), b.get(name))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ] + _differing_inputs(one, two)


def _settings(claims: Claims, other: Claims) -> dict[str, object]:
    budgets = {source.label: source.model_dump(include=BUDGET) for source in claims.sources}
    whole = claims.as_json()
    recipe = whole["recipe"]
    if "study" in recipe and "study" not in other.recipe:
        # of a mix that is no arm nothing in it is another setting: its base, most of all
        recipe = {**recipe, "study": recipe["study"]["name"]}
    return _flat({**{key: whole[key] for key in WHOLE}, "recipe": recipe, "sources": budgets})


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
    """Of each definition that does not read the same files: how many it reads, and how many of
    them, by their content, the other mix reads nowhere. Then the files that both mixes read under
    other names: a definition that was renamed or split.
    """
    everywhere = [
        {file.sha256 for files in claims.inputs.values() for file in files} for claims in (one, two)
    ]
    differing = []
    for name in sorted(one.inputs.keys() | two.inputs.keys()):
        here, there = (claims.inputs.get(name, []) for claims in (one, two))
        if sorted((file.path, file.sha256) for file in here) != sorted(
            (file.path, file.sha256) for file in there
        ):
            differing.append(
                Setting(f"inputs.{name}", _more(here, everywhere[1]), _more(there, everywhere[0]))
            )
    return differing + _renamed(one, two)


def _renamed(one: Claims, two: Claims) -> list[Setting]:
    """Files of one content that the mixes read in definitions of other names, by pair of them;
    without those that one of the mixes reads under both names.
    """
    found = []
    for here, there in product(sorted(one.inputs.items()), sorted(two.inputs.items())):
        sides = [{file.sha256 for file in files} for _, files in (here, there)]
        both_names = [
            {file.sha256 for file in claims.inputs.get(name, [])}
            for claims, name in ((two, here[0]), (one, there[0]))
        ]
        shared = len((sides[0] & sides[1]).difference(*both_names))
        if shared:
            both = [
                f"{name}: {shared:,} of {plural(len(side), 'file')}"
                for (name, _), side in zip((here, there), sides, strict=True)
            ]
            found.append(Setting("inputs under another name", *both))
    return found


def _more(files: Sequence[InputClaim], other: Set[str]) -> str:
    lacking = sum(file.sha256 not in other for file in files)
    return f"{plural(len(files), 'file')}, {lacking:,} of them not in the other"
