"""A plan: what a recipe will take from which supply, what it will cost, and how trainers will read it, before anything is read.

Supplies, and what filters remove of them, are estimates (published figures, or a probe of the files at hand) and the plan says so. The
quotas are exact, and hold if the supplies do; a build counts the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from mixtures.errors import SupplyError
from mixtures.keys import KEY_SPACE
from mixtures.near_plan import near_notes, near_resources
from mixtures.quality import Quality
from mixtures.quotas import Quotas, Size, Supply, resolve_quotas, scale_of
from mixtures.recipe import LoadedRecipe
from mixtures.removals import Removal, filter_notes, published_removals, removal_row, shrink_notes
from mixtures.trainers import TrainerFit, trainer_fit

CEILING_MARGIN = Fraction(115, 100)  # tokenize so much more than the estimate says: one reading too few costs more than a few tokens

# Calibration of the estimates below: one core of a 2-core x86-64 machine, 2026-11-22 (tests/benchmarks/bench_ingest.py prints them anew).
TEXT_BYTES_A_TOKEN = Fraction(43, 10)
READ_BYTES_A_SECOND = 90_000_000  # text read, adapted and hashed
TOKENIZE_BYTES_A_SECOND = 25_000_000  # text tokenized and sorted
WRITE_TOKENS_A_SECOND = 50_000_000
LEDGER_BYTES_A_DOCUMENT = 32
SELECT_BYTES_A_DOCUMENT = 48
MIX_BYTES_A_DOCUMENT = 20 + 45  # .idx, and both tables
INGEST_WORKER_BYTES = 1_500_000_000

# Text that a quality step takes in a second, on the same machine. The first four split words, which is nearly all of their time and is
# shared by those that see the same text. language and url are not measured: both are far faster than these.
WORD_STEP_BYTES_A_SECOND = {"gopher-quality": 230_000, "gopher-repetition": 180_000, "c4-quality": 260_000, "fineweb-quality": 310_000}
STEP_BYTES_A_SECOND = {"ftfy": 2_300_000, "pii": 5_000_000, "regex": 35_000_000, "symbol-lines-remover": 57_000_000}


@dataclass(frozen=True)
class SupplyEstimate:
    """What a whole source is thought to hold, over all keys. tokens: EOD included. basis: where the figure is from."""

    documents: int
    tokens: int
    basis: str


def published_supplies(recipe: LoadedRecipe) -> dict[str, SupplyEstimate]:
    """Estimates from the publishers' figures, which count no EOD; sources without figures are left out."""
    return {
        name: SupplyEstimate(size.documents, size.tokens + size.documents, "published")
        for name, definition in recipe.definitions.items()
        if (size := definition.published)
    }


def make_plan(
    recipe: LoadedRecipe, size: Size, supplies: Mapping[str, SupplyEstimate], removals: Mapping[str, Removal] | None = None
) -> dict[str, Any]:
    """Everything that can be said of a build before it begins, as integers and strings.

    Sources without an estimate are taken to hold what they are asked, and to lose nothing to filters.

    Args:
        removals: by source, where something is known; None takes what is published.

    Returns:
        JSON-able; `shortages` lists in words what the estimated supplies do not cover (empty: the plan works). total_tokens: of the
        quotas and inserts; left_tokens_estimated: of them, what a mix that shrinks is thought to hold.
    """
    asked, shrinks = recipe.recipe.sources, recipe.recipe.shrinks
    removals = published_removals(recipe) if removals is None else removals
    within = {name: _within(request.key_range, supplies.get(name)) for name, request in asked.items()}
    filling = within if shrinks else {name: _filling(found, removals.get(name)) for name, found in within.items()}
    inserts = _inserts(recipe, size, supplies)
    quotas, shortages = _quotas(recipe, size, filling, inserts)
    rows = {
        name: _source(recipe, name, quotas, within[name], filling[name]) | removal_row(recipe, quotas.resolved[name], removals.get(name))
        for name in asked
    }
    left = sum(row["left_tokens_estimated"] for row in rows.values()) + sum(quotas.inserted.values())
    meant = sum(quotas.resolved.values()) if shrinks else None
    fit = budget_fit(recipe.canonical().get("budget"), whole=size == Size(), num_tokens=left, quota_tokens=meant) if left else None
    return {
        "recipe": recipe.recipe.name,
        "recipe_digest": recipe.digest,
        "size": size.as_json(),
        "total_tokens": quotas.total,
        "left_tokens_estimated": left,
        "sources": rows,
        "inserts": inserts,
        "filters": [{"label": item.label, "identity": item.canonical()["identity"]} for item in recipe.filters],
        "removed": recipe.recipe.removed if recipe.filters else None,
        "shortages": shortages,
        "notes": [
            *_notes(rows),
            *_quality_notes(recipe, supplies),
            *near_notes(recipe),
            *filter_notes(recipe, rows, inserts),
            *shrink_notes(quotas.total, left, fit if shrinks else None),
        ],
        "resources": _resources(recipe, rows, supplies, left),
        "trainer_fit": fit_json(fit) if fit else {},
    }


def _filling(within: SupplyEstimate | None, removal: Removal | None) -> SupplyEstimate | None:
    """What a supply is worth where removed documents are refilled: tokens of the quota that it fills."""
    if within is None or removal is None:
        return within
    return SupplyEstimate(within.documents, int(within.tokens * removal.filled), within.basis)


def _inserts(recipe: LoadedRecipe, size: Size, supplies: Mapping[str, SupplyEstimate]) -> dict[str, dict[str, Any]]:
    """Inserts, whole documents of a preview's share; tokens_estimated is None of those that nothing is known of."""
    scale, found = scale_of(recipe.recipe, size), {}
    for name, insert in recipe.recipe.insert.items():
        supply, definition = supplies.get(name), recipe.definitions[name]
        found[name] = {
            "definition": definition.name,
            "repository": definition.origin,
            "licence": definition.licence,
            "times": insert.times,
            "on_top": insert.on_top,
            "tokens_estimated": math.ceil(scale * supply.tokens) * insert.times if supply else None,
            "supply_basis": supply.basis if supply else "unknown",
        }
    return found


def _within(keys: tuple[int, int], supply: SupplyEstimate | None) -> SupplyEstimate | None:
    if supply is None:
        return None
    width = keys[1] - keys[0]
    return SupplyEstimate(supply.documents * width // KEY_SPACE, supply.tokens * width // KEY_SPACE, supply.basis)


def _quotas(
    recipe: LoadedRecipe, size: Size, filling: Mapping[str, SupplyEstimate | None], inserts: Mapping[str, Mapping[str, Any]]
) -> tuple[Quotas, list[str]]:
    inserted = {name: row["tokens_estimated"] or 0 for name, row in inserts.items()}
    supplies = {name: Supply(supply.tokens, complete=True) if supply else Supply(0, complete=False) for name, supply in filling.items()}
    try:
        return resolve_quotas(recipe.recipe, size, supplies, inserted=inserted), []
    except SupplyError as error:
        plenty = {name: Supply(supply.tokens, complete=recipe.recipe.sources[name].all) for name, supply in supplies.items()}
        return resolve_quotas(recipe.recipe, size, plenty, inserted=inserted), str(error).splitlines()


def _source(
    recipe: LoadedRecipe, name: str, quotas: Quotas, within: SupplyEstimate | None, filling: SupplyEstimate | None
) -> dict[str, Any]:
    request, definition = recipe.recipe.sources[name], recipe.definitions[name]
    quota, enough = quotas.resolved[name], filling.tokens if filling else 0
    share = min(Fraction(quota, enough) * CEILING_MARGIN, Fraction(1)) if enough and not request.all else Fraction(1)
    low, high = request.keys
    top = low + (high - low) * math.ceil(share * 10_000) / 10_000
    return {
        "definition": definition.name,
        "repository": definition.origin,
        "licence": definition.licence,
        "keys": [str(low), str(high)],
        "asked_tokens": quotas.asked[name],
        "resolved_tokens": quota,
        "refilled": quotas.refilled.get(name, {}),
        "epochs": -(-quota // enough) if enough else 1,
        "supply_tokens_estimated": within.tokens if within else None,
        "supply_documents_estimated": within.documents if within else None,
        "supply_basis": within.basis if within else "unknown",
        "tokenized_share_estimated": f"{float(share):.4f}",
        "key_ceiling_estimated": f"{top:.6f}",
    }


def _notes(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    notes = []
    for name, row in rows.items():
        if row["resolved_tokens"] == 0:
            notes.append(f"sources.{name}: its quota resolves to 0 tokens at this size; it will not be in the mix")
        documents, tokens = row["supply_documents_estimated"], row["supply_tokens_estimated"]
        if documents and 0 < row["resolved_tokens"] < tokens // documents:
            notes.append(
                f"sources.{name}: its quota of {row['resolved_tokens']:,} tokens is less than one document of average length; "
                "it may be a single document, cut"
            )
    return notes


def _quality_notes(recipe: LoadedRecipe, supplies: Mapping[str, SupplyEstimate]) -> list[str]:
    return [
        f"sources.{name}: its published supply counts what the quality steps will drop; a probe (--data) leaves that out"
        for name, request in recipe.recipe.sources.items()
        if request.quality and name in supplies and supplies[name].basis == "published"
    ]


def _quality_seconds(steps: Quality, text_bytes: int) -> int:
    """Estimated core time of a source's quality steps."""
    names = [step.name for step in steps]
    words = max((Fraction(1, WORD_STEP_BYTES_A_SECOND[name]) for name in names if name in WORD_STEP_BYTES_A_SECOND), default=Fraction(0))
    others = sum((Fraction(1, STEP_BYTES_A_SECOND[name]) for name in names if name in STEP_BYTES_A_SECOND), Fraction(0))
    return int(text_bytes * (words + others))


def _resources(
    recipe: LoadedRecipe, rows: Mapping[str, Mapping[str, Any]], supplies: Mapping[str, SupplyEstimate], total: int
) -> dict[str, int]:
    """Estimated disk, memory and core time: bytes and seconds.

    A definition is read once under the same quality steps, however many sources use it.
    """
    readings = {recipe.reading(name): (supply, recipe.recipe.sources[name].quality) for name, supply in supplies.items() if name in rows}
    text_bytes = int(sum(supply.tokens for supply, _ in readings.values()) * TEXT_BYTES_A_TOKEN)
    tokenized = documents = 0
    for row in rows.values():
        share = Fraction(row["tokenized_share_estimated"])
        tokenized += int((row["supply_tokens_estimated"] or row["resolved_tokens"]) * share)
        documents += int((row["supply_documents_estimated"] or 0) * share)
    token_bytes = recipe.tokenizer.dtype.itemsize
    ledger = sum(supply.documents for supply, _ in readings.values()) * LEDGER_BYTES_A_DOCUMENT
    seconds = {
        "read": text_bytes // READ_BYTES_A_SECOND,
        "tokenize": int(tokenized * TEXT_BYTES_A_TOKEN) // TOKENIZE_BYTES_A_SECOND,
        "write": total // WRITE_TOKENS_A_SECOND,
    }
    if any(steps for _, steps in readings.values()):
        seconds["quality"] = sum(_quality_seconds(steps, int(supply.tokens * TEXT_BYTES_A_TOKEN)) for supply, steps in readings.values())
    near = near_resources(recipe, {name: row["supply_documents_estimated"] or 0 for name, row in rows.items()}, text_bytes)
    if near:
        seconds["near"] = near.pop("core_seconds_near")
    return {
        **near,
        "text_bytes": text_bytes,
        "store_bytes": tokenized * token_bytes + ledger + documents * (SELECT_BYTES_A_DOCUMENT + 12),
        "mix_bytes": total * token_bytes + documents * MIX_BYTES_A_DOCUMENT,
        "worker_bytes": INGEST_WORKER_BYTES,
        "core_seconds": sum(seconds.values()),
    } | {f"core_seconds_{name}": value for name, value in seconds.items()}


def budget_fit(budget: Mapping[str, Any] | None, *, whole: bool, num_tokens: int, quota_tokens: int | None = None) -> TrainerFit:
    """How a mix fits the trainers: at its recipe's schedule where the budget is given in steps and the mix is of full size.

    Args:
        budget: of a canonical recipe, {tokens} or {steps, batch, sequence}; untrusted, since a manifest may hold it.
        quota_tokens: of a mix that shrank, what it would hold otherwise: trainers keep the schedule that was meant for that.
    """
    given = [value for name in ("sequence", "batch", "steps") if isinstance(value := (budget or {}).get(name), int) and 0 < value < 1 << 48]
    sequence, batch, steps = given if len(given) == 3 else (2048, 2048, None)
    if steps is None or not whole:
        steps = trainer_fit(quota_tokens, sequence, batch).steps if quota_tokens else None
    return trainer_fit(num_tokens, sequence, batch, steps)


def fit_json(fit: TrainerFit) -> dict[str, Any]:
    """A trainer fit in integers and text; shares of documents in per cent with one decimal."""
    readings = {}
    for reading in fit.readings:
        value = asdict(reading)
        if reading.exposure:
            value["exposure"] = {name: f"{100 * share:.1f}%" for name, share in asdict(reading.exposure).items()}
        readings[reading.trainer] = {**value, "warnings": list(reading.warnings)}
    return {"steps": fit.steps, "inferred": fit.inferred, "batch": fit.batch, "sequence": fit.sequence, "trainers": readings}
