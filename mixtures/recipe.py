"""Reading recipes and definitions, shipped ones by name and others by file, with everything that they refer to.

A recipe refers to source definitions, a tokenizer definition and recipes that it excludes. A reference that ends in .yaml is a
path relative to the recipe's folder and must stay below it, through symbolic links too. All faults of a recipe and of the files
that it refers to are reported in one RecipeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

import recipes
from mixtures.errors import RecipeError
from mixtures.fields import LocalPath, Location, Name, Reference, is_file_reference
from mixtures.loaded_recipe import LoadedRecipe
from mixtures.recipe_model import Budget, Published, PublishedFigures, Recipe, Shortfall, SourceRequest
from mixtures.source import SourceDefinition
from mixtures.tokenizer import TokenizerDefinition
from mixtures.yaml_tree import Fault, YamlTree, check, fault_at, load_yaml, read_text, refuse, scan_yaml, suggest, validate

__all__ = [
    "Budget",
    "LoadedRecipe",
    "Published",
    "PublishedFigures",
    "Recipe",
    "Shortfall",
    "SourceRequest",
    "list_recipes",
    "list_source_definitions",
    "list_tokenizer_definitions",
    "load_recipe",
    "load_source_definition",
    "load_tokenizer_definition",
]

SHIPPED = Path(recipes.__file__).parent

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    return _names(SHIPPED)


def list_source_definitions() -> list[str]:
    """Names of the shipped source definitions."""
    return _names(SHIPPED / "sources")


def list_tokenizer_definitions() -> list[str]:
    """Names of the shipped tokenizer definitions."""
    return _names(SHIPPED / "tokenizers")


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


def load_recipe(name_or_file: str) -> LoadedRecipe:
    """Read a recipe by the name of a shipped one, or by file (anything with a `/` or ending in .yaml or .yml).

    Raises:
        RecipeError: every fault of the recipe and of the files it refers to, each with file and line.
    """
    if "/" in name_or_file or name_or_file.endswith((".yaml", ".yml")):
        return _Reading().recipe(Path(name_or_file))
    try:
        return _Reading().recipe(_shipped_file(SHIPPED, "recipe", name_or_file))
    except _UnknownReferenceError as unknown:
        raise RecipeError(f"{unknown}; `annealmix plan` lists them; a file is given with its ending, such as {name_or_file}.yaml") from None


def load_source_definition(name: str) -> SourceDefinition:
    """Read a shipped source definition.

    Raises:
        RecipeError: there is none of that name, or it is malformed.
    """
    return _load_shipped(SourceDefinition, "sources", "source definition", name)


def load_tokenizer_definition(name: str) -> TokenizerDefinition:
    """Read a shipped tokenizer definition.

    Raises:
        RecipeError: there is none of that name, or it is malformed.
    """
    return _load_shipped(TokenizerDefinition, "tokenizers", "tokenizer", name)


class _UnknownReferenceError(Exception):
    """A name or file that does not lead anywhere; the message says what is there."""


def _load_shipped(model: type[M], folder: str, kind: str, name: str) -> M:
    try:
        return _load_definition(model, _shipped_file(SHIPPED / folder, kind, name))
    except _UnknownReferenceError as unknown:
        raise RecipeError(str(unknown)) from None


def _load_definition(model: type[M], file: Path) -> M:
    return validate(model, load_yaml(file, shown(file)))


def _shipped_file(folder: Path, kind: str, name: str) -> Path:
    names = _names(folder)
    if name not in names:
        raise _UnknownReferenceError(f"{name!r} is not a shipped {kind}; {suggest(name, names, 'shipped')}")
    return folder / f"{name}.yaml"


def shown(file: Path) -> str:
    """Name a file for messages: shipped ones by their place in the project, others as they were given."""
    return f"recipes/{file.relative_to(SHIPPED).as_posix()}" if file.is_relative_to(SHIPPED) else str(file)


def _beside(folder: Path, reference: str) -> Path:
    """Resolve a path below a recipe's folder; links may not lead out of it, or a recipe could read any file."""
    file = folder / reference
    try:
        inside = file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        inside = False
    if not inside:
        raise _UnknownReferenceError(f"{reference!r} leads out of the recipe's folder through a symbolic link; copy it there")
    return file


def _file_beside(folder: Path, reference: str) -> Path:
    file = _beside(folder, reference)
    if not file.is_file():
        raise _UnknownReferenceError(f"{reference!r} is no file; the path is read from the recipe's own folder")
    return file


class _Reading:
    """One `load_recipe`: reads each file once, and knows which recipes are being read, so that a circle is noticed."""

    def __init__(self) -> None:
        self._open: list[Path] = []
        self._done: dict[Path, LoadedRecipe] = {}

    def recipe(self, file: Path) -> LoadedRecipe:
        place = file.resolve()
        if place in self._open:
            circle = " -> ".join(path.stem for path in [*self._open[self._open.index(place) :], place])
            raise _UnknownReferenceError(f"recipes exclude each other in a circle: {circle}; remove one of them")
        if place not in self._done:
            self._open.append(place)
            self._done[place] = self._read(file)
            self._open.pop()
        return self._done[place]

    def _read(self, file: Path) -> LoadedRecipe:
        tree = scan_yaml(read_text(file, shown(file)), shown(file))
        recipe, faults = check(Recipe, tree)
        references = _References(tree, faults)
        folder = file.parent
        definitions: dict[str, SourceDefinition] = {}
        for location, use in references.wanted(("sources", "*", "use"), Reference):
            if definition := references.follow(location, partial(self._definition, folder, use)):
                definitions[str(location[1])] = definition
        _name_clashes(tree, definitions, faults)
        excluded = [
            references.follow(location, partial(self._excluded, folder, reference))
            for location, reference in references.wanted(("exclude", "*"), Reference)
        ]
        tokenizers = [
            references.follow(location, partial(self._tokenizer, name)) for location, name in references.wanted(("tokenizer",), Name)
        ]
        for location, data in references.wanted(("data",), LocalPath):
            references.follow(location, partial(_beside, folder, data))
        if recipe is None or faults or references.broken:
            refuse(tree.where, faults, references.broken)
        return LoadedRecipe(recipe, definitions, tuple(one for one in excluded if one), next(one for one in tokenizers if one), file)

    def _definition(self, folder: Path, use: str) -> SourceDefinition:
        if is_file_reference(use):
            return _load_definition(SourceDefinition, _file_beside(folder, use))
        return _load_definition(SourceDefinition, _shipped_file(SHIPPED / "sources", "source definition", use))

    def _tokenizer(self, name: str) -> TokenizerDefinition:
        return _load_definition(TokenizerDefinition, _shipped_file(SHIPPED / "tokenizers", "tokenizer", name))

    def _excluded(self, folder: Path, reference: str) -> LoadedRecipe:
        return self.recipe(_file_beside(folder, reference) if is_file_reference(reference) else _shipped_file(SHIPPED, "recipe", reference))


class _References:
    """The references of one file: followed even when other parts of the file are malformed."""

    def __init__(self, tree: YamlTree, faults: list[Fault]) -> None:
        self._tree = tree
        self._faults = faults
        self.broken: list[str] = []

    def wanted(self, pattern: Location, form: Any) -> list[tuple[Location, str]]:
        """Find the well-formed values at a place; `*` stands for every key or index."""
        places: list[tuple[Location, Any]] = [((), self._tree.value)]
        for part in pattern:
            places = [((*at, key), item) for at, value in places for key, item in _items(value) if part in ("*", key)]
        return [(at, value) for at, value in places if isinstance(value, str) and _fits(form, value)]

    def follow(self, location: Location, load: Callable[[], T]) -> T | None:
        """Load what is referred to; what is wrong with it joins the faults."""
        try:
            return load()
        except _UnknownReferenceError as unknown:
            self._faults.append(fault_at(self._tree, location, str(unknown)))
        except RecipeError as error:
            self.broken += str(error).splitlines()
        return None


def _items(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _fits(form: Any, value: str) -> bool:
    try:
        TypeAdapter(form).validate_python(value)
    except ValidationError:
        return False
    return True


def _name_clashes(tree: YamlTree, definitions: Mapping[str, SourceDefinition], faults: list[Fault]) -> None:
    """Definitions are told apart by their names, in the store and in the data folder: different ones may not share a name."""
    first: dict[str, str] = {}
    for source, definition in definitions.items():
        other = first.setdefault(definition.name, source)
        if tree.value["sources"][other]["use"] != tree.value["sources"][source]["use"]:
            message = f"defines {definition.name!r}, as the one that {other} uses; give one of them another name, or use the same"
            faults.append(fault_at(tree, ("sources", source, "use"), message))
