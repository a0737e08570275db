"""The page: what its sections show, put into the template."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mixtures.audit.portrait import Portrait, portray
from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.trace import TracedMix
from mixtures.trainers.schedule import fit_json
from mixtures.words import share_text
from pipeline import report
from pipeline.commands.build.removals import (
    PLACEBO_TITLE,
    filter_title,
    placebo_table,
    removal_table,
)
from pipeline.commands.destination import refuse_file
from pipeline.commands.export.arm import arm_section
from pipeline.commands.export.html import bars, curves, figures
from pipeline.commands.export.html.samples import removed, sampled, scores
from pipeline.commands.page.elements import Table, hue, render, require_packages, visible
from pipeline.report import plural, printable
from pipeline.store.records import write_whole

FOLDER = Path(__file__).parent


def write_page(
    mix: Path, file: Path, store: Path | None, tokenizer: Path | None, samples: int
) -> None:
    """Write the page of a finished mix.

    Args:
        store: the mix was built from it; None leaves out what only it knows. tokenizer: decodes the
            samples; None shows no text.
        samples: documents of each source; 0 of a public mix, which does not say where they lay.

    Raises:
        RecipeError: a package of the extra is missing, or as `refuse_file`. ManifestError: mix,
            store or tokenizer is damaged or another.
    """
    refuse_file(file, mix)
    write_whole(file, page(mix, store, tokenizer, samples).encode())


def page(mix: Path, store: Path | None, tokenizer: Path | None, samples: int) -> str:
    """The page as text; as `write_page`."""
    require_packages()
    from pipeline.commands.export.html.pictures import pictures

    claims = read_claims(mix)
    with report.counted("read the documents") as progress:
        portrait = portray(mix, claims, samples, progress)
    beside = None
    if store:
        from pipeline.commands.trace.arm import open_store

        beside = open_store(claims, store)
    found_scores = scores(beside) if beside else []
    values = {
        **_sections(mix, claims, portrait),
        **_contents(claims, stored=beside is not None, sampled=samples > 0),
        **pictures(claims, portrait, found_scores),
        "similarity": figures.similarity,
        "samples": _samples(mix, claims, portrait, tokenizer),
        "removed": removed(beside, samples) if beside else {},
        "scores": found_scores,
        "has_texts": tokenizer is not None,
    }
    return render(FOLDER / "page.html.j2", values)


def _sections(mix: Path, claims: Claims, portrait: Portrait) -> dict[str, object]:
    """Everything that is shown as text, tables or bars."""
    fit = claims.fit(claims.total_tokens)
    placebos = placebo_table(claims.filters)
    bound = [one for one in claims.sources if one.non_commercial and one.realised_tokens]
    return {
        "claims": claims,
        "name": printable(claims.name),
        "description": _description(claims),
        "command": figures.build_command(claims),
        "recipe": visible(json.dumps(claims.recipe, indent=1, ensure_ascii=False)),
        "strands": [
            {"name": printable(source.label), "hue": hue(number)}
            for number, source in enumerate(claims.sources)
        ],
        "pictured": figures.pictured(claims),
        "built": _built(mix),
        "size": claims.size,
        "non_commercial": [printable(one.label) for one in bound if not one.copy_number],
        "non_commercial_share": share_text(
            sum(one.realised_tokens for one in bound), claims.total_tokens
        ),
        "rows_read": sum(counts.get("rows", 0) for counts in claims.removed.values()),
        "whole": bars.whole(claims),
        "shares": bars.shares(claims),
        "waterfall": bars.waterfall(claims),
        "fate_bars": bars.fates(claims),
        "cluster_bars": bars.clusters(claims),
        "composition": bars.composition(portrait),
        "source_table": figures.source_table(claims),
        "short_notes": figures.short_notes(claims),
        "fate_table": figures.fate_table(claims),
        "quality_table": figures.quality_table(claims),
        "fates": figures.used_fates(claims),
        "filter_title": filter_title(claims),
        "filter_table": Table.of(removal_table(claims), total=True) if claims.filters else None,
        "placebo_title": PLACEBO_TITLE,
        "placebo_table": Table.of(placebos, total=True) if placebos else None,
        "arm": arm_section(claims),
        "contamination": (
            claims.contamination if isinstance(claims.contamination, ContaminationClaim) else None
        ),
        "stray_table": curves.stray_table(claims),
        "length_table": curves.length_table(claims, portrait),
        "epoch_table": figures.epoch_table(claims, portrait),
        "fit": fit_json(fit) if fit else None,
        "licence_table": figures.licence_table(claims),
        "hub_links": figures.hub_links(claims),
        "inputs": figures.input_tables(claims.inputs),
        "excluded": [
            f"{printable(item.source)} of {printable(item.recipe)}" for item in claims.excluded
        ],
    }


_SECTIONS = {
    "sources": "What it is made of",
    "rows": "What became of every row",
    "arm": "What differs from the base",
    "stream": "Evenly along the stream",
    "lengths": "Document lengths",
    "scores": "Scores and threshold",
    "clusters": "Near-duplicates",
    "epochs": "Epochs and copies",
    "trainers": "Trainer fit",
    "again": "Build it again",
    "licences": "Licences",
    "inputs": "Inputs",
    "documents": "Documents",
}


def _contents(claims: Claims, *, stored: bool, sampled: bool) -> dict[str, object]:
    """The sections that have something to show, and a word on what the others would have said.

    Args:
        stored: whether the store is at hand, which alone knows scores. sampled: whether documents
            are asked for.
    """
    scored = any(item.classifier for item in claims.filters)
    repeated = any(
        source.epochs > 1 or source.copy_number or source.insert for source in claims.sources
    )
    missing = {
        "scores": None if scored else "a filter that scores" if claims.filters else "a filter",
        "clusters": None if claims.near else "a search for near-duplicates",
        "epochs": None if repeated else "a source gone through twice, a copy or an insert",
    }
    absent = {name: words for name, words in missing.items() if words}
    left = {*absent, *(() if stored or sampled else ("documents",))}
    left |= set() if claims.study else {"arm"}
    return {
        "shown": {name: title for name, title in _SECTIONS.items() if name not in left},
        "absent": list(absent.values()),
        "has_store": stored,
    }


def _description(claims: Claims) -> str:
    """One sentence on the mix, for previews of links."""
    done = "flagged" if claims.masked else "removed"
    removed = "".join(
        f", {item.documents:,} documents of {item.tokens:,} tokens {done} by"
        f" {printable(item.label)}"
        for item in claims.filters
    )
    return (
        f"{claims.total_tokens:,} tokens in {claims.total_documents:,} documents of"
        f" {plural(len(claims.sources), 'source')}{removed}; identity {claims.identity[:16]}"
    )


def _built(folder: Path) -> dict[str, str]:
    """When and with which version the mix was built, as far as `build.json` says so; it is hashed
    nowhere, so nothing of it is trusted.
    """
    try:
        record = json.loads((folder / "build.json").read_bytes())
        date, version = str(record["finished"]), str(record["packages"]["annealmix"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {"date": "not recorded", "version": ""}
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", date, re.ASCII):
        return {"date": "not recorded", "version": ""}
    return {"date": date[:10], "version": printable(version)[:40]}


def _samples(
    mix: Path, claims: Claims, portrait: Portrait, tokenizer: Path | None
) -> list[dict[str, object]]:
    """The sampled documents of each strand that has any."""
    positions = [at for sampled_positions in portrait.samples for at in sampled_positions]
    documents = iter(sampled(TracedMix(mix), positions, tokenizer) if positions else [])
    return [
        {
            "name": printable(source.label),
            "source": source.name,
            "copies": source.copy_number,
            "hue": hue(number),
            "documents": [next(documents) for _ in portrait.samples[number]],
        }
        for number, source in enumerate(claims.sources)
    ]
