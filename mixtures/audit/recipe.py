"""The recipe that a manifest holds, read again, and what of the manifest it must agree with: its
sources, the files that they read, and the keys that were excluded.

A commit decides which files are read, but not what they say: that is in the hashes of the inputs.
So a commit that was edited is seen only where the definition pins one; of others
`audit --store` knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mixtures.errors import ManifestError
from mixtures.keys import KeyRange
from mixtures.mix.claims import Claims
from mixtures.recipe.model import Recipe
from mixtures.recipe.near_request import read_near
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.source_request import SourceRequest

_ASKED = ("tokens", "weight", "all", "reserve", "corpus", "keys", "shortfall", "quality")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_recipe(claims: Claims) -> Recipe:
    """The recipe of a manifest, whose canonical form names definitions where a recipe file refers
    to them.

    Raises:
        ValueError, KeyError, TypeError: it is no canonical recipe (a ValidationError is a
            ValueError).
    """
    canonical = claims.recipe
    sources = {
        item["name"]: {
            "use": item["definition"]["name"],
            **{key: item[key] for key in _ASKED if key in item},
        }
        for item in canonical["sources"]
    }
    if len(sources) != len(canonical["sources"]):
        raise ValueError("a source is listed twice")
    request = {
        "name": canonical["name"],
        "tokenizer": canonical["tokenizer"]["name"],
        "special_tokens": canonical["special_tokens"],
        "sources": sources,
    }
    request |= {
        key: canonical[key]
        for key in ("budget", "max_quarantined", "removed", "copies")
        if key in canonical
    }
    request["filters"] = [_filter_request(item) for item in canonical.get("filters", [])]
    request["insert"] = {
        item["name"]: {
            "use": item["definition"]["name"],
            "times": item["times"],
            "on_top": item["on_top"],
            **({"whole": item["whole"]} if "whole" in item else {}),
        }
        for item in canonical.get("insert", [])
    }
    if (near := canonical.get("near")) is not None:
        request["near"] = read_near(near).model_dump(exclude_none=True, mode="json")
        request["exclude"] = ["any"] if canonical["exclude"] else []
    return Recipe.model_validate(request)


def require_recipe(claims: Claims, where: str) -> None:
    """Refuse a manifest whose recipe cannot say how its sources are read. What else is wrong with a
    recipe, `mixtures.audit.quotas` says.

    Raises:
        ManifestError: it was not written by annealmix.
    """
    canonical = claims.recipe
    try:
        read_recipe(claims)
        asked = {
            item["name"]: item["definition"]["name"]
            for item in [*canonical["sources"], *canonical.get("insert", [])]
        }
        for item in [*canonical["sources"], *canonical["exclude"], *canonical.get("insert", [])]:
            read_definition(item["definition"])
        if sets := canonical.get("decontaminate", {}):
            [(item["name"], item["identity"]) for item in sets["sets"]]
        faults = [*_unlike(claims, asked), *excluded_faults(claims)]
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        faults = [fault_of(error)]
    if faults:
        raise ManifestError(
            f"{where}: the recipe cannot be read: {faults[0]}; it was not written by annealmix, or"
            " edited"
        )


def read_definition(canonical: Mapping[str, Any]) -> SourceDefinition:
    """A source definition of a canonical recipe: what decided its texts.

    Raises:
        ValueError, AttributeError: it is none (a ValidationError is a ValueError).
    """
    fields = {name: value for name, value in canonical.items() if value not in ([], {})}
    return SourceDefinition.model_validate({**fields, "licence": "as published"})


def _unlike(claims: Claims, asked: Mapping[str, str]) -> list[str]:
    """Sources and inputs of a manifest that are not those of its recipe."""
    strange = [item for item in claims.sources if asked.get(item.name) != item.definition]
    faults = [f"it has no source {item.name} that reads {item.definition}" for item in strange]
    lacking = asked.keys() - {item.name for item in claims.sources if not item.copy_number}
    faults += [f"its source {name} is not in the mix" for name in sorted(lacking)]
    unread = set(asked.values()) - claims.inputs.keys()
    return faults + [f"no files of {name} are listed" for name in sorted(unread)]


def _filter_request(item: Mapping[str, str]) -> dict[str, object]:
    """A canonical filter names its label, which need be no name that a recipe could use."""
    if item.get("placebo") != "true":
        return {"use": "any", "fraction": item["fraction"]}
    return {
        "placebo_of": "any",
        "fraction": item["fraction"],
        "tolerance": item["tolerance"],
        "partners": item.get("partners", "").split(),
    }


def excluded_faults(claims: Claims) -> list[str]:
    """The key ranges that were excluded are those of the recipe."""
    try:
        listed = {
            (item["definition"]["name"], *_key_range(item["keys"]))
            for item in claims.recipe["exclude"]
        }
    except (ValueError, KeyError, TypeError) as error:
        return [f"the recipe's exclude cannot be read: {fault_of(error)}"]
    taken = {(item.definition, *item.key_range) for item in claims.excluded}
    return [
        f"{name} [{low:x}, {high:x}) is excluded by one of recipe and manifest alone"
        for name, low, high in sorted(listed ^ taken)
    ]


def _key_range(keys: object) -> KeyRange:
    return SourceRequest.model_validate({"use": "any", "all": "true", "keys": keys}).key_range


def origin_faults(claims: Claims) -> list[str]:
    """Faults of `inputs` and `revisions`.

    Raises:
        KeyError, TypeError, AttributeError: the recipe cannot be read.
    """
    recipe = claims.recipe
    asked = [*recipe["sources"], *recipe["exclude"], *recipe.get("insert", [])]
    definitions: dict[str, Mapping[str, Any]] = {
        item["definition"]["name"]: item["definition"] for item in asked
    }
    faults = []
    if strange := sorted(set(claims.inputs) ^ set(definitions)):
        faults.append(f"inputs and definitions differ in {', '.join(strange)}")
    for name, origin in claims.revisions.items():
        definition = definitions.get(name, {})
        repo, _, commit = origin.rpartition("@")
        pinned = str(definition.get("revision"))
        if repo != definition.get("repo") or not _COMMIT.fullmatch(commit):
            faults.append(
                f"revisions: {name} was read at {origin!r}, its definition names"
                f" {definition.get('repo')}@{pinned}"
            )
        elif _COMMIT.fullmatch(pinned) and commit != pinned:
            faults.append(f"revisions: {name} was read at {commit}, its definition pins {pinned}")
    return faults


def fault_of(error: Exception) -> str:
    """Why a recipe cannot be read, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}"
