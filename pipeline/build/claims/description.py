"""The part of a manifest that is known before a byte is written: what was asked, resolved and
selected, and from which inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.errors import AnnealmixError
from mixtures.keys import ALL_KEYS
from mixtures.mix.claim import (
    InputClaim,
    LayoutClaim,
    PublishedClaims,
    SizeClaim,
    TokenizerClaim,
    TokenizerOrigin,
)
from mixtures.mix.claims import Description, ExcludedClaim, SelectedClaim
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.judged.filters import (
    BlocklistClaim,
    ClassifierClaim,
    FilterClaim,
    FilterFigures,
    FilterRuleClaim,
    PlaceboClaim,
    RemovedClaim,
    ScoresClaim,
)
from mixtures.mix.judged.near import ClusterClaim, NearClaim, NearFigures
from mixtures.mix.manifest import MANIFEST_FORMAT
from mixtures.recipe.filter_use import FilterUse
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.near_request import NEAR
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.rules.filter_definition import MILLION
from mixtures.rules.levels import SCORED_LEVELS, Level
from mixtures.stream.placebo import by_class
from mixtures.stream.quotas import Quotas, Size
from mixtures.stream.selection import Selection
from pipeline.build.near import Found
from pipeline.inputs.quality.quality import PREFIX
from pipeline.inputs.survey import SourceInputs
from pipeline.stages.chosen_figures import (
    RemovalFigures,
    flagged_above,
    removal_figures,
    score_digest,
)
from pipeline.stages.eligible import Choice
from pipeline.stages.mix_folder import Layout


@dataclass(frozen=True)
class Chosen:
    """What a build knows when everything is selected."""

    recipe: LoadedRecipe
    size: Size
    layout: Layout
    quotas: Quotas
    choices: Mapping[str, Choice]
    """Of each source and insert, in their order."""
    inputs: Mapping[str, SourceInputs]
    """By reading: a definition under its quality steps."""
    contamination: ContaminationClaim | None
    """What the evaluation sets found (`pipeline.build.claims.contamination`)."""
    near: Found | None
    """The search for near-duplicates, if the recipe asks for one."""
    placebos: Mapping[int, PlaceboClaim]
    """What placebos imitate, by number of the filter."""


def describe(chosen: Chosen) -> Description:
    """Describe a mix that is to be written."""
    recipe, choices, inputs = chosen.recipe, chosen.choices, chosen.inputs
    strands = [strand for choice in choices.values() for strand in choice.strands]
    figures = {name: removal_figures(choice) for name, choice in choices.items()}
    published = recipe.recipe.published
    # Of one definition under several quality steps the files are the same, and so is what is said
    # of them.
    by_definition = {read.definition.name: read for _, read in sorted(inputs.items())}
    return Description(
        format=MANIFEST_FORMAT,
        name=recipe.recipe.name,
        recipe=recipe.canonical(),
        recipe_digest=recipe.digest,
        size=SizeClaim.model_validate(chosen.size.as_json()),
        tokenizer=TokenizerClaim(
            name=recipe.tokenizer.name,
            digest=recipe.tokenizer.digest,
            eod=recipe.tokenizer.eod,
            eod_id=recipe.tokenizer.eod_id,
            bos=recipe.tokenizer.bos,
            bos_id=recipe.tokenizer.bos_id,
            vocab_size=recipe.tokenizer.vocab_size,
            special_tokens=recipe.recipe.special_tokens,
        ),
        tokenizer_origin=_tokenizer_origin(recipe.tokenizer),
        layout=LayoutClaim.model_validate(
            {
                "token_dtype": np.dtype(chosen.layout.dtype).name,
                "chunk_tokens": chosen.layout.chunk_tokens,
                "slice_tokens": chosen.layout.slice_tokens,
            }
        ),
        total_tokens=sum(strand.tokens for strand in strands),
        total_documents=sum(strand.documents for strand in strands),
        sources=[_strand(recipe, strand, chosen.quotas) for strand in strands],
        removed={
            name: waterfall(inputs[recipe.reading(name)], choice, figures[name])
            for name, choice in choices.items()
        },
        contamination=chosen.contamination or {},
        filters=[_filter(chosen, number, figures) for number in range(len(recipe.filters))],
        near=_near(recipe, chosen.near, choices) if chosen.near else None,
        excluded=_excluded(recipe),
        published=PublishedClaims.model_validate(
            published.model_dump(mode="json", exclude_none=True) if published else {}
        ),
        revisions={
            name: origin for name, read in by_definition.items() if (origin := _revision(read))
        },
        inputs={name: _inputs(read) for name, read in by_definition.items()},
    )


def _tokenizer_origin(definition: TokenizerDefinition) -> TokenizerOrigin | None:
    if definition.repo is None:
        return None
    return TokenizerOrigin(
        repo=definition.repo, revision=str(definition.revision), filename=definition.filename
    )


def _excluded(recipe: LoadedRecipe) -> list[ExcludedClaim]:
    """The sources of excluded recipes, which took their documents away."""
    return [
        ExcludedClaim(
            recipe=other.recipe.name,
            source=name,
            definition=other.definitions[name].name,
            keys=item.key_range.hex(),
        )
        for other in recipe.excluded
        for name, item in other.recipe.sources.items()
    ]


def _strand(recipe: LoadedRecipe, strand: Selection, quotas: Quotas) -> SelectedClaim:
    """A source, the copies of some of its documents, or an insert."""
    name, definition = strand.source, recipe.definitions[strand.source]
    insert = name in quotas.inserted
    keys = ALL_KEYS if insert else recipe.recipe.sources[name].key_range
    asked, resolved = (
        (strand.tokens, strand.tokens)
        if insert or strand.copy
        else (quotas.asked[name], quotas.resolved[name])
    )
    return SelectedClaim(
        name=name,
        copy_number=strand.copy,
        insert=insert,
        definition=definition.name,
        licence=definition.licence,
        non_commercial=definition.non_commercial,
        keys=keys.hex(),
        asked_tokens=asked,
        resolved_tokens=resolved,
        documents=strand.documents,
        epochs=strand.epochs,
        longest_tokens=strand.longest,
        refilled={} if strand.copy else quotas.refilled.get(name, {}),
        **({"rotation": strand.rotation} if strand.copy else {}),
    )


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
            counts[name] += group.record.counts.get(name, 0)
        dropped.update(
            {name: count for name, count in group.record.counts.items() if name.startswith(PREFIX)}
        )
        documents += group.record.documents
    kept = sum(choice.taken)
    removed = {
        reason: figure.first[0] for reason, figure in zip(eligible.reasons, figures, strict=True)
    }
    rows = {
        **counts,
        **dict(sorted(dropped.items())),
        "out of key range": documents - eligible.in_range,
        **dict(sorted(eligible.duplicates.items())),
        **removed,
        "beyond quota": eligible.documents - sum(removed.values()) - kept,
        "kept": kept,
    }
    if rows["rows"] != sum(rows.values()) - rows["rows"] or rows["beyond quota"] < 0:
        raise AnnealmixError(f"{eligible.name}: rows do not balance: {rows}")
    return rows


def _filter(
    chosen: Chosen, number: int, figures: Mapping[str, Sequence[RemovalFigures]]
) -> FilterClaim:
    item, choices = chosen.recipe.filters[number], chosen.choices
    scored = item.definition.classifier is not None
    done = filter_figures(number, choices, figures, scored=scored)
    levels = level_counts(item, number, choices)
    return filter_claim(item, done, chosen.placebos.get(number), levels)


def filter_claim(
    item: FilterUse,
    done: FilterFigures,
    matched: PlaceboClaim | None,
    levels: Mapping[Level, int],
) -> FilterClaim:
    """What a manifest says of a filter. matched: of a placebo; levels: as `level_counts`."""
    rule = filter_rule(item, matched)
    return FilterClaim(
        **dict(rule),
        scores=done.scores,
        removed=done.removed,
        lengths=done.lengths,
        levels=dict(levels),
    )


def filter_rule(item: FilterUse, matched: PlaceboClaim | None) -> FilterRuleClaim:
    """What a manifest says a filter decides by. matched: of a placebo."""
    pin, classifier = item.definition.blocklist, item.definition.classifier
    return FilterRuleClaim(
        label=item.label,
        identity=item.definition.identity,
        placebo=item.placebo,
        fraction=f"{item.request.fraction.normalize():f}",
        blocklist=BlocklistClaim(sha256=pin.sha256, mode=pin.mode, threshold=pin.threshold),
        classifier=(
            ClassifierClaim(
                kind=classifier.kind,
                digest=classifier.digest,
                threshold=f"{classifier.threshold:f}",
            )
            if classifier
            else None
        ),
        matched=matched,
    )


def level_counts(item: FilterUse, number: int, choices: Mapping[str, Choice]) -> dict[Level, int]:
    """Documents that each level of a filter with a classifier flags, weaker levels first; `strong`
    is what was scored. Empty without a classifier.
    """
    if item.definition.classifier is None:
        return {}
    above: dict[Level, int] = {
        level: int(pin.threshold * MILLION)
        for level in SCORED_LEVELS
        if (pin := item.brought.definition.levels.get(level))
    }
    above["strong"] = -1
    judged = [choice for choice in choices.values() if choice.eligible.filters]
    return dict(zip(above, flagged_above(judged, number, list(above.values())), strict=True))


def filter_figures(
    number: int,
    choices: Mapping[str, Choice],
    figures: Mapping[str, Sequence[RemovalFigures]],
    *,
    scored: bool,
) -> FilterFigures:
    """What a filter removed of each source within its quota, and the scores that it decided by:
    None if it is not `scored`.

    Args:
        figures: of each source's reasons, the filters' last (`removal_figures`).
    """
    judged = {name: choice for name, choice in choices.items() if choice.eligible.filters}
    removed, lengths = {}, dict[int, int]()
    for name, choice in judged.items():
        figure = figures[name][len(figures[name]) - choice.eligible.filters + number]
        removed[name] = RemovedClaim(
            documents=figure.removed[0],
            tokens=figure.removed[1],
            first_documents=figure.first[0],
            first_tokens=figure.first[1],
        )
        for length, count in figure.lengths.items():
            lengths[length] = lengths.get(length, 0) + count
    scores = None
    if scored:
        documents, hashed = score_digest(judged.values(), number)
        scores = ScoresClaim(documents=documents, blake3=hashed)
    return FilterFigures(
        scores=scores,
        removed=removed,
        lengths={str(least): count for least, count in by_class(lengths).items()},
    )


def _near(recipe: LoadedRecipe, search: Found, choices: Mapping[str, Choice]) -> NearClaim:
    """The rule, the clusters over whole key ranges, and what gave way in each source."""
    assert recipe.recipe.near is not None
    sources = recipe.recipe.sources
    figures = near_figures(search, choices, sources)
    return NearClaim.model_validate({**recipe.recipe.near.canonical(sources), **figures.as_json()})


def near_figures(
    search: Found, choices: Mapping[str, Choice], sources: Iterable[str]
) -> NearFigures:
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
    return NearFigures(
        documents=search.clusters.documents,
        clusters=search.clusters.clusters,
        clustered=search.clusters.clustered,
        sizes=search.clusters.sizes,
        largest=[
            ClusterClaim(
                documents=cluster.documents,
                sources={
                    search.names[int(place)]: count for place, count in cluster.sources.items()
                },
                survivor=cluster.survivor,
                similarities=[
                    f"{shared}/{max(together, 1)}"
                    for at, shared, together in (search.report.pairs if search.report else ())
                    if at == number
                ],
            )
            for number, cluster in enumerate(search.outline.largest)
        ],
        dropped=dropped,
    )


def _inputs(read: SourceInputs) -> list[InputClaim]:
    known = {file["path"]: file for group, _ in read.groups for file in group.record.inputs}
    return [
        InputClaim(path=file.path, size=known[file.path]["size"], sha256=known[file.path]["sha256"])
        for file in read.files
    ]


def _revision(read: SourceInputs) -> str | None:
    """REPO@COMMIT of a source that was read from the hub; other places are not named, since they
    say nothing of the content.
    """
    url, path = read.files[0].url, read.files[0].path
    if not url.startswith(("hf://", "datasets://")) or url.startswith("datasets:///"):
        return None
    return url.split("://", 1)[1].removeprefix("datasets/").removesuffix(path).rstrip("/")
