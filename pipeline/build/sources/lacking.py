"""What a build of a recipe lacks on this machine, all of it at once and before anything is read:
files of sources, packages of extras, and documents that `exclude` leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.yaml.disk import shown
from mixtures.yaml.events import Fault
from mixtures.yaml.tree import fault_at, load_yaml
from pipeline.inputs.listing import DataFolders
from pipeline.inputs.quality.steps import modules_of

CLASSIFIERS = {"fasttext": ("fasttext",), "sequence": ("torch", "transformers")}
"""Modules that a classifier of a kind needs; the linear one needs none."""


def refuse_lacking(recipe: LoadedRecipe, data: DataFolders, *, probed: bool = False) -> None:
    """Refuse what cannot be built here.

    Args:
        probed: the recipe is planned: sources without a folder need no quality steps yet, and
            filters may lack their classifiers.

    Raises:
        RecipeError: a line for each thing that is lacking.
    """
    everything = (*recipe.excluded, recipe)
    if lines := [line for one in everything for line in _misplaced(one, data)]:
        raise RecipeError("\n".join(lines))
    lines = [line for one in everything for line in _without_data(one, data)]
    lines += _without_packages(recipe, data, probed=probed)
    lines += [
        _line(
            recipe,
            name,
            f"exclude takes all of its keys ({', '.join(by)}), so no document is left; give it"
            " other keys, or exclude less",
        )
        for name, by in recipe.emptied(data.folder_of).items()
    ]
    if lines:
        raise RecipeError("\n".join(lines))


@contextmanager
def at_source(recipe: LoadedRecipe, name: str) -> Iterator[None]:
    """Say of faults of a source's files which source of the recipe it is, and where it stands."""
    try:
        yield
    except (InputError, RecipeError) as error:
        raise type(error)(_line(recipe, name, str(error))) from error


def _misplaced(recipe: LoadedRecipe, data: DataFolders) -> Iterator[str]:
    for name in recipe.recipe.sources:
        try:
            data.folder_of(recipe, name)
        except RecipeError as error:
            yield _line(recipe, name, f"data: {error}")


def _without_data(recipe: LoadedRecipe, data: DataFolders) -> Iterator[str]:
    for name in recipe.recipe.sources:
        definition = recipe.definitions[name]
        if definition.repo is None and data.folder_of(recipe, name) is None:
            yield _line(
                recipe,
                name,
                f"{definition.name!r} is published nowhere, and no folder has its files; name one,"
                f" --data {definition.name}=DIR, or data: in the recipe",
            )


def _without_packages(recipe: LoadedRecipe, data: DataFolders, *, probed: bool) -> Iterator[str]:
    for name, request in recipe.recipe.sources.items():
        if probed and data.folder_of(recipe, name) is None:
            continue
        for step in request.quality:
            if absent := _absent(modules_of(step)):
                yield _line(
                    recipe,
                    name,
                    f"the quality step {step.name} lacks {absent}: pip install"
                    " 'annealmix[quality]'",
                )
    for use in () if probed else recipe.filters:
        if use.bundle is None or (pin := use.definition.classifier) is None:
            continue
        if absent := _absent(CLASSIFIERS.get(pin.kind, ())):
            extra = "fasttext" if pin.kind == "fasttext" else "models"
            yield (
                f"{shown(recipe.file)}: filter {use.label} lacks {absent}: pip install"
                f" 'annealmix[{extra}]'"
            )


def _absent(modules: tuple[str, ...]) -> str:
    return " and ".join(module for module in modules if find_spec(module) is None)


def _line(recipe: LoadedRecipe, source: str, message: str) -> str:
    """As the faults of a recipe are told: with file and line. source: or an insert, or what an
    excluded recipe calls one.
    """
    key = "insert" if source in recipe.recipe.insert else "sources"
    if key == "sources" and source not in recipe.recipe.sources:
        return f"{source}: {message}"
    tree = load_yaml(recipe.file)
    fault: Fault = fault_at(tree, (key, source), message)
    return f"{tree.where}:{fault.line}: {fault.path}: {fault.message}"
