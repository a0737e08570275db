"""The figures of the page, as plain tables and rows, from what the manifest claims and what was
counted in the tables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction

from huggingface_hub.constants import HUGGINGFACE_CO_URL_HOME

from mixtures.audit.portrait import Portrait
from mixtures.mix.claim import InputClaim, PublishedSource
from mixtures.mix.claims import Claims, SourceClaim
from pipeline import report
from pipeline.commands.build.report import FATES, corpus_rows, fate_of, joined, waterfall_table
from pipeline.commands.export.card import REPOSITORY, shipped_name
from pipeline.commands.page.elements import MAX_PICTURES, Table, share_text
from pipeline.report import plural, printable, size

SHOWN_FILES = 12
_QUALITY = "quality "
"""How reasons of quality steps begin: `quality STEP: REASON`."""


def pictured(claims: Claims) -> list[int]:
    """The strands that have pictures of their own, in their order."""
    most = sorted(
        range(len(claims.sources)), key=lambda number: -claims.sources[number].realised_tokens
    )
    return sorted(most[:MAX_PICTURES])


def names(claims: Claims) -> list[str]:
    """Each strand's name, as it can be printed."""
    return [printable(source.label) for source in claims.sources]


def source_table(claims: Claims) -> Table:
    """Tokens and documents of each strand: asked, realised, published."""
    published, counts = claims.published, not is_preview(claims)
    columns = ["source", "asked tokens", "realised tokens", "realised share", "documents"]
    if published.sources:
        columns += ["published share"]
        columns += ["published tokens", "published documents"] if counts else []
    rows = []
    for source, name in zip(claims.sources, names(claims), strict=True):
        row = [
            name,
            report.count(source.asked_tokens if asks(source) else None),
            f"{source.realised_tokens:,}",
        ]
        row += [share_text(source.realised_tokens, claims.total_tokens), f"{source.documents:,}"]
        if published.sources:
            row += _published_cells(published_of(claims, source), counts=counts)
        rows.append(row)
    for corpus in corpus_rows(claims.sources, claims.corpora):
        row = [printable(corpus.label), f"{corpus.asked_tokens:,}", f"{corpus.realised_tokens:,}"]
        row += [share_text(corpus.realised_tokens, claims.total_tokens), f"{corpus.documents:,}"]
        if published.sources:
            stated = published.sources.get(corpus.corpus) or PublishedSource()
            row += _published_cells(stated, counts=counts)
        rows.append(row)
    total = [
        "total",
        f"{asked_tokens(claims):,}",
        f"{claims.total_tokens:,}",
        "100.00%",
        f"{claims.total_documents:,}",
    ]
    if published.sources:
        whole = PublishedSource(tokens=published.tokens, documents=published.documents)
        total += ["", *_published_cells(whole, counts=counts)[1:]]
    return Table(columns, [*rows, total], total=True)


def _published_cells(figures: PublishedSource, *, counts: bool) -> list[str]:
    """counts: whether tokens and documents are of the size that is published, not a preview's."""
    percents = f"{figures.percent}%" if figures.percent else "-"
    sizes = [report.count(figures.tokens), report.count(figures.documents)]
    return [percents, *(sizes if counts else [])]


def is_preview(claims: Claims) -> bool:
    """Whether the mix was built at another size than its recipe's."""
    return claims.size.tokens is not None or claims.size.scale is not None


def removed_figures(claims: Claims) -> list[tuple[str, int, int]]:
    """(label, documents, tokens) of what each filter removed."""
    return [
        (
            printable(item.label),
            sum(one.documents for one in item.removed.values()),
            sum(one.tokens for one in item.removed.values()),
        )
        for item in claims.filters
    ]


def build_command(claims: Claims) -> str:
    """The command that builds the mix again: from the name of a shipped recipe, else beside the
    file of the recipe, or of the study that an arm is of.
    """
    size = {
        name: value
        for name, value in claims.size.model_dump().items()
        if value is not None and (name in ("scale", "tokens") or claims.size.steps is not None)
    }
    brought = f"{claims.study.study if claims.study else claims.name}.yaml"
    words = ["annealmix", "build", next(shipped_name(claims), brought)]
    words += [word for name, value in size.items() for word in (f"--{name}", str(value))]
    return printable(shlex.join([*words, "--out", "DIR"]))


def asks(source: SourceClaim) -> bool:
    """Whether a strand has a quota of its own in the recipe."""
    return not (source.copy_number or source.insert)


def asked_tokens(claims: Claims) -> int:
    """Tokens that all strands ask."""
    return sum(source.asked_tokens for source in claims.sources if asks(source))


def published_of(claims: Claims, source: SourceClaim) -> PublishedSource:
    """What is published of a strand."""
    published = claims.published.sources.get(source.name) if asks(source) else None
    return published or PublishedSource()


def short_notes(claims: Claims) -> list[str]:
    """Who was short of its quota and who gave what was missing, and which documents end a quota."""
    notes = []
    for source, name in zip(claims.sources, names(claims), strict=True):
        for giver, tokens in source.refilled.items():
            notes.append(
                f"{name} was {tokens:,} tokens short; {printable(giver)} gave what was missing."
            )
        if source.realised_tokens == 0 and not source.copy_number:
            why = (
                "has no document within its quota that is not removed"
                if source.resolved_tokens
                else "has a quota of 0 tokens at this size"
            )
            notes.append(f"{name} {why} and is not in the mix.")
    return notes


def fate_table(claims: Claims) -> Table:
    """Rows of each source by what became of them; what occurs nowhere is left out, and the reasons
    of a quality step are one column (`quality_table` has each).
    """
    grouped: dict[str, dict[str, int]] = {}
    for name, counts in waterfalls(claims).items():
        sums = grouped.setdefault(name, {})
        for reason, number in counts.items():
            step = reason.partition(": ")[0] if reason.startswith(_QUALITY) else reason
            sums[step] = sums.get(step, 0) + number
    return Table.of(waterfall_table(grouped, total=True), total=True)


def quality_table(claims: Claims) -> Table | None:
    """Rows that quality steps dropped, by step, reason and source; None if they dropped none."""
    rows = [
        [printable(reason.removeprefix(_QUALITY)), name, f"{number:,}"]
        for name, counts in waterfalls(claims).items()
        for reason, number in counts.items()
        if reason.startswith(_QUALITY) and number
    ]
    return Table(["step and reason", "source", "rows"], sorted(rows), texts=2) if rows else None


def used_fates(claims: Claims) -> dict[str, str]:
    """Fates that occur, with their labels: a legend."""
    occurring = {
        fate_of(reason)
        for counts in waterfalls(claims).values()
        for reason, count in counts.items()
        if count and reason != "rows"
    }
    return {fate: label for fate, label in FATES.items() if fate in occurring}


def waterfalls(claims: Claims) -> dict[str, dict[str, int]]:
    """Rows by reason of each source, by its name as it can be printed."""
    sources = [source.name for source in claims.sources if not source.copy_number]
    return {printable(name): joined(claims.removed.get(name, {})) for name in sources}


def epoch_table(claims: Claims, portrait: Portrait) -> Table:
    """How often documents of each strand are in the mix."""
    rows = []
    for source, name, first in zip(
        claims.sources, names(claims), portrait.first_documents, strict=True
    ):
        kind = "insert" if source.insert else "second copies" if source.copy_number else "source"
        again = source.documents - first
        rows.append(
            [
                name,
                kind,
                f"{source.epochs:,}",
                f"{first:,}",
                f"{again:,}",
                f"{source.realised_tokens:,}",
            ]
        )
    return Table(
        ["source", "kind", "epochs", "documents, first time", "documents, again", "tokens"],
        rows,
        texts=2,
    )


def similarity(ratios: Sequence[str]) -> str:
    """The least and the largest of exact ratios, in two decimals."""
    least, most = (choose(map(Fraction, ratios)) for choose in (min, max))
    return f"{float(least):.2f}" + ("" if least == most else f" to {float(most):.2f}")


def hub_links(claims: Claims) -> list[tuple[str, str, str]]:
    """(data set, repository, address) of what is published on the hub: the commit where one is
    named.
    """
    found = {}
    for key in ("sources", "insert"):
        for item in claims.recipe.get(key, []):
            definition = item["definition"]
            repo, revision = (str(definition.get(name) or "") for name in ("repo", "revision"))
            if REPOSITORY.fullmatch(repo):
                commit = f"/tree/{revision}" if re.fullmatch("[0-9a-f]{40}", revision) else ""
                address = f"{HUGGINGFACE_CO_URL_HOME}datasets/{repo}{commit}"
                found[str(definition["name"])] = repo, address
    return [(printable(name), repo, address) for name, (repo, address) in found.items()]


def licence_table(claims: Claims) -> Table:
    """The licence of each source, as its definition says."""
    rows = []
    for source, name in zip(claims.sources, names(claims), strict=True):
        if not source.copy_number:
            use = "forbidden" if source.non_commercial else "not forbidden"
            rows.append(
                [
                    name,
                    printable(source.definition),
                    printable(source.licence),
                    use,
                    f"{source.realised_tokens:,}",
                ]
            )
    return Table(
        ["source", "data set", "licence", "commercial use", "tokens in the mix"], rows, texts=4
    )


def input_tables(inputs: Mapping[str, Sequence[InputClaim]]) -> list[tuple[str, str, Table]]:
    """(definition, sentence, files) of each definition that was read.

    Args:
        inputs: of a manifest.
    """
    tables = []
    for name, files in inputs.items():
        whole = size(sum(file.size for file in files))
        more = (
            f"; the first {SHOWN_FILES} are listed, manifest.json has each"
            if len(files) > SHOWN_FILES
            else ""
        )
        rows = [
            [printable(file.path), size(file.size), f"{file.sha256[:16]}…"]
            for file in files[:SHOWN_FILES]
        ]
        tables.append(
            (
                printable(name),
                f"{plural(len(files), 'file')}, {whole}{more}",
                Table(["file", "size", "sha256"], rows),
            )
        )
    return tables
