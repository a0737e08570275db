"""Reading a study: all faults of it at once, with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.keys import key_bound
from mixtures.recipe.filter_use import FilterField, FilterUse
from mixtures.recipe.load import FetchTokenizer, filter_of, load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.references import References, file_beside
from mixtures.rules.levels import LEVELS
from mixtures.stream.arms.study import Filling, LoadedStudy, Study, imitated, names_file, undosed
from mixtures.yaml.disk import sha256_of
from mixtures.yaml.events import refuse
from mixtures.yaml.fields import Location, Reference, is_file_reference, plain_decimal
from mixtures.yaml.tree import check, fault_at, scan_file, suggest


def is_study(file: Path) -> bool:
    """Whether a YAML file is meant as a study: it has arms. False where it cannot be read."""
    try:
        return "arms" in scan_file(file).value
    except RecipeError:
        return False


def load_study(
    file: Path, filters: Path | None = None, fetch: FetchTokenizer | None = None
) -> LoadedStudy:
    """Read a study and its base. filters, fetch: as `load_recipe`.

    Raises:
        RecipeError: every fault of it, with file and line. Else as `load_recipe`.
    """
    tree = scan_file(file)
    study, faults = check(Study, tree)
    references = References(tree, faults)
    bases = [
        references.follow(location, partial(_base, file.parent, base, filters, fetch))
        for location, base in references.wanted(("base",), Reference)
    ]
    used = {
        str(location[1]): references.follow(
            location, partial(filter_of, file, location, request, filters)
        )
        for location, request in references.wanted(("arms", "*", "remove"), FilterField)
    }
    base = next((one for one in bases if one), None)
    found = {name: use for name, use in used.items() if use}
    wrong = [*_same_label(found), *_approved_by_none(study, found)]
    if study is not None and base is not None:
        wrong = [*_base_faults(study, base), *wrong]
    faults += [fault_at(tree, location, message) for location, message in wrong]
    rewrites = {
        name: references.follow(location, partial(_rewrites, file.parent, name))
        for location, name in references.wanted(("arms", "*", "fill"), Filling)
        if names_file(name)
    }
    if study is None or base is None or faults or references.broken:
        refuse(tree.where, faults, references.broken)
    filters_of = {name: found[name] for name in study.arms}
    hashes = {name: sha256 for name, sha256 in rewrites.items() if sha256}
    return LoadedStudy(study, base, filters_of, file, rewrites=hashes)


def _rewrites(folder: Path, name: str) -> str:
    """sha256 of a file's content."""
    return sha256_of(file_beside(folder, name))


def _base(
    folder: Path, base: str, filters: Path | None, fetch: FetchTokenizer | None
) -> LoadedRecipe:
    name = str(file_beside(folder, base)) if is_file_reference(base) else base
    return load_recipe(name, filters, fetch)


def _base_faults(study: Study, base: LoadedRecipe) -> Iterable[tuple[Location, str]]:
    """What of a study its base does not allow."""
    recipe = base.recipe
    if recipe.filters:
        yield (
            ("base",),
            f"{recipe.name} has filters; name the unfiltered recipe, and let arms remove",
        )
    if recipe.decontaminate and recipe.decontaminate.action == "report":
        yield (
            ("base",),
            f"{recipe.name} reports what evaluation sets find, and nothing is reported of donors;"
            " take one that drops it",
        )
    for name, one in study.donors.items():
        here: Location = ("donors", name)
        if name not in recipe.sources:
            yield here, f"{recipe.name} has no such source; {suggest(name, recipe.sources)}"
            continue
        if one.source is not None and one.source not in recipe.sources:
            what = suggest(one.source, recipe.sources)
            yield (*here, "source"), f"{recipe.name} has no source {one.source!r}; {what}"
        elif one.source == name:
            yield (*here, "source"), "is the source itself, which is so anyway; leave it out"
        elif one.source is not None:
            giver = study.donors.get(one.source)
            if giver is not None and giver.source is not None:
                yield (
                    (*here, "source"),
                    f"{one.source} has its own donors from {giver.source}; name that",
                )
        keys = recipe.sources[name].key_range
        if one.below is not None and key_bound(one.below) <= keys.low:
            yield (*here, "below"), f"{name} has no keys below {plain_decimal(one.below)}"


def _approved_by_none(
    study: Study | None, uses: Mapping[str, FilterUse]
) -> Iterable[tuple[Location, str]]:
    """Arms that are to be filled with what a classifier kept, and whose filter has none."""
    for name, arm in study.arms.items() if study else ():
        use = uses.get(name)
        if arm.fill == "approved" and use and use.bundle and not use.definition.classifier:
            levels = [level for level in LEVELS if level in use.bundle.definition.levels]
            instead = (
                f"take level {' or '.join(levels)}"
                if levels and use.bundle.definition.classifier
                else "take a filter with a classifier"
            )
            yield (
                ("arms", name, "fill"),
                f"is of documents that a list escalates and a classifier keeps, and {use.label}"
                f" removes all that its list escalates; {instead}, or fill: fresh",
            )


def _same_label(uses: Mapping[str, FilterUse]) -> Iterable[tuple[Location, str]]:
    """Arms whose filters have one name and are not the same."""
    known: dict[str, tuple[str, FilterUse]] = {}
    for arm, use in uses.items():
        for one in (undosed(use), imitated(use)):
            first, other = known.setdefault(one.label, (arm, one))
            if other.canonical() != one.canonical():
                yield (
                    ("arms", arm, "remove"),
                    f"is called {one.label!r}, as that of {first}, and is another; give one of them"
                    " another name",
                )
