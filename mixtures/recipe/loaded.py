"""A recipe together with what it refers to, and the digest that names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from mixtures.errors import RecipeError
from mixtures.recipe.decontaminate import canonical_decontamination
from mixtures.recipe.filter_use import FilterUse
from mixtures.recipe.model import Recipe
from mixtures.recipe.quality.steps import canonical_quality, reading_name
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.rules.benchmark import LoadedBenchmark
from mixtures.rules.lock import LOCK_FORMAT, Lock, LockedTokenizer
from mixtures.yaml.fields import json_digest, listed, mapping, plain_decimal


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with all that it refers to, in the recipe's order."""

    recipe: Recipe
    definitions: dict[str, SourceDefinition]
    """By source name, those of inserts too."""
    excluded: tuple[LoadedRecipe, ...]
    tokenizer: TokenizerDefinition
    file: Path
    """Where the recipe was read."""
    filters: tuple[FilterUse, ...] = ()
    benchmarks: tuple[LoadedBenchmark, ...] = ()
    places: Mapping[str, str | None] = field(default_factory=dict)
    """Of sources whose definitions stand in the recipe: path or URL of the folder; None: of the
    hub."""
    tokenizer_file: Path | None = None
    """The tokenizer.json, where the recipe says which file or repository has it."""

    def with_removed(self, rule: Literal["refill", "shrink"]) -> LoadedRecipe:
        """The recipe as if its file said `removed: rule`.

        Raises:
            RecipeError: it has no filters, so nothing is removed.
        """
        if not self.filters:
            raise RecipeError(
                f"{self.recipe.name}: has no filters, so there is nothing to {rule}; leave out"
                " --removed"
            )
        return replace(self, recipe=self.recipe.model_copy(update={"removed": rule}))

    def lock(self) -> Lock:
        """The lock that holds the recipe to the files that were read for it."""
        tokenizer = self.tokenizer
        return Lock(
            format=LOCK_FORMAT,
            tokenizer=LockedTokenizer(
                commit=tokenizer.revision if self.tokenizer_file else None,
                **tokenizer.model_dump(include=set(LockedTokenizer.model_fields)),
            ),
            filters={
                item.name: item.bundle.definition.blocklist.sha256
                for item in self.filters
                if item.bundle
            },
            evaluation_sets={
                item.definition.name: tuple(file.sha256 for file in item.definition.files)
                for item in self.benchmarks
            },
        )

    @property
    def data(self) -> Path | None:
        """The recipe's own data folder, if it has one."""
        return self.file.parent / self.recipe.data if self.recipe.data else None

    def reading(self, source: str) -> str:
        """Names what a source's definition gives under its quality steps; sources of one reading
        have the same documents.
        """
        request = self.recipe.sources.get(source)
        return reading_name(self.definitions[source].name, request.quality if request else ())

    def emptied(self, folder_of: Callable[[LoadedRecipe, str], object]) -> dict[str, list[str]]:
        """Sources of which `exclude` takes every key, each with the recipes that do.

        Args:
            folder_of: where the files of a recipe's source lie; in different folders there may be
                different documents.
        """
        found = {}
        for name, request in self.recipe.sources.items():
            taken = sorted(
                (*other.recipe.sources[theirs].key_range, other.recipe.name)
                for other in self.excluded
                for theirs in other.recipe.sources
                if other.reading(theirs) == self.reading(name)
                and other.definitions[theirs] == self.definitions[name]
                and folder_of(other, theirs) == folder_of(self, name)
            )
            low, by = request.key_range.low, list[str]()
            for begin, end, other_name in taken:
                if begin <= low < end:
                    low = end
                    by.append(other_name)
            if low >= request.key_range.high:
                found[name] = list(dict.fromkeys(by))
        return found

    def canonical(self) -> dict[str, object]:
        """What the recipe asks, as dicts, lists, integers and strings.

        It does not depend on where the file lies, on comments, order of keys, spelling of numbers,
        descriptions, published figures, or the names and quotas of excluded recipes. The order of
        sources counts: it is their priority.
        """
        recipe = self.recipe
        excluded = {
            json.dumps(taken, sort_keys=True): taken
            for other in self.excluded
            for taken in other._taken()
        }
        canonical: dict[str, object] = {
            "name": recipe.name,
            "tokenizer": self.tokenizer.canonical(),
            "special_tokens": recipe.special_tokens,
            "max_quarantined": plain_decimal(recipe.max_quarantined),
            "exclude": [excluded[key] for key in sorted(excluded)],
            "sources": [
                {
                    "name": name,
                    **({"corpus": request.corpus} if request.corpus else {}),
                    **self._asked(name),
                    **self._place(name),
                }
                for name, request in recipe.sources.items()
            ],
        }
        if budget := recipe.budget:
            schedule = budget.schedule
            canonical["budget"] = asdict(schedule) if schedule else {"tokens": budget.tokens}
        if recipe.decontaminate:
            canonical["decontaminate"] = canonical_decontamination(
                recipe.decontaminate, self.benchmarks
            )
        if self.filters:
            canonical |= {
                "filters": [item.canonical() for item in self.filters],
                "removed": recipe.removed,
                "copies": recipe.copies,
            }
        if recipe.near:
            canonical["near"] = recipe.near.canonical(recipe.sources)
        if recipe.insert:
            canonical["insert"] = [
                {
                    "name": name,
                    "times": item.times,
                    "on_top": str(item.on_top).lower(),
                    **({"whole": "true"} if item.whole else {}),
                    "definition": self._definition(name),
                }
                for name, item in recipe.insert.items()
            ]
        return canonical

    @property
    def digest(self) -> str:
        """`json_digest` of `canonical()`."""
        return json_digest(self.canonical())

    def _asked(self, name: str) -> dict[str, object]:
        request = self.recipe.sources[name]
        rule = {
            key: value for key, value in request.shortfall.model_dump().items() if value is not None
        }
        if request.all:
            return {"all": "true"}
        amount: dict[str, object] = {"reserve": "true"}
        if request.tokens is not None:
            amount = {"tokens": request.tokens}
        elif request.weight is not None:
            amount = {"weight": plain_decimal(request.weight)}
        return {**amount, "shortfall": rule or "error"}

    def _place(self, name: str) -> dict[str, object]:
        request = self.recipe.sources[name]
        return {
            "keys": [plain_decimal(bound) for bound in request.keys],
            "definition": self._definition(name),
            **({"quality": canonical_quality(request.quality)} if request.quality else {}),
        }

    def _definition(self, name: str) -> dict[str, object]:
        definition = self.definitions[name]
        published = {
            "repo": definition.repo,
            "revision": definition.revision,
            "paths": list(definition.paths),
            "folder": definition.folder,
        }
        return {
            key: value
            for key, value in {**definition.identity(), **published}.items()
            if value is not None
        }

    def _taken(self) -> list[dict[str, object]]:
        return [self._place(name) for name in self.recipe.sources]


def corpora_of(canonical: Mapping[str, object]) -> dict[str, str]:
    """The corpus of each source that is a part of one.

    Args:
        canonical: a recipe, untrusted, since a manifest may hold it.
    """
    corpora = {}
    for item in map(mapping, listed(canonical.get("sources"))):
        name, corpus = item.get("name"), item.get("corpus")
        if isinstance(name, str) and isinstance(corpus, str):
            corpora[name] = corpus
    return corpora
