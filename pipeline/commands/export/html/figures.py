"""The figures of the page, as plain tables and rows, from what the manifest claims and what was
counted in the tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mixtures.audit.portrait import Portrait
from mixtures.audit.report import percent_text
from mixtures.mix.claims import Claims, InputClaim, PublishedSource, SourceClaim
from pipeline import report
from pipeline.commands.build.report import FATES, corpus_rows, fate_of, joined, waterfall_table
from pipeline.report import plural, printable, size

HUES = 10  # colours for strands in the style sheet
SHOWN_FILES = 12
Row = Mapping[str, object]
"""A row of a chart: values by the fields that the chart draws."""


@dataclass(frozen=True)
class Table:
    """A table. texts: how many columns at the left hold text; total: whether the last row is a
    sum.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    total: bool = False


MAX_PICTURES = 8


def hue(number: int) -> str:
    """Name of the colour of a strand."""
    return f"hue{number % HUES}"


def pictured(claims: Claims) -> list[int]:
    """The strands that have pictures of their own, in their order: those with the most tokens. Of
    hundreds nobody would look at all, and the tables have them.
    """
    most = sorted(
        range(len(claims.sources)), key=lambda number: -claims.sources[number].realised_tokens
    )
    return sorted(most[:MAX_PICTURES])


def names(claims: Claims) -> list[str]:
    """Each strand's name, as it can be printed."""
    return [printable(source.label) for source in claims.sources]


def shares(claims: Claims) -> list[Row]:
    """Rows of the chart of shares."""
    asked = _asked(claims)
    rows: list[Row] = []
    for number, (source, name) in enumerate(zip(claims.sources, names(claims), strict=True)):
        published = _published(claims, source).percent or ""
        row = {
            "name": name,
            "colour": f"var(--{hue(number)})",
            "realised": percent(source.realised_tokens, claims.total_tokens),
            "asked": percent(source.asked_tokens, asked) if _asks(source) else None,
            "published": (
                float(published)
                if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", published, re.ASCII)
                else None
            ),
        }
        rows.append(row)
    return rows


def source_table(claims: Claims) -> Table:
    """Tokens and documents of each strand: asked, realised, published."""
    published = claims.published
    columns = ["source", "asked tokens", "realised tokens", "realised share", "documents"]
    columns += (
        ["published share", "published tokens", "published documents"] if published.sources else []
    )
    rows = []
    for source, name in zip(claims.sources, names(claims), strict=True):
        row = [
            name,
            report.count(source.asked_tokens if _asks(source) else None),
            f"{source.realised_tokens:,}",
        ]
        row += [share(source.realised_tokens, claims.total_tokens), f"{source.documents:,}"]
        if published.sources:
            row += _published_cells(_published(claims, source))
        rows.append(row)
    for corpus in corpus_rows(claims.sources, claims.corpora):
        row = [printable(corpus.label), f"{corpus.asked_tokens:,}", f"{corpus.realised_tokens:,}"]
        row += [share(corpus.realised_tokens, claims.total_tokens), f"{corpus.documents:,}"]
        if published.sources:
            row += _published_cells(published.sources.get(corpus.corpus) or PublishedSource())
        rows.append(row)
    total = [
        "total",
        f"{_asked(claims):,}",
        f"{claims.total_tokens:,}",
        "100.00%",
        f"{claims.total_documents:,}",
    ]
    total += (
        ["", report.count(published.tokens), report.count(published.documents)]
        if published.sources
        else []
    )
    return Table(columns, [*rows, total], total=True)


def _published_cells(figures: PublishedSource) -> list[str]:
    return [
        f"{figures.percent}%" if figures.percent else "-",
        report.count(figures.tokens),
        report.count(figures.documents),
    ]


def _asks(source: SourceClaim) -> bool:
    return not (source.copy_number or source.insert)


def _asked(claims: Claims) -> int:
    return sum(source.asked_tokens for source in claims.sources if _asks(source))


def _published(claims: Claims, source: SourceClaim) -> PublishedSource:
    published = claims.published.sources.get(source.name) if _asks(source) else None
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


def fates(claims: Claims) -> tuple[list[Row], list[Row]]:
    """Rows of the waterfall over all sources, and of the stacked bars, one for each source."""
    sums = dict.fromkeys(FATES, 0)
    bars: list[Row] = []
    for name, reasons in _waterfalls(claims).items():
        total = reasons.get("rows", 0)
        counts = dict.fromkeys(FATES, 0)
        for reason, count in reasons.items():
            if reason != "rows":
                counts[fate_of(reason)] += count
                sums[fate_of(reason)] += count
        for order, (fate, count) in enumerate(counts.items()):
            if count:
                bars.append(
                    {
                        "name": name,
                        "colour": f"var(--{fate})",
                        "share": percent(count, total),
                        "order": order,
                    }
                )
    rows = sum(sums.values())
    steps: list[Row]
    steps, remaining = (
        [
            {
                "name": "rows read",
                "colour": "var(--read)",
                "begin": 0,
                "end": rows,
                "label": f"{rows:,}",
            }
        ],
        rows,
    )
    for fate, count in sums.items():
        if fate == "kept":
            steps.append(
                {
                    "name": FATES[fate],
                    "colour": "var(--kept)",
                    "begin": 0,
                    "end": remaining,
                    "label": f"{remaining:,}",
                }
            )
        elif count:
            steps.append(
                {
                    "name": FATES[fate],
                    "colour": f"var(--{fate})",
                    "begin": remaining - count,
                    "end": remaining,
                    "label": f"\N{MINUS SIGN}{count:,}",
                }
            )
            remaining -= count
    return steps, bars


def fate_table(claims: Claims) -> Table:
    """Rows of each source by what became of them; what occurs nowhere is left out."""
    table = waterfall_table(_waterfalls(claims), total=True)
    return Table([printable(name) for name in table.names], table.cells, total=True)


def used_fates(claims: Claims) -> dict[str, str]:
    """Fates that occur, with their labels: a legend."""
    occurring = {
        fate_of(reason)
        for counts in _waterfalls(claims).values()
        for reason, count in counts.items()
        if count and reason != "rows"
    }
    return {fate: label for fate, label in FATES.items() if fate in occurring}


def _waterfalls(claims: Claims) -> dict[str, dict[str, int]]:
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


def cluster_rows(claims: Claims) -> list[Row]:
    """Rows of the chart of cluster sizes."""
    sizes = (
        sorted((int(low), count) for low, count in claims.near.sizes.items()) if claims.near else []
    )
    return [
        {
            "name": f"{low:,}" + (f" to {2 * low - 1:,}" if low > 1 else "") + " documents",
            "count": count,
            "label": f"{count:,}",
        }
        for low, count in sizes
    ]


def similarity(ratios: Sequence[str]) -> str:
    """The least and the largest of exact ratios, in two decimals."""
    least, most = (choose(map(Fraction, ratios)) for choose in (min, max))
    return f"{float(least):.2f}" + ("" if least == most else f" to {float(most):.2f}")


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


def percent(part: int, whole: int) -> float:
    """For a chart, where a rounded figure suffices."""
    return round(100 * part / whole, 5) if whole else 0.0


def share(part: int, whole: int) -> str:
    return f"{percent_text(part, whole, 2)}%" if whole else "-"
