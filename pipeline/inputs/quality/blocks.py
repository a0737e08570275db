"""The quality step block: a filter or formatter of an installed package, as datatrove has them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from mixtures.errors import ManifestError, RecipeError
from mixtures.recipe.quality.arguments import BlockQuality
from mixtures.recipe.quality.blocks import GROUP, installed_block
from mixtures.yaml.tree import suggest
from pipeline.inputs.quality.rule import StepRule, filter_rule


def block_rule(arguments: BlockQuality) -> StepRule:
    """The rule of the step block.

    Raises:
        RecipeError: it is not installed, takes other arguments, or is no block.
        ManifestError: its code is another than the one that the recipe was loaded with.
    """
    found, name = installed_block(arguments.use), arguments.use
    pinned = (arguments.distribution, arguments.version, arguments.sha256)
    if pinned != (found.distribution, found.version, found.sha256):
        raise ManifestError(
            f"{name} is of {found.distribution} {found.version}, sources {found.sha256}; the recipe"
            f" was read with {' '.join(str(part) for part in pinned)}; install that again"
        )
    make = found.entry.load()
    # not by datatrove's classes, which need packages that a block may not: by what they can do
    kinds = [kind for kind in ("filter", "format") if inspect.isclass(make) and hasattr(make, kind)]
    if len(kinds) != 1:
        raise RecipeError(
            f"{name}: the entry point of {GROUP} is no class with the method of datatrove's"
            " BaseFilter (filter) or BaseFormatter (format)"
        )
    block = make(**_typed(name, make, arguments.arguments))
    return filter_rule(block) if kinds == ["filter"] else lambda text, row: str(block.format(text))


def _typed(name: str, make: Any, given: Mapping[str, Any]) -> dict[str, object]:
    """Arguments as the block's own annotations say; those without one are text."""
    hints = get_type_hints(make.__init__)
    fields: dict[str, tuple[Any, Any]] = {
        parameter.name: (
            hints.get(parameter.name, str),
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(make).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for unknown in given.keys() - fields.keys():
        raise RecipeError(f"{name} has no argument {unknown!r}; {suggest(unknown, fields)}")
    config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    asked: Any = {key: field for key, field in fields.items() if key in given or field[1] is ...}
    model = create_model("Arguments", __config__=config, **asked)
    try:
        record = model.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise RecipeError(f"{name}: argument {where}: {fault['msg']}") from None
    return {key: getattr(record, key) for key in given}
