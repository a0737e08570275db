"""What a build prints when it ends: what each source gave. `annealmix audit` tells the rest,
counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple

from mixtures.audit.report import percent_text
from mixtures.mix.claims import Claims, CutClaim, PublishedClaims, SourceClaim
from mixtures.mix.judged import FilterClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import NEAR
from mixtures.words import plural
from pipeline.places.places import Place
from pipeline.report import Column, Table, count, print_fit, say, tell

FILTER_TITLE = "removed by filters"


def show(claims: Claims, folder: Place) -> None:
    """Print what a finished mix holds."""
    tokens = claims.total_tokens
    columns = (
        Column("source", "label"),
        Column("asked", "asked_tokens", count),
        Column("realised", "realised_tokens", count),
        Column("share", lambda source: 100 * source.realised_tokens / tokens, "{:.4f}%".format),
        Column("documents", "documents", count),
        Column("epochs", "epochs"),
        Column("last document cut to", "cut", cut_text),
    )
    total = {
        "source": "total",
        "realised": tokens,
        "share": 100,
        "documents": claims.total_documents,
    }
    Table(claims.sources, columns, total).print(f"{claims.name}: {folder}")
    if claims.filters:
        filter_removal_table(
            claims.filters, claims.removed, claims.published, claims.sources
        ).print(FILTER_TITLE)
    for line in notes(claims.sources):
        say(line)
    print_fit(claims.fit(tokens))
    tell(f"identity {claims.identity}")
    tell(f"mix id {claims.mix_id}")


class _RemovalRow(NamedTuple):
    """What all filters together removed of a source."""

    source: str
    documents: int
    tokens: int
    judged: int
    """Documents: those removed, and those kept."""
    published: str | None
    """Percent of the authors' documents."""


_REMOVAL_COLUMNS = (
    Column("source", "source"),
    Column("documents", "documents", count),
    Column("tokens", "tokens", count),
    Column(
        "share of documents",
        lambda row: f"{percent_text(row.documents, row.judged, 2)}%" if row.judged else "-",
    ),
    Column("published share", lambda row: f"{row.published}%" if row.published else "-"),
)


def filter_removal_table(
    filters: Iterable[FilterClaim],
    removed: Mapping[str, Mapping[str, int]],
    published: PublishedClaims,
    sources: Iterable[SourceClaim],
) -> Table:
    """What all filters together removed of each source, and in total, before its quota was met.

    The share is of the documents that filters judged there: those that were removed, and those that
    were kept (copies and further epochs aside). It is what is published of the authors' mixes.

    Args:
        filters, removed, published, sources: of a manifest.
    """
    counts: dict[str, tuple[int, int, int]] = {}  # as `_RemovalRow` has them
    for item in filters:
        for name, figures in item.removed.items():
            documents, tokens, judged = counts.get(
                name, (0, 0, removed.get(name, {}).get("kept", 0))
            )
            gone = figures.first_documents
            counts[name] = documents + gone, tokens + figures.first_tokens, judged + gone
    documents, tokens, judged = (sum(column) for column in zip(*counts.values(), strict=True))
    counts["total"] = documents, tokens, judged
    stated = {
        source.name: figures.removed_percent if figures else None
        for source in sources
        for figures in [published.sources.get(source.name)]
    }
    stated["total"] = published.removed_percent
    rows = [
        _RemovalRow(name, *counts[name], percent)
        for name, percent in stated.items()
        if name in counts  # an insert is not
    ]
    return Table(rows, _REMOVAL_COLUMNS)


def cut_text(cut: CutClaim | None) -> str:
    """How much of its last document a source keeps."""
    return f"{cut.kept_tokens:,} of {cut.num_tokens:,} tokens" if cut else "-"


def notes(sources: Sequence[SourceClaim]) -> list[str]:
    """What a reader of a mix must know of its sources: shortfalls, sources that give nothing,
    licences.
    """
    lines = []
    for source in sources:
        if source.copy_number:
            continue
        name = f"{'insert' if source.insert else 'sources'}.{source.name}"
        for giver, tokens in source.refilled.items():
            lines.append(
                f"{name} was {plural(tokens, 'token')} short; {giver} gave what was missing"
            )
        if source.epochs > 1 and not source.insert:
            lines.append(
                f"{name} was short of its quota; its documents are used up to {source.epochs} times"
            )
        if source.realised_tokens == 0:
            why = (
                "every document within its quota is removed"
                if source.resolved_tokens
                else "its quota is 0 tokens at this size"
            )
            lines.append(f"{name}: {why}; it is not in the mix")
        elif source.non_commercial:
            lines.append(f"{name}: licence {source.licence} forbids commercial use")
    return lines


Counts = Mapping[str, int]
"""Rows of a source by reason, and `rows`, the sum; as in a manifest's `removed`."""

FATES = {
    "early": "not a document, or dropped by a quality step",
    "range": "outside the key range",
    "exact": "exact copy, or excluded",
    "near": "near-duplicate",
    "contaminated": "holds an evaluation item",
    "filter": "removed by a filter",
    "quota": "beyond the quota",
    "kept": "in the mix",
}
"""Kinds of reasons in the order of eligibility, named as their colours in the page's style sheet.
"""

_KINDS = {
    "where": "early",
    "empty": "early",
    "quarantined": "early",
    "out of key range": "range",
    "duplicates": "exact",
    "excluded": "exact",
    "near-duplicates": "near",
    CONTAMINATED: "contaminated",
    "beyond quota": "quota",
    "kept": "kept",
}


def joined(counts: Counts) -> dict[str, int]:
    """The same with duplicates and near-duplicates added up over the sources that keep the other
    copy.
    """
    sums: dict[str, int] = {}
    for reason, rows in counts.items():
        name = (
            f"{reason.partition(' of ')[0]}s"
            if reason.startswith(("duplicate of ", NEAR))
            else reason
        )
        sums[name] = sums.get(name, 0) + rows
    return sums


def fate_of(reason: str) -> str:
    """The kind of a joined reason."""
    return _KINDS.get(reason, "filter" if reason.startswith("filter ") else "early")


def waterfall_table(removed: Mapping[str, Counts], *, total: bool = False) -> Table:
    """One row a source; the reasons in the order in which they are decided, those that occur.

    Args:
        removed: by source. total: whether the last row is the sum of the others.
    """
    rows = [(name, joined(counts)) for name, counts in removed.items()]
    occurring = {reason for _, counts in rows for reason, number in counts.items() if number}
    reasons = ["rows", *_in_order(occurring - {"rows"})]
    if total:
        sums = {reason: sum(counts.get(reason, 0) for _, counts in rows) for reason in reasons}
        rows.append(("total", sums))
    columns = [Column(reason, partial(_rows_of, reason), count) for reason in reasons]
    return Table(rows, [Column("source", itemgetter(0)), *columns])


def _rows_of(reason: str, row: tuple[str, Counts]) -> int:
    return row[1].get(reason, 0)


def _in_order(reasons: set[str]) -> list[str]:
    kinds, known = list(FATES), list(_KINDS)
    ranks = {reason: known.index(reason) if reason in known else len(known) for reason in reasons}
    return sorted(reasons, key=lambda reason: (kinds.index(fate_of(reason)), ranks[reason], reason))
