"""What a plan is told by the files at hand: their supply, and what filters would remove of it.

A source is probed once: what was found is kept, figures alone and no text, under a name made of all
that decided it.

    $ANNEALMIX_CACHE, else ~/.cache/annealmix
      probes/KEY.json     {"supply": ..., "removals": {level, or "recipe": ...}, "documents":
                          {"num_tokens": [...], "weights": [...], "flags": {filter: [index]}}}
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtures.estimates import SupplyEstimate
from mixtures.plan.removals import Removal
from mixtures.plan.sampled import SampledDocuments
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.quality.steps import QUALITY_FORMAT, Quality, canonical_quality
from mixtures.rules.levels import LEVELS, Level
from mixtures.words import plural
from pipeline.build.sources.lacking import at_source
from pipeline.commands.plan.probed_removals import (
    ProbedUse,
    judge_sample,
    open_filters,
    own_flags,
    probed_removals,
)
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import DataFolders, list_source
from pipeline.inputs.probe import Probe, ProbeSize, take_probe
from pipeline.inputs.quality.quality import package_versions
from pipeline.inputs.survey import group_name, grouped
from pipeline.places.places import default_cache
from pipeline.report import progress, say, size
from pipeline.store.records import write_whole
from pipeline.store.rules import short_key

if TYPE_CHECKING:
    from pipeline.tokens.tokenizer import Tokenizer

PROBE_FORMAT = 2  # of the files, and of how estimates are made
LEAST_STEPPED = 1 << 15  # characters of a source that go through quality steps


@dataclass(frozen=True)
class Probed:
    """What a probe tells of a source."""

    supply: SupplyEstimate
    removals: dict[Level | None, Removal]
    """By level, as `probed_removals`."""
    documents: SampledDocuments
    """That were drawn, and what filters say of them."""
    groups: int
    """Of its files, in an ingest."""


def probe_sources(
    recipe: LoadedRecipe, data: DataFolders, tokenizer: Path | None, skipped: Container[str] = ()
) -> tuple[dict[str, Probed], str | None]:
    """What the files of sources and inserts are thought to hold, and what the filters would remove
    of it; by name, of those that have a folder. And what encodes their texts, if any has.

    Args:
        skipped: sources that are not probed.

    Raises:
        InputError: files are missing or damaged. RecipeError: a filter, a tokenizer or a quality
            step cannot be opened.
    """
    folders = {
        name: folder
        for name in recipe.definitions
        if name not in skipped and (folder := data.folder_of(recipe, name))
    }
    if not folders:
        return {}, None
    first = {recipe.reading(name): name for name in reversed(folders)}  # of each reading, a source
    probing, found = _Probing(recipe, tokenizer, list(first.values())), dict[str, Probed]()
    with progress("probing", len(first), lambda: len(found)):
        for reading, name in reversed(first.items()):
            with at_source(recipe, name):
                listing = list_source(recipe.definitions[name], folders[name])
            for note in listing.notes:
                say(note)
            found[reading] = probing.probed(name, listing.files)
    return {name: found[recipe.reading(name)] for name in folders}, probing.tokenizer.speed


class _Probing:
    """The probes of one plan. names: sources that are probed."""

    def __init__(self, recipe: LoadedRecipe, tokenizer: Path | None, names: Sequence[str]) -> None:
        self.recipe, self.filters = recipe, open_filters(recipe)
        self._file = tokenizer
        stepped = sum(bool(self._quality(name)) for name in names)
        most = ProbeSize()
        # steps are slow, and a plan of many sources should take no longer than that of one
        least, chars = most.stepped
        share = max(chars // max(stepped, 1), LEAST_STEPPED)
        self.size = replace(most, stepped=(least, share))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """That of the recipe."""
        from pipeline.tokens.find import find_tokenizer
        from pipeline.tokens.loaded import loaded_tokenizer

        definition, special = self.recipe.tokenizer, self.recipe.recipe.special_tokens
        file = find_tokenizer(definition, self._file or self.recipe.tokenizer_file)
        return loaded_tokenizer(file, definition, special)

    def probed(self, name: str, files: Sequence[InputFile]) -> Probed:
        """Probe a source, or find what a probe of the same found."""
        num_bytes = sum(file.size for file in files)
        groups = len(grouped(files, num_bytes))
        kept = default_cache() / "probes" / f"{self._key(name, files)}.json"
        if (known := _read(kept)) is None:
            say(f"probing {name}: {plural(len(files), 'file')}, {size(num_bytes)}")
            with at_source(self.recipe, name):
                sample = take_probe(
                    self.recipe.definitions[name], self._quality(name), files, self.size
                )
            known = self._found(sample)
            with suppress(OSError):  # where nothing can be kept, it is probed again
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_whole(kept, _written(*known))
        return Probed(*known, groups)

    def _found(self, sample: Probe) -> _Found:
        """What a probe's sample tells."""
        judged, tokenized = (
            judge_sample(self.filters, sample),
            sample.tokenized(self.tokenizer.count),
        )
        left = tokenized.left
        documents = SampledDocuments(
            tokenized.num_tokens[left].astype(np.int64), tokenized.weights[left], own_flags(judged)
        )
        removals = probed_removals(self.recipe, judged, sample)
        return sample.estimated(tokenized), removals, documents

    def _quality(self, name: str) -> Quality:
        source = self.recipe.recipe.sources.get(name)
        return source.quality if source else ()

    def _key(self, name: str, files: Sequence[InputFile]) -> str:
        """Of all that decides what a probe finds."""
        steps = canonical_quality(self._quality(name))
        return short_key(
            {
                "format": PROBE_FORMAT,
                "files": [group_name(files), [file.url for file in files]],
                "definition": self.recipe.definitions[name].identity(),
                "quality": [QUALITY_FORMAT, steps, package_versions()] if steps else [],
                "size": asdict(self.size),
                "tokenizer": self.recipe.tokenizer.model_dump(mode="json"),
                "special_tokens": self.recipe.recipe.special_tokens,
                "copies": self.recipe.recipe.copies,
                "filters": [_filter_key(use) for use in self.filters],
            }
        )


def _filter_key(use: ProbedUse) -> list[Any]:
    definition = use.item.brought.definition.model_dump(mode="json")
    return [use.item.canonical(), definition, use.opened.classifier is not None]


_Found = tuple[SupplyEstimate, dict[Level | None, Removal], SampledDocuments]


def _written(
    supply: SupplyEstimate, removals: dict[Level | None, Removal], documents: SampledDocuments
) -> bytes:
    levels = {level or "recipe": asdict(removal) for level, removal in removals.items()}
    drawn = {
        "num_tokens": documents.num_tokens.tolist(),
        "weights": documents.weights.tolist(),
        "flags": {
            label: np.flatnonzero(flagged).tolist() for label, flagged in documents.flags.items()
        },
    }
    found = {"supply": asdict(supply), "removals": levels, "documents": drawn}
    return json.dumps(found, default=str).encode()


def _read(kept: Path) -> _Found | None:
    """What `_written` wrote; None: nothing is there that could be used."""
    try:
        value = json.loads(kept.read_bytes())
        removals = {
            level: _removal(value["removals"][name])
            for level, name in ((None, "recipe"), *zip(LEVELS, LEVELS, strict=True))
            if name in value["removals"]
        }
        return SupplyEstimate(**value["supply"]), removals, _documents(value["documents"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None


def _documents(value: Mapping[str, Any]) -> SampledDocuments:
    num_tokens = np.array(value["num_tokens"], np.int64)
    flags = {label: np.zeros(len(num_tokens), np.bool_) for label in value["flags"]}
    for label, flagged in flags.items():
        flagged[np.array(value["flags"][label], np.int64)] = True
    return SampledDocuments(num_tokens, np.array(value["weights"], np.float64), flags)


def _removal(value: Mapping[str, Any]) -> Removal:
    low, high = value["bounds"]
    return Removal(
        Fraction(value["removed"]),
        Fraction(value["copied"]),
        value["basis"],
        (Fraction(low), Fraction(high)),
        Fraction(value["most_copied"]),
    )
