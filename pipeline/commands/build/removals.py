"""What filters and placebos removed, as tables of a build, an audit and a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from mixtures.mix.claim import PublishedClaims
from mixtures.mix.claims import SourceClaim
from mixtures.mix.judged.filters import FilterClaim
from mixtures.words import share_text
from pipeline.report import Column, Table, count, printed_percent

PLACEBO_TITLE = "placebos beside the filters that they imitate"


_REMOVAL_COLUMNS = (
    Column("source", 0),
    Column("documents", 1, count),
    Column("tokens", 2, count),
    Column("share of documents", lambda row: share_text(row[1], row[3])),
    Column("published share", 4, printed_percent),
)


class Removed(Protocol):
    """A finished mix, or an audit of one: what is said of removals."""

    @property
    def filters(self) -> Sequence[FilterClaim]: ...
    @property
    def removed(self) -> Mapping[str, Mapping[str, int]]: ...
    @property
    def published(self) -> PublishedClaims: ...
    @property
    def sources(self) -> Sequence[SourceClaim]: ...
    @property
    def corpora(self) -> Mapping[str, str]: ...
    @property
    def masked(self) -> bool: ...
    def given(self, source: str) -> int: ...


def filter_title(mix: Removed) -> str:
    """What `removal_table` shows."""
    return (
        "flagged by filters: in the mix, and masked there" if mix.masked else "removed by filters"
    )


def removal_table(mix: Removed) -> Table:
    """What all filters together removed of each source, and in total, before its quota was met.

    The share is of the documents that filters judged there: those that were removed, and those that
    were kept (copies, further epochs and donors of slots aside). It is what is published of the
    authors' mixes.
    """
    removed, published = mix.removed, mix.published
    # removed documents, their tokens, and documents that were removed or kept
    counts: dict[str, tuple[int, int, int]] = {}
    for item in mix.filters:
        for name, figures in item.removed.items():
            kept = removed.get(name, {}).get("kept", 0) - mix.given(name)
            documents, tokens, judged = counts.get(name, (0, 0, kept))
            gone = figures.first_documents
            counts[name] = documents + gone, tokens + figures.first_tokens, judged + gone
    total = _added(counts.values())
    stated = {
        source.name: figures.removed_percent if figures else None
        for source in mix.sources
        for figures in [published.sources.get(source.name)]
    }
    for corpus in dict.fromkeys(mix.corpora.values()):
        names = [name for name, one in mix.corpora.items() if one == corpus and name in counts]
        if names:
            label, known = f"{corpus} in all", published.sources.get(corpus)
            counts[label] = _added(counts[name] for name in names)
            stated[label] = known.removed_percent if known else None
    rows = [
        (name, *counts[name], percent)
        for name, percent in stated.items()
        if name in counts  # an insert is not
    ]
    # a source may be called total
    rows.append(("total", *total, published.removed_percent))
    return Table(rows, _REMOVAL_COLUMNS)


def _added(counts: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    documents = tokens = judged = 0
    for one in counts:
        documents, tokens, judged = documents + one[0], tokens + one[1], judged + one[2]
    return documents, tokens, judged


_PLACEBO_COLUMNS = (
    Column("placebo", 0),
    Column("source", 1, left=True),
    Column("its documents", 2, count),
    Column("the filter's", 3, count),
    Column("its tokens", 4, count),
    Column("the filter's", 5, count),
    Column("off", lambda row: share_text(row[4] - row[5], row[5])),
    Column("unmatched", 6, count),
    Column("of tokens", 7, count),
    Column("matched elsewhere", 8, left=True),
)


def placebo_table(filters: Iterable[FilterClaim]) -> Table | None:
    """What placebos removed beside what the filters remove that they imitate, by source and in all;
    None if there are none.
    """
    rows: list[tuple[Any, ...]] = []
    for item in filters:
        if item.matched is None:
            continue
        mine: list[tuple[Any, ...]] = [
            (
                *(item.label, name),
                *(item.removed[name].documents, said.documents),
                *(item.removed[name].tokens, said.tokens),
                *(said.unmatched_documents, said.unmatched_tokens),
                ", ".join(f"{number:,} in {other}" for other, number in said.elsewhere.items()),
            )
            for name, said in item.matched.sources.items()
            if name in item.removed
        ]
        sums = [sum(row[at] for row in mine) for at in range(2, 8)]
        rows += [*mine, (item.label, "total", *sums, "")]
    return Table(rows, _PLACEBO_COLUMNS) if rows else None
