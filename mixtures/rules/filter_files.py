"""Filters as files: found by name, read, their lists hashed; and the terms of a list."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.rules.filter_definition import BlocklistPin, FilterDefinition
from mixtures.rules.terms import TermList, content_hash, parse_blocklist
from mixtures.yaml.disk import SHIPPED, is_file, is_folder, names_in, read_bytes, shown
from mixtures.yaml.tree import load_yaml, suggest, validate


@dataclass(frozen=True)
class FilterBundle:
    """A definition and the folder in which the files that it names lie. where: names it in
    messages.
    """

    definition: FilterDefinition
    folder: Path
    where: str


def list_filters() -> list[str]:
    """Names of the shipped filters."""
    return names_in(SHIPPED / "filters")


def load_filter(name_or_file: str, brought: Path | None = None) -> FilterBundle:
    """Read a filter by the name of a shipped one, or by file (anything with a `/` or ending in
    .yaml or .yml).

    Args:
        brought: folder of the user's filters, which go before shipped ones of that name.

    Raises:
        RecipeError: there is none, or it is malformed: every fault with file and line; `brought` is
            no folder.
    """
    if brought is not None:
        refuse_no_folder(brought)
    if "/" in name_or_file or name_or_file.endswith((".yaml", ".yml")):
        return read_filter(Path(name_or_file))
    if file := find_filter(name_or_file, brought):
        return read_filter(file)
    raise RecipeError(unknown_filter(name_or_file, brought))


def find_filter(name: str, brought: Path | None) -> Path | None:
    """The file of a filter by its name, the user's before a shipped one; None if there is none.
    brought: as of `load_filter`.

    Raises:
        RecipeError: the user's folder holds two.
    """
    if brought is not None and (found := _brought_filter(brought, name)):
        return found
    return SHIPPED / "filters" / f"{name}.yaml" if name in list_filters() else None


def unknown_filter(name: str, brought: Path | None) -> str:
    """Why a name is no filter, for people. brought: folder of the user's filters, if any."""
    shipped = suggest(name, list_filters(), "shipped")
    bring = (
        f"{brought} has neither {name}.yaml nor {name}/filter.yaml"
        if brought is not None
        else f"plan, build, lock and filter check find {name}/filter.yaml in DIR with --filters DIR"
    )
    return (
        f"{name!r} is not a shipped filter; {shipped}; {bring}; a file is given with its ending,"
        f" such as {name}.yaml"
    )


def refuse_no_folder(brought: Path) -> None:
    """A folder of filters must be there, else a shipped filter of the same name would judge.

    Raises:
        RecipeError: it is not.
    """
    if not is_folder(brought):
        raise RecipeError(
            f"--filters {brought}: no such folder; name the one that holds your filters"
        )


def _brought_filter(folder: Path, name: str) -> Path | None:
    """The file of a filter in a folder of the user's: NAME.yaml or NAME/filter.yaml.

    Raises:
        RecipeError: it holds both.
    """
    files = (folder / f"{name}.yaml", folder / name / "filter.yaml")
    found = [file for file in files if is_file(file)]
    if len(found) > 1:
        raise RecipeError(
            f"{folder}: holds {name}.yaml and {name}/filter.yaml, and one is meant; remove the"
            " other"
        )
    return found[0] if found else None


def read_filter(file: Path) -> FilterBundle:
    """Read a filter's file, and hash its list if it states no hash.

    Raises:
        RecipeError: it is missing or malformed: every fault with file and line.
    """
    return hashed_filter(validate(FilterDefinition, load_yaml(file)), file.parent, shown(file))


def hashed_filter(definition: FilterDefinition, folder: Path, where: str) -> FilterBundle:
    """A definition, with the hash of its list if it does not state it.

    Args:
        folder: of its files. where: names the definition in messages.

    Raises:
        RecipeError: the list cannot be read.
    """
    pin = definition.blocklist
    if not pin.sha256:
        try:
            sha256 = content_hash(pin.content(folder))
        except OSError as error:
            raise _not_readable(where, pin.place(folder), error) from None
        pin = pin.model_copy(update={"sha256": sha256})
    return FilterBundle(definition.model_copy(update={"blocklist": pin}), folder, where)


def filter_of_terms(name: str, pin: BlocklistPin, folder: Path, where: str) -> FilterBundle:
    """The filter that a list alone makes. Its golden decisions are of the list itself: a text of
    all its terms, and one of none.

    Raises:
        RecipeError: the list cannot be read, or is none.
    """
    try:
        terms = parse_blocklist(pin.content(folder), f"{where}: {pin.place(folder)}", pin.mode)
    except OSError as error:
        raise _not_readable(where, pin.place(folder), error) from None
    golden = [{"text": "\n".join(terms), "flagged": True}, {"text": "", "flagged": False}]
    fields = {"name": name, "blocklist": pin, "golden": golden}
    return hashed_filter(FilterDefinition.model_validate(fields), folder, where)


def _not_readable(where: str, path: object, error: OSError) -> RecipeError:
    return RecipeError(f"{where}: {path} cannot be read ({error.strerror}); put the file there")


def sha256_of(path: Path, where: str) -> str:
    """Hash of a file that a definition names without one. where: names the definition.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        raise _not_readable(where, path, error) from None


def load_terms(pin: BlocklistPin, folder: Path) -> tuple[str, ...]:
    """The terms of the pinned list, read from the filter's folder.

    Raises:
        InputError: the file is missing or unreadable.
        ManifestError: its bytes are not the pinned ones.
        RecipeError: it is no blocklist, or holds fewer terms than the threshold asks.
    """
    path = pin.place(folder)
    try:
        content = pin.content(folder)
    except OSError as error:
        raise InputError(
            f"{path}: the blocklist cannot be read ({error.strerror}); restore the file that the"
            " filter names"
        ) from None
    actual = content_hash(content)
    if actual != pin.sha256:
        raise ManifestError(
            f"{path}: has sha256 {actual}, the filter pins {pin.sha256}: another list; restore it,"
            " or pin a new filter"
        )
    terms = parse_blocklist(content, path, pin.mode)
    count = len(TermList(terms, pin.mode).needles)
    if count < pin.threshold:
        raise RecipeError(
            f"{path}: holds {count:,} distinct terms, the filter escalates from {pin.threshold:,}"
            " on, so it could flag nothing; lower blocklist.threshold"
        )
    return terms
