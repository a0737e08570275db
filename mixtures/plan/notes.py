"""What a plan says beside its figures: what they leave out, and what the user must bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mixtures.estimates import SupplyEstimate
from mixtures.plan.cost import SCORE_BYTES_A_SECOND, classifier_kinds
from mixtures.plan.source_plan import InsertPlan, SourcePlan
from mixtures.recipe.filter_use import NOT_PUBLISHED
from mixtures.recipe.loaded import LoadedRecipe
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


def quality_notes(recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]) -> Iterator[str]:
    """Supplies of which quality steps will drop a part that nobody has counted."""
    for name, request in recipe.recipe.sources.items():
        if request.quality and name in supplies and supplies[name].basis == "published":
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


def filter_notes(
    recipe: LoadedRecipe, sources: Mapping[str, SourcePlan], inserts: Mapping[str, InsertPlan]
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
        if insert.tokens_estimated is None:
            yield (
                f"insert.{name} must be brought for a build, --data {insert.definition}=DIR; its"
                " size is unknown, counted as nothing here"
            )


def shrink_notes(total: int, remaining: int, fit: TrainerFit) -> Iterator[str]:
    """What a mix that shrinks is thought to hold, and how often its trainer sees it at the schedule
    of the whole mix.
    """
    seen = next(reading for reading in fit.readings if reading.trainer == "gpt-neox")
    how = (
        f"; at {fit.steps:,} steps GPT-NeoX sees {seen.exposure} ({seen.epochs} epochs)"
        if fit.steps
        else ""
    )
    yield (
        f"removed: shrink: about {remaining:,} of {total:,} tokens are left{how}; `--removed"
        " refill` fills the quotas"
    )
