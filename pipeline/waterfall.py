"""What became of the rows of each source, for people: the kinds of reasons in the order in which they are decided, and the table."""

from __future__ import annotations

from collections.abc import Mapping

from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near import NEAR

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
"""Kinds of reasons in the order of eligibility, named as their colours in the page's style sheet."""

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
    """The same with duplicates and near-duplicates added up over the sources that keep the other copy."""
    sums: dict[str, int] = {}
    for reason, count in counts.items():
        name = f"{reason.partition(' of ')[0]}s" if reason.startswith(("duplicate of ", NEAR)) else reason
        sums[name] = sums.get(name, 0) + count
    return sums


def fate_of(reason: str) -> str:
    """The kind of a joined reason."""
    return _KINDS.get(reason, "filter" if reason.startswith("filter ") else "early")


def waterfall_table(removed: Mapping[str, Counts], *, total: bool = False) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: one row a source; the reasons in the order in which they are decided, those that occur.

    Args:
        removed: by source. total: whether the last row is the sum of the others.
    """
    counts = {name: joined(reasons) for name, reasons in removed.items()}
    columns = ["rows", *_in_order({reason for found in counts.values() for reason, count in found.items() if count} - {"rows"})]
    figures = [(name, [found.get(column, 0) for column in columns]) for name, found in counts.items()]
    if total:
        figures.append(("total", [sum(column) for column in zip(*(row for _, row in figures), strict=True)]))
    return ["source", *columns], [[name, *(f"{figure:,}" for figure in row)] for name, row in figures]


def _in_order(reasons: set[str]) -> list[str]:
    kinds, known = list(FATES), list(_KINDS)
    places = {reason: known.index(reason) if reason in known else len(known) for reason in reasons}
    return sorted(reasons, key=lambda reason: (kinds.index(fate_of(reason)), places[reason], reason))
