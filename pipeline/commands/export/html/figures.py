"""The figures of the page, as plain tables and rows, from what the manifest claims and what was
counted in the tables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from huggingface_hub.constants import HUGGINGFACE_CO_URL_HOME

from mixtures.audit.portrait import Portrait
from mixtures.mix.claim import InputClaim, PublishedSource
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.words import share_text
from pipeline import report
from pipeline.commands.build.report import FATES, corpus_rows, fate_of, joined, waterfall_table
from pipeline.commands.export.card import REPOSITORY, shipped_name
from pipeline.commands.page.elements import MAX_PICTURES, Table
from pipeline.report import Column, count, plural, printable, printed_percent, short_hash, size

SHOWN_FILES = 12
_QUALITY = "quality "
"""How reasons of quality steps begin: `quality STEP: REASON`."""


def pictured(claims: Claims) -> list[int]:
    """The strands that have pictures of their own, in their order."""
    most = sorted(
        range(len(claims.sources)), key=lambda number: -claims.sources[number].realised_tokens
    )
    return sorted(most[:MAX_PICTURES])


def source_table(claims: Claims) -> Table:
    """Tokens and documents of each strand: asked, realised, published."""
    published, total = claims.published, {"source": "total", "asked tokens": asked_tokens(claims)}
    total |= dict.fromkeys(("realised tokens", "realised share"), claims.total_tokens)
    total["documents"] = claims.total_documents

    def share_of_mix(tokens: int) -> str:
        return share_text(tokens, claims.total_tokens)

    columns = [
        Column("source", lambda row: row[0].label),
        Column("asked tokens", lambda row: row[0].asked_tokens if row[1] else None, count),
        Column("realised tokens", lambda row: row[0].realised_tokens, count),
        Column("realised share", lambda row: row[0].realised_tokens, share_of_mix),
        Column("documents", lambda row: row[0].documents, count),
    ]
    if published.sources:
        columns.append(Column("published share", lambda row: row[2].percent, printed_percent))
    if published.sources and not is_preview(claims):
        columns.append(Column("published tokens", lambda row: row[2].tokens, count))
        columns.append(Column("published documents", lambda row: row[2].documents, count))
        total |= {"published tokens": published.tokens, "published documents": published.documents}
    rows: list[Any] = [(one, asks(one), published_of(claims, one)) for one in claims.sources]
    rows += [
        (one, True, published.sources.get(one.corpus) or PublishedSource())
        for one in corpus_rows(claims.sources, claims.corpora)
    ]
    return Table.of(report.Table(rows, columns, total), total=True)


def is_preview(claims: Claims) -> bool:
    """Whether the mix was built at another size than its recipe's."""
    return claims.size.tokens is not None or claims.size.scale is not None


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
    words = ["annealmix", "build", shipped_name(claims) or brought]
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
    for source in claims.sources:
        name = printable(source.label)
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
        [reason.removeprefix(_QUALITY), name, count(number)]
        for name, counts in waterfalls(claims).items()
        for reason, number in counts.items()
        if reason.startswith(_QUALITY) and number
    ]
    return Table(["step and reason", "source", "rows"], sorted(rows), texts=2) if rows else None


def by_fate(counts: Mapping[str, int]) -> dict[str, int]:
    """Rows of a source by FATES. counts: by reason."""
    sums = dict.fromkeys(FATES, 0)
    for reason, number in counts.items():
        if reason != "rows":
            sums[fate_of(reason)] += number
    return sums


def used_fates(claims: Claims) -> dict[str, str]:
    """Fates that occur, with their labels: a legend."""
    counted = list(map(by_fate, waterfalls(claims).values()))
    return {fate: label for fate, label in FATES.items() if any(one[fate] for one in counted)}


def waterfalls(claims: Claims) -> dict[str, dict[str, int]]:
    """Rows by reason of each source, by its name as it can be printed."""
    sources = [source.name for source in claims.sources if not source.copy_number]
    return {printable(name): joined(claims.removed.get(name, {})) for name in sources}


_EPOCH_COLUMNS = (
    Column("source", lambda row: row[0].label),
    Column("kind", lambda row: _kind(row[0])),
    Column("epochs", lambda row: row[0].epochs, count),
    Column("documents, first time", 1, count),
    Column("documents, again", lambda row: row[0].documents - row[1], count),
    Column("tokens", lambda row: row[0].realised_tokens, count),
)


def epoch_table(claims: Claims, portrait: Portrait) -> Table:
    """How often documents of each strand are in the mix."""
    rows = zip(claims.sources, portrait.first_documents, strict=True)
    return Table.of(report.Table(rows, _EPOCH_COLUMNS), texts=2)


def _kind(source: SourceClaim) -> str:
    return "insert" if source.insert else "second copies" if source.copy_number else "source"


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


_LICENCE_COLUMNS = (
    Column("source", "label"),
    Column("data set", "definition"),
    Column("licence", "licence"),
    Column("commercial use", "non_commercial", ("not forbidden", "forbidden").__getitem__),
    Column("tokens in the mix", "realised_tokens", count),
)


def licence_table(claims: Claims) -> Table:
    """The licence of each source, as its definition says."""
    sources = [source for source in claims.sources if not source.copy_number]
    return Table.of(report.Table(sources, _LICENCE_COLUMNS), texts=4)


_FILE_COLUMNS = (
    Column("file", "path"),
    Column("size", "size", size),
    Column("sha256", "sha256", lambda digest: f"{short_hash(digest)}…"),
)


def input_tables(inputs: Mapping[str, Sequence[InputClaim]]) -> list[tuple[str, str, Table]]:
    """(definition, sentence, files) of each definition that was read.

    Args:
        inputs: of a manifest.
    """
    tables = []
    for name, files in inputs.items():
        sentence = f"{plural(len(files), 'file')}, {size(sum(file.size for file in files))}"
        if len(files) > SHOWN_FILES:
            sentence += f"; the first {SHOWN_FILES} are listed, manifest.json has each"
        shown = report.Table(files[:SHOWN_FILES], _FILE_COLUMNS)
        tables.append((printable(name), sentence, Table.of(shown)))
    return tables
