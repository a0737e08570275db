"""The part of a manifest that is known before a byte is written: what was asked, resolved and
selected, and from which inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mixtures.errors import AnnealmixError
from mixtures.keys import ALL_KEYS
from mixtures.mix import manifest as manifests
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.near import NEAR
from mixtures.stream.quotas import Quotas, Size
from mixtures.stream.selection import Selection
from pipeline.build.near import Found
from pipeline.inputs.quality.quality import PREFIX
from pipeline.inputs.survey import SourceInputs
from pipeline.stages.eligible import Choice, RemovalFigures, removal_figures, score_digest
from pipeline.stages.write import Layout


def describe(
    recipe: LoadedRecipe,
    size: Size,
    layout: Layout,
    quotas: Quotas,
    choices: Mapping[str, Choice],
    inputs: dict[str, SourceInputs],
    contamination: dict[str, Any],
    near: Found | None,
) -> manifests.Manifest:
    """Describe a mix that is to be written.

    Args:
        choices: of each source and insert, in their order.
        contamination: what the evaluation sets found (`pipeline.build.contamination`).
        near: the search for near-duplicates, if the recipe asks for one.
    """
    strands = [strand for choice in choices.values() for strand in choice.strands]
    figures = {name: removal_figures(choice) for name, choice in choices.items()}
    return {
        "format": manifests.MANIFEST_FORMAT,
        "name": recipe.recipe.name,
        "recipe": recipe.canonical(),
        "recipe_digest": recipe.digest,
        "size": size.as_json(),
        "tokenizer": _tokenizer(recipe),
        "layout": {
            "token_dtype": np.dtype(layout.dtype).name,
            "chunk_tokens": layout.chunk_tokens,
            "slice_tokens": layout.slice_tokens,
        },
        "total_tokens": sum(strand.tokens for strand in strands),
        "total_documents": sum(strand.documents for strand in strands),
        "sources": [_strand(recipe, strand, quotas) for strand in strands],
        "removed": {
            name: waterfall(inputs[recipe.reading(name)], choice, figures[name])
            for name, choice in choices.items()
        },
        "contamination": contamination,
        "filters": [
            _filter(recipe, number, choices, figures) for number in range(len(recipe.filters))
        ],
        "near": _near(recipe, near, choices) if near else None,
        "excluded": _excluded(recipe),
        "published": (
            recipe.recipe.published.model_dump(mode="json", exclude_none=True)
            if recipe.recipe.published
            else {}
        ),
        # Of one definition under several quality steps the files are the same, and so is what is
        # said of them.
        "revisions": {
            found.definition.name: origin
            for _, found in sorted(inputs.items())
            if (origin := _revision(found))
        },
        "inputs": {found.definition.name: _inputs(found) for _, found in sorted(inputs.items())},
    }


def _tokenizer(recipe: LoadedRecipe) -> dict[str, Any]:
    said = {
        name: getattr(recipe.tokenizer, name) for name in ("name", "digest", "eod_id", "vocab_size")
    }
    return {**said, "special_tokens": recipe.recipe.special_tokens}


def _excluded(recipe: LoadedRecipe) -> list[dict[str, Any]]:
    """The sources of excluded recipes, which took their documents away."""
    return [
        {
            "recipe": other.recipe.name,
            "source": name,
            "definition": other.definitions[name].name,
            "keys": item.key_range.hex(),
        }
        for other in recipe.excluded
        for name, item in other.recipe.sources.items()
    ]


def _strand(recipe: LoadedRecipe, strand: Selection, quotas: Quotas) -> dict[str, Any]:
    """What a manifest says of a source, of the copies of some of its documents, or of an insert."""
    name, definition = strand.source, recipe.definitions[strand.source]
    insert = name in quotas.inserted
    keys = ALL_KEYS if insert else recipe.recipe.sources[name].key_range
    asked, resolved = (
        (strand.tokens, strand.tokens)
        if insert or strand.copy
        else (quotas.asked[name], quotas.resolved[name])
    )
    return {
        "name": name,
        "copy": strand.copy,
        "insert": insert,
        "definition": definition.name,
        "licence": definition.licence,
        "non_commercial": definition.non_commercial,
        "keys": [f"{key:x}" for key in keys],
        "asked_tokens": asked,
        "resolved_tokens": resolved,
        "documents": strand.documents,
        "epochs": strand.epochs,
        "longest_tokens": strand.longest,
        "refilled": {} if strand.copy else quotas.refilled.get(name, {}),
    }


def waterfall(
    inputs: SourceInputs, choice: Choice, figures: Sequence[RemovalFigures]
) -> dict[str, int]:
    """Rows of a source by what became of them; `rows` = the sum of all the others. A document that
    is repeated counts once as kept.

    Args:
        figures: of the choice's reasons (`removal_figures`).

    Raises:
        AnnealmixError: the rows do not balance.
    """
    counts: dict[str, int] = {"rows": 0, "where": 0, "empty": 0, "quarantined": 0}
    dropped: Counter[str] = Counter()
    documents, eligible = 0, choice.eligible
    for group, _ in inputs.groups:
        for name in counts:
            counts[name] += group.record["counts"].get(name, 0)
        dropped.update(
            {
                name: count
                for name, count in group.record["counts"].items()
                if name.startswith(PREFIX)
            }
        )
        documents += sum(group.segment_rows)
    kept = sum(run.documents for run in choice.first_epoch)
    removed = {
        reason: figure.first[0] for reason, figure in zip(eligible.reasons, figures, strict=True)
    }
    found = {
        **counts,
        **dict(sorted(dropped.items())),
        "out of key range": documents - eligible.in_range,
        **dict(sorted(eligible.duplicates.items())),
        **removed,
        "beyond quota": eligible.documents - sum(removed.values()) - kept,
        "kept": kept,
    }
    if (
        found["rows"] != sum(count for name, count in found.items() if name != "rows")
        or found["beyond quota"] < 0
    ):
        raise AnnealmixError(f"{eligible.name}: rows do not balance: {found}")
    return found


def _filter(
    recipe: LoadedRecipe,
    number: int,
    choices: Mapping[str, Choice],
    figures: Mapping[str, Sequence[RemovalFigures]],
) -> dict[str, Any]:
    """What a filter is, what it removed of each source within its quota, and the scores that it
    decided by.
    """
    item = recipe.filters[number]
    pin, classifier, model = item.definition.blocklist, item.definition.classifier, None
    if classifier:
        model = {
            "kind": classifier.kind,
            "digest": classifier.digest,
            "threshold": f"{classifier.threshold:f}",
        }
    return {
        "label": item.label,
        "identity": item.definition.identity,
        "placebo": item.placebo,
        "fraction": f"{item.request.fraction.normalize():f}",
        "blocklist": {"sha256": pin.sha256, "mode": pin.mode, "threshold": pin.threshold},
        "classifier": model,
        **filter_figures(number, choices, figures, scored=classifier is not None),
    }


def filter_figures(
    number: int,
    choices: Mapping[str, Choice],
    figures: Mapping[str, Sequence[RemovalFigures]],
    *,
    scored: bool,
) -> dict[str, Any]:
    """What a filter removed of each source within its quota, and the scores that it decided by:
    None if it is not `scored`.
    """
    judged = {name: choice for name, choice in choices.items() if choice.eligible.filters}
    mine = {
        name: figures[name][len(figures[name]) - choice.eligible.filters + number]
        for name, choice in judged.items()
    }
    scores = (
        dict(zip(("documents", "blake3"), score_digest(judged.values(), number), strict=True))
        if scored
        else None
    )
    removed = {
        name: {
            "documents": figure.removed[0],
            "tokens": figure.removed[1],
            "first_documents": figure.first[0],
            "first_tokens": figure.first[1],
        }
        for name, figure in mine.items()
    }
    return {"scores": scores, "removed": removed}


def _near(recipe: LoadedRecipe, found: Found, choices: Mapping[str, Choice]) -> dict[str, Any]:
    """The rule, the clusters over whole key ranges, and what gave way in each source."""
    assert recipe.recipe.near is not None
    return {
        **recipe.recipe.near.canonical(recipe.recipe.sources),
        **near_figures(found, choices, recipe.recipe.sources),
    }


def near_figures(
    found: Found, choices: Mapping[str, Choice], sources: Iterable[str]
) -> dict[str, Any]:
    """The clusters over whole key ranges, and what gave way in each source, inserts not among
    them.
    """
    dropped = {
        name: sum(
            count
            for reason, count in choices[name].eligible.duplicates.items()
            if reason.startswith(NEAR)
        )
        for name in sources
    }
    return {
        **{
            name: found.clusters[name]
            for name in ("documents", "clusters", "clustered", "sizes", "largest")
        },
        "dropped": dropped,
    }


def _inputs(found: SourceInputs) -> list[dict[str, Any]]:
    known = {file["path"]: file for group, _ in found.groups for file in group.inputs}
    return [
        {"path": file.path, "size": known[file.path]["size"], "sha256": known[file.path]["sha256"]}
        for file in found.files
    ]


def _revision(found: SourceInputs) -> str | None:
    """REPO@COMMIT of a source that was read from the hub; other places are not named, since they
    say nothing of the content.
    """
    url, path = found.files[0].url, found.files[0].path
    if not url.startswith(("hf://", "datasets://")) or url.startswith("datasets:///"):
        return None
    return url.split("://", 1)[1].removeprefix("datasets/").removesuffix(path).rstrip("/")
