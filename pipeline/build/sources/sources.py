"""The sources of a build, and how far each is tokenized.

A ceiling is only a saving: the whole supply is read and hashed once, but what lies above the
ceiling is tokenized only when the quotas turn out to need it. No result depends on a ceiling, so an
estimate is enough to choose one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mixtures.errors import RecipeError, SupplyError
from mixtures.keys import ALL_KEYS, KEY_SPACE, KeyRange
from mixtures.plan.removal_levels import estimated_removals
from mixtures.plan.source_plan import CEILING_MARGIN
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Quotas, Size, Supply, fitted_quotas
from pipeline.build.sources.lacking import at_source
from pipeline.inputs.build_source import BuildSource
from pipeline.inputs.listing import DataFolders
from pipeline.inputs.probe import ONE_FILE, CountTokens, take_probe
from pipeline.inputs.survey import SourceInputs
from pipeline.store.rules import TokenRule


def sources_of(recipe: LoadedRecipe, data: DataFolders) -> list[BuildSource]:
    """All sources in order of priority: those of excluded recipes first. Nothing is to be tokenized
    yet.

    Args:
        data: read instead of the data folder of a source's own recipe.

    Raises:
        RecipeError: two sources mean different things by one definition name, or `data` names a
            definition that no source uses.
    """
    taken = [
        (other, f"{other.recipe.name}/{name}", name, True)
        for other in recipe.excluded
        for name in other.recipe.sources
    ]
    mine = [(recipe, name, name, False) for name in recipe.recipe.sources]
    sources = []
    for loaded, shown, name, excluded in [*taken, *mine]:
        request, definition = loaded.recipe.sources[name], loaded.definitions[name]
        keys, folder = request.key_range, data.folder_of(loaded, name)
        sources.append(
            BuildSource(
                shown, definition, request.quality, keys, excluded, folder, ceiling=keys.low
            )
        )
    for name in recipe.recipe.insert:
        definition = recipe.definitions[name]
        folder = data.folder_of(recipe, name)
        sources.append(
            BuildSource(name, definition, (), ALL_KEYS, False, folder, KEY_SPACE, insert=True)
        )
    _refuse_ambiguous(sources)
    data.refuse_unknown(source.definition for source in sources)
    return sources


def _refuse_ambiguous(sources: list[BuildSource]) -> None:
    """The store and the manifest know a definition by its name, so one name is one set of files,
    read in one way, from one place.
    """
    known: dict[str, BuildSource] = {}
    for source in sources:
        first = known.setdefault(source.definition.name, source)
        for what, one, other in (
            ("definition", first.definition, source.definition),
            ("data folder", first.data, source.data),
        ):
            if one != other:
                raise RecipeError(
                    f"sources {first.name} and {source.name} both use a definition called"
                    f" {source.definition.name!r}, but not the same {what}; give one of the"
                    " definitions another name"
                )


def set_first_ceilings(
    recipe: LoadedRecipe,
    size: Size,
    sources: list[BuildSource],
    inputs: Mapping[str, SourceInputs],
    rule: TokenRule,
    count: CountTokens,
) -> None:
    """Choose how far to tokenize each source at first: as far as the store has it, else as far as a
    probe says.

    Where removed documents are refilled, more is needed; how much more is what is published of the
    filters, where something is.

    Args:
        inputs: by reading. count: asked only if a source must be probed.
    """
    covered: dict[str, int] = {}
    estimated: dict[str, Supply] = {}
    sources = [source for source in sources if not source.insert]

    def probed(source: BuildSource) -> int:
        files = inputs[source.reading].files
        with at_source(recipe, source.name):
            probe = take_probe(source.definition, source.quality, files, ONE_FILE)
        return probe.supply(count).tokens * source.keys.width // KEY_SPACE

    for source in sources:
        reading = inputs[source.reading]
        covered[source.name] = end = _covered_to(reading, rule, source.keys)
        if end == source.keys.high:
            tokens = _stored_tokens(reading, rule, source.keys)
            estimated[source.name] = Supply(tokens, complete=True)
        elif recipe.recipe.sources[source.name].reserve:
            pass  # a later build whose others need nothing of it must not read it for an estimate
        elif end == source.keys.low or recipe.recipe.sources[source.name].all:
            estimated[source.name] = Supply(probed(source), complete=True)
    removals = {} if recipe.recipe.shrinks else estimated_removals(recipe)
    for name, supply in estimated.items():
        if name in removals:
            filled = int(supply.tokens * removals[name].filled)
            estimated[name] = Supply(filled, supply.complete)
    unknown = {source.name: Supply(0, complete=False) for source in sources}
    try:
        quotas, _ = fitted_quotas(recipe.recipe, size, {**unknown, **estimated})
        asked = quotas.resolved
    except SupplyError:
        # an estimate may be too large; whether the sources fit is judged when they are counted
        asked = None
    for source in sources:
        if asked is None or recipe.recipe.sources[source.name].all:
            source.ceiling = source.keys.high
        elif covered[source.name] > source.keys.low:
            source.ceiling = covered[source.name]
        elif source.name in estimated:
            tokens = estimated[source.name].tokens
            source.ceiling = first_ceiling(source.keys, asked[source.name], tokens)
        elif asked[source.name]:
            source.ceiling = first_ceiling(source.keys, asked[source.name], probed(source))
        else:
            source.ceiling = source.keys.low


def first_ceiling(keys: KeyRange, asked: int, available: int) -> int:
    """The key up to which a source is tokenized at first, with margin, of which nothing is yet.

    Args:
        asked: tokens. available: tokens that its key range is estimated to fill of a quota.
    """
    return _ceiling(keys, asked / available if available else 1.0)


def raise_ceilings(sources: list[BuildSource], quotas: Quotas, tokens: Mapping[str, int]) -> None:
    """Raise the ceilings of the sources that `quotas` wants more of. tokens: what each was found to
    hold below its ceiling.
    """
    for source in sources:
        if source.name not in quotas.wanted:
            continue
        share = (
            source.tokenized.width
            / source.keys.width
            * quotas.wanted[source.name]
            / tokens[source.name]
            if tokens[source.name]
            else 1.0
        )
        raised = _ceiling(source.keys, share)
        source.ceiling = raised if raised > source.ceiling else source.keys.high


def _covered_to(found: SourceInputs, rule: TokenRule, keys: KeyRange) -> int:
    """The key up to which every group of a source is tokenized from keys.low on; keys.low if one is
    not, or is still to be read.
    """
    if found.new_groups or not found.groups:
        return keys.low
    missing = [group.missing(rule, keys) for group, _ in found.groups]
    return min(parts[0].low if parts else keys.high for parts in missing)


def _stored_tokens(found: SourceInputs, rule: TokenRule, keys: KeyRange) -> int:
    """Tokens that the store holds of a key range and of what is stored with it: an estimate, which
    needs no tokenizer.
    """
    return sum(
        item.tokens
        for group, _ in found.groups
        for item in group.ranges(rule)
        if item.keys.meets(keys)
    )


def _ceiling(keys: KeyRange, share: float) -> int:
    """The key below which `share` of a key range lies, with margin, inside the range."""
    wanted = share * float(CEILING_MARGIN)
    if wanted >= 1:  # the width of all keys has more digits than a float
        return keys.high
    return min(keys.low + math.ceil(keys.width * wanted), keys.high)
