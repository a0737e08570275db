"""Strict YAML, second half: from a file to a model, or to one error with every fault in it.

Every fault is a line `file:line: path.to.key: what was found; what is allowed`. What a file may
contain at all is in `mixtures.yaml.events`; what its values may be is in the models.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mixtures.yaml.disk import read_text, shown
from mixtures.yaml.events import Fault, YamlTree, dotted, refuse, scan_yaml
from mixtures.yaml.fields import CROSS_FAULT, Location, describe

M = TypeVar("M", bound=BaseModel)


def parse_yaml(text: str, where: str) -> YamlTree:
    """Read a YAML mapping from text.

    Args:
        text: the whole file.
        where: the file's name for messages.

    Raises:
        RecipeError: `where:line: ...` for everything that is refused (see `mixtures.yaml.events`).
    """
    tree = scan_yaml(text, where)
    if tree.faults:
        refuse(where, tree.faults)
    return tree


def load_yaml(path: Path) -> YamlTree:
    """Read a YAML file.

    Raises:
        RecipeError: as `parse_yaml`; or the file cannot be read, is no regular file, or is not
            UTF-8.
    """
    return parse_yaml(read_text(path, shown(path)), shown(path))


def scan_file(path: Path) -> YamlTree:
    """As `load_yaml`, with what can be skipped over kept in `faults`."""
    return scan_yaml(read_text(path, shown(path)), shown(path))


def validate(model: type[M], tree: YamlTree) -> M:
    """Make a model of a tree.

    Raises:
        RecipeError: one line `file:line: path.to.key: what was found; what is allowed` for every
            fault.
    """
    record, faults = check(model, tree)
    if record is None or faults:
        refuse(tree.where, faults)
    return record


def check(model: type[M], tree: YamlTree) -> tuple[M | None, list[Fault]]:
    """Make a model of a tree if its contents allow it, and list all that is wrong: the reader's
    faults and the contents'.
    """
    skipped = {fault.path for fault in tree.faults}
    empty = [location for location in _empty(tree.value, ()) if dotted(location) not in skipped]
    faults = [*tree.faults, *(fault_at(tree, location, _EMPTY) for location in empty)]
    try:
        return model.model_validate(tree.value), faults
    except ValidationError as error:
        details: list[Any] = list(error.errors(include_url=False))
    for detail in details:
        location = _in_file(tree, detail["loc"], detail["type"] == "missing")
        # What was skipped or left empty is reported once, and not again for what its absence
        # breaks.
        follows = any(location == gap[:-1] for gap in empty) and detail["type"] == CROSS_FAULT
        if location not in empty and dotted(location) not in skipped and not follows:
            faults.append(fault_at(tree, location, _message(model, location, detail)))
    return None, faults


_EMPTY = "nothing is written here; give a value or remove the key"


def _empty(value: Any, location: Location) -> Iterable[Location]:
    if value is None:
        yield location
    for key, item in items_of(value):
        yield from _empty(item, (*location, key))


def items_of(value: Any) -> list[tuple[str | int, Any]]:
    """What a mapping or a list holds, by key or index; nothing of other values."""
    if isinstance(value, Mapping):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def fault_at(tree: YamlTree, location: Location, message: str) -> Fault:
    """Place a fault on the line of its value, or of the nearest mapping around it that the file
    has.
    """
    known = location
    while known not in tree.lines:
        known = known[:-1]
    return Fault(tree.lines[known], dotted(location), message)


def suggest(word: str, known: Iterable[str], what: str = "allowed") -> str:
    """List what is allowed, the closest match to `word` first."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}{what}: {', '.join(names) if names else 'none'}"


def _message(model: type[BaseModel], location: Location, detail: Mapping[str, Any]) -> str:
    """Say what was found and what is allowed, for one of pydantic's errors."""
    found, kind, text = describe(detail["input"]), detail["type"], str(detail["msg"])
    if kind == "missing":
        return "missing; this key is required"
    if kind == "extra_forbidden":
        return f"unknown key; {suggest(str(location[-1]), _keys_at(model, location[:-1]))}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == CROSS_FAULT:
        return text
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        keys = _keys_at(model, location)
        return f"found {found}; a mapping is needed" + (
            f" with the keys {', '.join(keys)}" if keys else ""
        )
    if kind in ("tuple_type", "list_type"):
        return f"found {found}; a list is needed, such as [a, b]"
    if kind == "too_short":
        return (
            f"found {found} of {detail['ctx']['actual_length']}; at least"
            f" {detail['ctx']['min_length']} needed"
        )
    if kind == "too_long":  # how many there are pydantic does not count
        most = detail["ctx"]["max_length"]
        return f"found {found} of more than {most}, which is the most allowed"
    if kind == "literal_error":
        return f"found {found}; allowed: {detail['ctx']['expected']}"
    return f"found {found}; {text[0].lower()}{text[1:]}"


def _in_file(tree: YamlTree, loc: Iterable[str | int], missing: bool) -> Location:
    """Keep of pydantic's location what the file knows, and the key that is missing; pydantic adds
    words such as `[key]`.
    """
    location: Location = ()
    parts = tuple(loc)
    for index, part in enumerate(parts):
        if (*location, part) in tree.lines or (missing and index == len(parts) - 1):
            location = (*location, part)
    return location


def _keys_at(annotation: Any, location: Location) -> list[str]:
    """Names of the keys that a mapping at this place may have, or none if any key is allowed."""
    for part in location:
        annotation = _inner(annotation, part)
    annotation = _plain(annotation)
    return list(_fields(annotation)) if _is_model(annotation) else []


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that a file gives them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _inner(annotation: Any, part: str | int) -> Any:
    annotation = _plain(annotation)
    if _is_model(annotation):
        field = _fields(annotation).get(str(part))
        return field.annotation if field else None
    arguments = get_args(annotation)
    if isinstance(part, int):
        return arguments[0] if arguments else None
    return arguments[1] if get_origin(annotation) is dict else None


def _plain(annotation: Any) -> Any:
    """Take off Annotated, and of a union all but its one record, or its one part beside None."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        if get_origin(annotation) not in (Union, UnionType):
            return annotation
        parts = [part for part in get_args(annotation) if part is not type(None)]
        records = [part for part in parts if _is_model(_plain(part))]
        if len(parts) != 1 and len(records) != 1:
            return annotation
        annotation = (records or parts)[0]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
