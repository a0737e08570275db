"""The JSON schema that `annealmix schema recipe` prints accepts what the shipped recipes say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mixtures.recipe.load import list_recipes
from mixtures.recipe.model import Recipe
from mixtures.yaml.disk import SHIPPED
from mixtures.yaml.tree import load_yaml

SCHEMA = Recipe.model_json_schema()


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value fits a schema, for the keywords that ours uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    if "anyOf" in schema:
        return any(fits(value, option) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return bool(value in schema.get("enum", [schema.get("const")]))
    kind = schema["type"]
    if kind == "object":
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        return isinstance(value, dict) and all(
            (
                fits(item, known[name])
                if name in known
                else extra is not False and (extra is True or fits(item, extra))
            )
            for name, item in value.items()
        )
    if kind == "array":
        return isinstance(value, list) and all(
            fits(item, schema.get("items", {"type": "string"})) for item in value
        )
    if kind == "boolean":
        return bool(value == "true")
    return (
        kind == "string"
        and isinstance(value, str)
        and re.search(schema.get("pattern", ""), value) is not None
    )


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_fits_the_schema(name):
    assert fits(load_yaml(SHIPPED / f"{name}.yaml").value, SCHEMA)


def test_an_unknown_key_does_not_fit_the_schema():
    assert not fits({"name": "x", "tokenizer": "y", "sources": {}, "colour": "red"}, SCHEMA)
