"""What a plan says beside its figures: what they leave out, and what the user must bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from mixtures.estimates import SupplyEstimate
from mixtures.plan.cost import SCORE_BYTES_A_SECOND, classifier_kinds
from mixtures.plan.removal_levels import ByLevel
from mixtures.plan.source_plan import InsertPlan, SourcePlan
from mixtures.recipe.filter_use import NOT_PUBLISHED
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.rules.levels import LEVELS
from mixtures.stream.quotas import Size, scale_of
from mixtures.trainers.fit import TrainerFit


def quota_notes(sources: Mapping[str, SourcePlan]) -> Iterator[str]:
    """Quotas of less than one document."""
    for name, row in sources.items():
        if row.resolved_tokens == 0:
            yield (
                f"sources.{name}: its quota resolves to 0 tokens at this size; it will not be in"
                " the mix"
            )
        documents, tokens = row.supply_documents_estimated, row.supply_tokens_estimated or 0
        if documents and 0 < row.resolved_tokens < tokens // documents:
            yield (
                f"sources.{name}: its quota of {row.resolved_tokens:,} tokens is less than one"
                " document of average length; it may be a single document, cut"
            )


def supply_notes(recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]) -> Iterator[str]:
    """Published supplies that another tokenizer counted."""
    others = {
        name: supplies[name].basis.removeprefix("published, by ")
        for name in recipe.recipe.sources
        if name in supplies and supplies[name].basis.startswith("published, by ")
    }
    converted = [f"{name} ({basis})" for name, basis in others.items() if " x " in basis]
    if converted:
        yield (
            f"supplies counted by another tokenizer and converted to {recipe.tokenizer.name}:"
            f" {', '.join(converted)}; the source definitions say why"
        )
    if taken := [f"{name} ({basis})" for name, basis in others.items() if " x " not in basis]:
        yield (
            f"supplies that another tokenizer counted, taken as if {recipe.tokenizer.name} had:"
            f" {', '.join(taken)}; state a ratio in `published: converted` of their definitions, or"
            " let a probe count (--data)"
        )


def quality_notes(recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]) -> Iterator[str]:
    """Supplies of which quality steps will drop a part that nobody has counted."""
    for name, request in recipe.recipe.sources.items():
        if request.quality and name in supplies and supplies[name].basis.startswith("published"):
            yield (
                f"sources.{name}: its published supply counts what the quality steps will drop; a"
                " probe (--data) leaves that out"
            )


def near_notes(recipe: LoadedRecipe) -> Iterator[str]:
    """What a search for near-duplicates reads again."""
    if recipe.recipe.near and recipe.recipe.near.effective.verify is not None:
        yield (
            "near: to verify, groups of files that hold candidates are read again; each word or"
            " character of these takes 8 bytes of disk"
        )


def score_notes(recipe: LoadedRecipe, escalated_bytes: int) -> Iterator[str]:
    """What of the score stage is not estimated. escalated_bytes: text for classifiers."""
    if not all(kind in SCORE_BYTES_A_SECOND for kind in classifier_kinds(recipe)):
        yield (
            "score: the time of the classifier is left out, since it depends on the model and the"
            f" device; about {escalated_bytes / 1e9:,.1f} GB of text will be scored"
        )


def level_notes(levels: ByLevel) -> list[str]:
    """Levels that remove the same of what was probed: one of them is not what it is meant to be."""
    known = [name for name in LEVELS if levels.get(name)]
    return [
        f"levels {one} and {other} remove the same of every source of the sample; if the filter has"
        " levels of its own, they are too close, or the sample is too small"
        for one, other in pairwise(known)
        if all(removal.basis == "probe" for removal in levels[one].values())
        and {name: removal.removed for name, removal in levels[one].items()}
        == {name: removal.removed for name, removal in levels[other].items()}
        and any(removal.removed for removal in levels[one].values())
    ]


def filter_notes(
    recipe: LoadedRecipe,
    size: Size,
    sources: Mapping[str, SourcePlan],
    inserts: Mapping[str, InsertPlan],
) -> Iterator[str]:
    """What the user must bring, and what of the filters is not known."""
    for item in recipe.filters:
        if item.bundle is None:
            yield (
                f"filter {item.label} must be brought for a build ({NOT_PUBLISHED[item.name]}):"
                f" --filters DIR, DIR holds {item.name}/filter.yaml"
            )
    if unknown := [name for name, row in sources.items() if row.removal_basis == "unknown"]:
        yield (
            f"{', '.join(unknown)}: what filters remove is not published, and counted as nothing"
            " here; --data and --filters estimate it"
        )
    for name, insert in inserts.items():
        if scale_of(recipe.recipe, size) < 1 and not insert.whole:
            yield (
                f"insert.{name}: a mix of this size takes its share of it alone; whole: true takes"
                " all of it"
            )
        if insert.tokens_estimated is None:
            yield (
                f"insert.{name} must be brought for a build, --data {insert.definition}=DIR; its"
                " size is unknown, counted as nothing here"
            )


def shrink_notes(total: int, remaining: int, fit: TrainerFit) -> Iterator[str]:
    """What a mix that shrinks is thought to hold, and how often its trainer sees it at the schedule
    of the whole mix.
    """
    seen = fit.reading
    how = ""
    if fit.steps:
        how = f"; at {fit.steps:,} steps {seen.trainer} sees {seen.exposure} ({seen.epochs} epochs)"
    yield (
        f"removed: shrink: about {remaining:,} of {total:,} tokens are left{how}; `--removed"
        " refill` fills the quotas"
    )
