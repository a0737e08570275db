"""Reading recipes and definitions, shipped ones by name and others by file, with everything that
they refer to.

A recipe refers to source definitions, a tokenizer definition and recipes that it excludes. A
reference that ends in .yaml is a path relative to the recipe's folder and must stay below it,
through symbolic links too. All faults of a recipe and of the files that it refers to are reported
in one RecipeError.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from mixtures.errors import ManifestError, RecipeError
from mixtures.recipe.decontaminate import EvaluationSetField
from mixtures.recipe.filter_use import NOT_PUBLISHED, FilterField, FilterRequest, FilterUse
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.model import Recipe
from mixtures.recipe.references import (
    References,
    UnknownReferenceError,
    beside,
    file_beside,
    name_clashes,
    same_names,
    shipped_file,
    tokenizer_beside,
)
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.source_request import HUB_URL, SourceRequest, is_url, split_glob
from mixtures.recipe.tokenizer.definition import ShippedTokenizer, TokenizerDefinition
from mixtures.recipe.tokenizer.request import TokenizerField, TokenizerRequest, define
from mixtures.rules.benchmark import Benchmark, LoadedBenchmark, hashed_benchmark, load_benchmark
from mixtures.rules.filter_files import (
    FilterBundle,
    filter_of_terms,
    find_filter,
    read_filter,
    refuse_no_folder,
    unknown_filter,
)
from mixtures.rules.lock import Lock, read_lock, require_locked
from mixtures.yaml.disk import (
    SHIPPED,
    is_file,
    is_folder,
    literal_glob,
    names_in,
    read_bytes,
    shown,
    without_links,
)
from mixtures.yaml.events import dotted, refuse
from mixtures.yaml.fields import LocalPath, Location, Reference, is_file_reference
from mixtures.yaml.tree import check, load_yaml, scan_file, validate

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class FetchedTokenizer(NamedTuple):
    """A tokenizer.json of the hub."""

    path: Path
    commit: str


FetchTokenizer = Callable[[TokenizerRequest], FetchedTokenizer]
"""Brings the tokenizer.json of a request that names a repository."""


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    return names_in(SHIPPED)


def load_recipe(
    name_or_file: str,
    filters: Path | None = None,
    fetch: FetchTokenizer | None = None,
    *,
    honour_lock: bool = True,
) -> LoadedRecipe:
    """Read a recipe by the name of a shipped one, or by file (anything with a `/` or ending in
    .yaml or .yml).

    Args:
        filters: folder of filters that the user brings, NAME.yaml or NAME/filter.yaml; they go
            before shipped ones of that name.
        fetch: brings a tokenizer of the hub; None refuses recipes that name one.
        honour_lock: whether what is read must be what the recipe's lock file says.

    Raises:
        RecipeError: every fault of the recipe and of the files it refers to, each with file and
            line; `filters` is no folder.
        ManifestError: something is not what the lock file says.
    """
    reading = _Reading(filters, fetch, honour_lock=honour_lock)
    if filters is not None:
        refuse_no_folder(filters)
    if "/" in name_or_file or name_or_file.endswith((".yaml", ".yml")):
        return reading.recipe(Path(name_or_file))
    try:
        return reading.recipe(shipped_file(SHIPPED, "recipe", name_or_file))
    except UnknownReferenceError as unknown:
        raise RecipeError(
            f"{unknown}; `annealmix plan` lists them; a file is given with its ending, such as"
            f" {name_or_file}.yaml"
        ) from None


def filter_of(
    file: Path, location: Location, request: FilterRequest, filters: Path | None
) -> FilterUse:
    """A filter that a file asks for.

    Args:
        file: that asks; paths are relative to its folder. location: of the request in it. filters:
            as of `load_recipe`.

    Raises:
        UnknownReferenceError: there is none. RecipeError: its file is malformed.
    """
    return _Reading(filters, None, honour_lock=False)._filter(file, location, request)


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
    return _load_shipped(ShippedTokenizer, "tokenizers", "tokenizer", name)


def _load_shipped(model: type[M], folder: str, kind: str, name: str) -> M:
    try:
        return _load_definition(model, shipped_file(SHIPPED / folder, kind, name))
    except UnknownReferenceError as unknown:
        raise RecipeError(str(unknown)) from None


def _load_definition(model: type[M], file: Path) -> M:
    return validate(model, load_yaml(file))


class _InlineSource(NamedTuple):
    """A source whose definition stands in the recipe."""

    definition: SourceDefinition
    place: str | None
    """Path or URL of its folder; None: the library `datasets` reads it from the hub."""


def _inline(folder: Path, name: str, request: SourceRequest) -> _InlineSource:
    try:
        return _inline_source(folder, name, request)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UnknownReferenceError(str(first.get("ctx", {}).get("error", first["msg"]))) from None


def _inline_source(folder: Path, name: str, request: SourceRequest) -> _InlineSource:
    """Find out what `data` means: a split of the hub, a URL, a file, a folder or a glob."""
    if not isinstance(request.data, str):
        return _InlineSource(request.definition(name, ()), None)
    if is_url(request.data):
        root, pattern = split_glob(request.data)
        if match := HUB_URL.fullmatch(root):
            below = "/".join(part for part in (match["folder"], pattern or "**") if part)
            hub = (match["repo"], match["revision"] or "main")
            return _InlineSource(request.definition(name, (below,), hub), None)
        return _InlineSource(request.definition(name, (pattern,) if pattern else ()), root)
    path = beside(folder, request.data)
    if is_folder(path):
        return _InlineSource(request.definition(name, ()), str(path))
    if is_file(path):
        return _InlineSource(request.definition(name, (literal_glob(path.name),)), str(path.parent))
    root, pattern = split_glob(request.data)
    return _InlineSource(
        request.definition(name, (pattern,) if pattern else ()), str(beside(folder, root))
    )


class _Reading:
    """One `load_recipe`: reads each file once, and knows which recipes are being read, so that a
    circle is noticed.
    """

    def __init__(
        self, filters: Path | None, fetch: FetchTokenizer | None, *, honour_lock: bool
    ) -> None:
        self._filters, self._fetch, self._honour_lock = filters, fetch, honour_lock
        self._open: list[Path] = []
        self._done: dict[Path, LoadedRecipe] = {}

    def recipe(self, file: Path) -> LoadedRecipe:
        path = without_links(file)
        if path in self._open:
            circle = " -> ".join(one.stem for one in [*self._open[self._open.index(path) :], path])
            raise UnknownReferenceError(
                f"recipes exclude each other in a circle: {circle}; remove one of them"
            )
        if path not in self._done:
            self._open.append(path)
            self._done[path] = self._read(file)
            self._open.pop()
        return self._done[path]

    def _read(self, file: Path) -> LoadedRecipe:
        tree = scan_file(file)
        if "arms" in tree.value:
            raise RecipeError(
                f"{tree.where}: a study, which `annealmix plan` and `build` take; where a recipe"
                " is asked for, name its base"
            )
        recipe, faults = check(Recipe, tree)
        lock = read_lock(file) if self._honour_lock else None
        references = References(tree, faults)
        folder = file.parent
        definitions: dict[str, SourceDefinition] = {}
        used = [
            *references.wanted(("sources", "*", "use"), Reference),
            *references.wanted(("insert", "*", "use"), Reference),
        ]
        for location, use in used:
            if definition := references.follow(location, partial(self._definition, folder, use)):
                definitions[str(location[1])] = definition
        inline = self._inline(folder, references)
        definitions |= {name: source.definition for name, source in inline.items()}
        name_clashes(tree, definitions, faults)
        excluded = [
            references.follow(location, partial(self._excluded, folder, reference))
            for location, reference in references.wanted(("exclude", "*"), Reference)
        ]
        tokenizers = [
            references.follow(location, partial(self._tokenizer, folder, request, lock))
            for location, request in references.wanted(("tokenizer",), TokenizerField)
        ]
        filters = [
            references.follow(location, partial(self._filter, file, location, request))
            for location, request in references.wanted(("filters", "*"), FilterField)
        ]
        same_names(tree, ("filters",), [item.label for item in filters if item], faults)
        benchmarks = [
            references.follow(location, partial(self._benchmark, file, location, asked))
            for location, asked in references.wanted(
                ("decontaminate", "sets", "*"), EvaluationSetField
            )
        ]
        same_names(
            tree,
            ("decontaminate", "sets"),
            [item.definition.name for item in benchmarks if item],
            faults,
        )
        for location, data in references.wanted(("data",), LocalPath):
            references.follow(location, partial(beside, folder, data))
        if recipe is None or faults or references.broken:
            refuse(tree.where, faults, references.broken)
        tokenizer, tokenizer_file = next(one for one in tokenizers if one)
        loaded = LoadedRecipe(
            recipe,
            definitions,
            tuple(one for one in excluded if one),
            tokenizer,
            file,
            tuple(one for one in filters if one),
            tuple(one for one in benchmarks if one),
            {name: source.place for name, source in inline.items()},
            tokenizer_file,
        )
        if lock:
            require_locked(lock, loaded.lock(), file)
        return loaded

    def _inline(self, folder: Path, references: References) -> dict[str, _InlineSource]:
        """Sources whose definitions stand in the recipe."""
        sources = {}
        for (_, name), request in references.wanted(("sources", "*"), SourceRequest):
            if request.data is not None:
                location = ("sources", name, "data")
                found = references.follow(location, partial(_inline, folder, str(name), request))
                if found is not None:
                    sources[str(name)] = found
        return sources

    def _definition(self, folder: Path, use: str) -> SourceDefinition:
        if is_file_reference(use):
            return _load_definition(SourceDefinition, file_beside(folder, use))
        return _load_definition(
            SourceDefinition, shipped_file(SHIPPED / "sources", "source definition", use)
        )

    def _tokenizer(
        self, folder: Path, request: TokenizerRequest, lock: Lock | None
    ) -> tuple[TokenizerDefinition, Path | None]:
        """The definition, and its tokenizer.json if the recipe says where it is."""
        if request.use is not None and not is_file_reference(request.use):
            try:
                file = shipped_file(SHIPPED / "tokenizers", "tokenizer", request.use)
            except UnknownReferenceError as unknown:
                raise UnknownReferenceError(
                    f"{unknown}; any other is {{repo: OWNER/NAME, eod: TOKEN}} on the hub, or"
                    " {file: FILE.json, eod: TOKEN} beside the recipe"
                ) from None
            return _load_definition(ShippedTokenizer, file), None
        if request.use is not None:
            file = file_beside(folder, request.use)
            request = _load_definition(TokenizerRequest, file)
            if request.use is not None:
                raise UnknownReferenceError(
                    f"{shown(file)} refers to {request.use!r}; write that here instead"
                )
            folder = file.parent
        commit = None
        if request.file is not None:
            path = tokenizer_beside(folder, request.file)
        elif self._fetch is None:
            raise UnknownReferenceError(
                f"{request.repo} is on the hub, which is not asked here; give a file"
            )
        else:
            if lock and request.revision is None:
                request = request.model_copy(update={"revision": lock.tokenizer.commit})
            path, commit = self._fetch(request)
        try:
            return define(request, read_bytes(path), commit), path.absolute()
        except OSError as error:
            raise UnknownReferenceError(f"{path}: cannot be read ({error.strerror})") from None
        except (ManifestError, RecipeError) as error:
            raise UnknownReferenceError(f"{path}: {error}") from None

    def _filter(self, recipe: Path, location: Location, request: FilterRequest) -> FilterUse:
        folder = recipe.parent
        if request.terms is not None:
            where = f"{shown(recipe)}: {dotted(location)}"
            try:
                pin = request.pin()
            except ValidationError as error:
                raise UnknownReferenceError(str(error.errors()[0]["ctx"]["error"])) from None
            if pin.file:
                file_beside(folder, pin.file)
            return FilterUse(request, filter_of_terms(str(request.name), pin, folder, where))
        use = FilterUse(request, self._bundle(folder, str(request.use or request.placebo_of)))
        if use.bundle is not None:
            _ = use.definition  # a level that the filter does not have is a fault of the recipe
        return use

    def _bundle(self, folder: Path, name: str) -> FilterBundle | None:
        if is_file_reference(name):
            return read_filter(file_beside(folder, name))
        if file := find_filter(name, self._filters):
            return read_filter(file)
        if name in NOT_PUBLISHED:
            return None
        raise UnknownReferenceError(unknown_filter(name, self._filters))

    def _benchmark(
        self, recipe: Path, location: Location, asked: str | Benchmark
    ) -> LoadedBenchmark:
        """An evaluation set in a file of its own, or in the recipe."""
        if isinstance(asked, str):
            return load_benchmark(file_beside(recipe.parent, asked))
        where = f"{shown(recipe)}: {dotted(location)}"
        for file in asked.files:
            file_beside(recipe.parent, file.path)
        return hashed_benchmark(asked, recipe.parent, where)

    def _excluded(self, folder: Path, reference: str) -> LoadedRecipe:
        return self.recipe(
            file_beside(folder, reference)
            if is_file_reference(reference)
            else shipped_file(SHIPPED, "recipe", reference)
        )
