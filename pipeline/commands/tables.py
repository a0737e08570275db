"""What a build prints when it ends: what each source gave. `annealmix audit` tells the rest,
counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mixtures.audit.report import percent_text
from mixtures.mix.claims import Claims, CutClaim, PublishedClaims, SourceClaim
from mixtures.mix.judged import FilterClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import NEAR
from pipeline import report
from pipeline.places.places import Place

FILTER_TITLE = "removed by filters"
COLUMNS = ("source", "asked", "realised", "share", "documents", "epochs", "last document cut to")


def show(claims: Claims, folder: Place) -> None:
    """Print what a finished mix holds."""
    total = claims.total_tokens
    rows = [
        [
            source.label,
            f"{source.asked_tokens:,}",
            f"{source.realised_tokens:,}",
            f"{100 * source.realised_tokens / total:.4f}%",
            f"{source.documents:,}",
            str(source.epochs),
            cut_text(source.cut),
        ]
        for source in claims.sources
    ]
    rows.append(["total", "", f"{total:,}", "100.0000%", f"{claims.total_documents:,}", "", ""])
    report.table(f"{claims.name}: {folder}", COLUMNS, rows)
    if claims.filters:
        report.table(
            FILTER_TITLE,
            *filter_removal_table(claims.filters, claims.removed, claims.published, claims.sources),
        )
    for line in notes(claims.sources):
        report.say(line)
    report.print_fit(claims.fit(total))
    report.say(f"identity {claims.identity}")


def filter_removal_table(
    filters: Iterable[FilterClaim],
    removed: Mapping[str, Mapping[str, int]],
    published: PublishedClaims,
    sources: Iterable[SourceClaim],
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of what all filters together removed of each source, and in total, before
    its quota was met.

    The share is of the documents that filters judged there: those that were removed, and those that
    were kept (copies and further epochs aside). It is what is published of the authors' mixes.

    Args:
        filters, removed, published, sources: of a manifest.
    """
    counts: dict[str, list[int]] = {}  # documents, tokens, documents that were judged
    for item in filters:
        for name, figures in item.removed.items():
            sums = counts.setdefault(name, [0, 0, removed.get(name, {}).get("kept", 0)])
            gone = figures.first_documents
            counts[name] = [sums[0] + gone, sums[1] + figures.first_tokens, sums[2] + gone]
    counts["total"] = [sum(column) for column in zip(*counts.values(), strict=True)]
    stated = {
        source.name: figures.removed_percent if figures else None
        for source in sources
        for figures in [published.sources.get(source.name)]
    }
    rows = []
    for name, percent in {**stated, "total": published.removed_percent}.items():
        if name not in counts:  # an insert
            continue
        documents, tokens, judged = counts[name]
        share = f"{percent_text(documents, judged, 2)}%" if judged else "-"
        shown = f"{percent}%" if percent else "-"
        rows.append([name, f"{documents:,}", f"{tokens:,}", share, shown])
    return ["source", "documents", "tokens", "share of documents", "published share"], rows


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
                f"{name} was {report.plural(tokens, 'token')} short; {giver} gave what was missing"
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
    for reason, count in counts.items():
        name = (
            f"{reason.partition(' of ')[0]}s"
            if reason.startswith(("duplicate of ", NEAR))
            else reason
        )
        sums[name] = sums.get(name, 0) + count
    return sums


def fate_of(reason: str) -> str:
    """The kind of a joined reason."""
    return _KINDS.get(reason, "filter" if reason.startswith("filter ") else "early")


def waterfall_table(
    removed: Mapping[str, Counts], *, total: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: one row a source; the reasons in the order in which they are decided, those
    that occur.

    Args:
        removed: by source. total: whether the last row is the sum of the others.
    """
    counts = {name: joined(reasons) for name, reasons in removed.items()}
    columns = [
        "rows",
        *_in_order(
            {reason for found in counts.values() for reason, count in found.items() if count}
            - {"rows"}
        ),
    ]
    figures = [
        (name, [found.get(column, 0) for column in columns]) for name, found in counts.items()
    ]
    if total:
        figures.append(
            ("total", [sum(column) for column in zip(*(row for _, row in figures), strict=True)])
        )
    return ["source", *columns], [
        [name, *(f"{figure:,}" for figure in row)] for name, row in figures
    ]


def _in_order(reasons: set[str]) -> list[str]:
    kinds, known = list(FATES), list(_KINDS)
    places = {reason: known.index(reason) if reason in known else len(known) for reason in reasons}
    return sorted(
        reasons, key=lambda reason: (kinds.index(fate_of(reason)), places[reason], reason)
    )
