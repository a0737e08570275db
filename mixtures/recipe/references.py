"""What a recipe refers to: where the references of a file stand, and the files that they lead to.

A name leads to what is shipped, a path to a file below the recipe's folder, through links too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mixtures.errors import RecipeError
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.tokenizer.form import is_tokenizer
from mixtures.yaml.disk import is_below, is_file, json_heads, names_in
from mixtures.yaml.events import Fault, YamlTree
from mixtures.yaml.fields import Location
from mixtures.yaml.tree import fault_at, items_of, suggest

T = TypeVar("T")


class UnknownReferenceError(Exception):
    """A name or file that does not lead anywhere; the message says what is there."""


def shipped_file(folder: Path, kind: str, name: str) -> Path:
    names = names_in(folder)
    if name not in names:
        raise UnknownReferenceError(
            f"{name!r} is not a shipped {kind}; {suggest(name, names, 'shipped')}"
        )
    return folder / f"{name}.yaml"


def beside(folder: Path, reference: str) -> Path:
    """Resolve a path below a recipe's folder; links may not lead out of it, or a recipe could read
    any file.
    """
    file = folder / reference
    if not is_below(file, folder):
        raise UnknownReferenceError(
            f"{reference!r} leads out of the recipe's folder through a symbolic link; copy it"
            " there, or give plan, build and audit a source's data with --data NAME=DIR (data: NAME"
            " in the recipe)"
        )
    return file


def file_beside(folder: Path, reference: str) -> Path:
    file = beside(folder, reference)
    if not is_file(file):
        raise UnknownReferenceError(
            f"{reference!r} is no file; the path is read from the recipe's own folder"
        )
    return file


def tokenizer_beside(folder: Path, reference: str) -> Path:
    try:
        return file_beside(folder, reference)
    except UnknownReferenceError as unknown:
        near = (folder / reference).parent
        heads = json_heads(near) if is_below(near, folder) else {}
        found = [name for name, head in heads.items() if is_tokenizer(head)]
        if not found:
            raise
        raise UnknownReferenceError(f"{unknown}; tokenizers there: {', '.join(found)}") from None


class References:
    """The references of one file: followed even when other parts of the file are malformed."""

    def __init__(self, tree: YamlTree, faults: list[Fault]) -> None:
        self._tree = tree
        self._faults = faults
        self.broken: list[str] = []

    def wanted(self, pattern: Location, form: Any) -> list[tuple[Location, Any]]:
        """Find what is well-formed at a place, each as its form, a type of pydantic's, has it; `*`
        stands for every key or index.
        """
        adapter, found = TypeAdapter(form), []
        for at, value in self._places(pattern):
            with suppress(ValidationError):
                found.append((at, adapter.validate_python(value)))
        return found

    def _places(self, pattern: Location) -> list[tuple[Location, Any]]:
        places: list[tuple[Location, Any]] = [((), self._tree.value)]
        for part in pattern:
            places = [
                ((*at, key), item)
                for at, value in places
                for key, item in items_of(value)
                if part in ("*", key)
            ]
        return places

    def follow(self, location: Location, load: Callable[[], T]) -> T | None:
        """Load what is referred to; what is wrong with it joins the faults."""
        try:
            return load()
        except UnknownReferenceError as unknown:
            self._faults.append(fault_at(self._tree, location, str(unknown)))
        except RecipeError as error:
            self.broken += str(error).splitlines()
        return None


def name_clashes(
    tree: YamlTree, definitions: Mapping[str, SourceDefinition], faults: list[Fault]
) -> None:
    """Definitions are told apart by their names, in the store and in the data folder: different
    ones may not share a name.
    """
    first: dict[str, str] = {}
    places: dict[str, Location] = {
        str(name): (key, name, "use")
        if isinstance(item, Mapping) and "use" in item
        else (key, name)
        for key in ("sources", "insert")
        for name, item in items_of(tree.value.get(key))
    }
    for source, definition in definitions.items():
        other = first.setdefault(definition.name, source)
        if _at(tree.value, places[other]) != _at(tree.value, places[source]):
            message = (
                f"defines {definition.name!r}, as the one that {other} uses; give one of them"
                " another name, or use the same"
            )
            faults.append(fault_at(tree, places[source], message))


def _at(value: Any, location: Location) -> Any:
    for part in location:
        value = value[part]
    return value


def same_names(tree: YamlTree, location: Location, names: list[str], faults: list[Fault]) -> None:
    """Removals are told apart by the names of filters and evaluation sets."""
    for index, name in enumerate(names):
        if name in names[:index]:
            faults.append(
                fault_at(
                    tree,
                    location,
                    f"{name!r} is listed twice; keep one of them, or give one another name",
                )
            )
