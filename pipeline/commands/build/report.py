"""What a build prints when it ends: what each source gave. `annealmix audit` tells the rest,
counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Protocol

from mixtures.mix.claims import Claims, CutClaim, PublishedClaims, SourceClaim
from mixtures.mix.judged import ContaminationClaim, FilterClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import NEAR
from mixtures.words import percent_text, plural
from pipeline.commands.build.slots import print_mask, print_slots
from pipeline.places.places import Place
from pipeline.report import Column, Table, count, print_fit, say, tell

PLACEBO_TITLE = "placebos beside the filters that they imitate"


def show(claims: Claims, folder: Place) -> None:
    """Print what a finished mix holds."""
    tokens = claims.total_tokens

    def share_of_mix(part: int) -> str:
        return f"{percent_text(part, tokens, 4)}%"

    columns = (
        Column("source", "label"),
        Column("asked", "asked_tokens", count),
        Column("realised", "realised_tokens", count),
        Column("share", lambda source: source.realised_tokens, share_of_mix),
        Column("documents", "documents", count),
        Column("epochs", "epochs"),
        Column("last document cut to", "cut", cut_text),
    )
    total = {
        "source": "total",
        "realised": tokens,
        "share": tokens,
        "documents": claims.total_documents,
    }
    title = f"{claims.name}: {folder}"
    if claims.study:  # its sources are the base's, to the token
        tell(title)
    else:
        rows = [*claims.sources, *corpus_rows(claims.sources, claims.corpora)]
        Table(rows, columns, total).print(title)
    if claims.filters:
        removal_table(claims).print(filter_title(claims))
    if placebos := placebo_table(claims.filters):
        placebos.print(PLACEBO_TITLE)
    for line in drop_lines(claims):
        say(line)
    if claims.arm:
        print_slots(claims.arm, claims)
    if claims.mask:
        print_mask(claims.mask, claims)
    for line in mix_notes(claims.sources, claims.removed, claims.filters):
        say(line)
    if not claims.study:
        print_fit(claims.fit(tokens))
    tell(f"identity {claims.identity}")
    tell(f"mix id {claims.mix_id}")


def drop_lines(claims: Claims) -> list[str]:
    """What searches for near-duplicates and evaluation items dropped, where a recipe asks for them:
    documents in all, and of each source.
    """
    lines = []
    contamination = claims.contamination
    drops = isinstance(contamination, ContaminationClaim) and contamination.action == "drop"
    for asked, reason, what in (
        (claims.near is not None, "near-duplicates", "near-duplicates"),
        (drops, CONTAMINATED, "contaminated by evaluation sets"),
    ):
        counts = {
            name: number
            for name, rows in claims.removed.items()
            if (number := joined(rows).get(reason, 0))
        }
        if asked:
            of_each = ", ".join(f"{name} {number:,}" for name, number in counts.items())
            total = plural(sum(counts.values()), "document")
            lines.append(f"dropped, {what}: {total}{f' ({of_each})' if counts else ''}")
    return lines


class CorpusRow(NamedTuple):
    """All sources of a corpus, as tables of sources show them."""

    corpus: str
    asked_tokens: int
    realised_tokens: int
    documents: int
    epochs: None = None
    cut: None = None
    deviation: None = None

    @property
    def label(self) -> str:
        """Names it in tables."""
        return f"{self.corpus} in all"


def corpus_rows(sources: Iterable[SourceClaim], corpora: Mapping[str, str]) -> list[CorpusRow]:
    """One row a corpus. corpora: that of each source that is a part of one."""
    members: dict[str, list[SourceClaim]] = {}
    for source in sources:
        if (corpus := corpora.get(source.name)) and not source.insert:
            members.setdefault(corpus, []).append(source)
    return [
        CorpusRow(
            corpus,
            sum(source.asked_tokens for source in mine if not source.copy_number),
            sum(source.realised_tokens for source in mine),
            sum(source.documents for source in mine),
        )
        for corpus, mine in members.items()
    ]


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
    counts: dict[str, tuple[int, int, int]] = {}  # as `_RemovalRow` has them
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
        _RemovalRow(name, *counts[name], percent)
        for name, percent in stated.items()
        if name in counts  # an insert is not
    ]
    # a source may be called total
    rows.append(_RemovalRow("total", *total, published.removed_percent))
    return Table(rows, _REMOVAL_COLUMNS)


def _added(counts: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    documents = tokens = judged = 0
    for one in counts:
        documents, tokens, judged = documents + one[0], tokens + one[1], judged + one[2]
    return documents, tokens, judged


class _PlaceboRow(NamedTuple):
    """What a placebo removed of a source, and what it imitates there."""

    placebo: str
    source: str
    documents: int
    tokens: int
    imitated_documents: int
    imitated_tokens: int
    unmatched_documents: int
    unmatched_tokens: int
    elsewhere: str


_PLACEBO_COLUMNS = (
    Column("placebo", "placebo"),
    Column("source", "source", left=True),
    Column("its documents", "documents", count),
    Column("the filter's", "imitated_documents", count),
    Column("its tokens", "tokens", count),
    Column("the filter's", "imitated_tokens", count),
    Column(
        "off",
        lambda row: (
            f"{percent_text(row.tokens - row.imitated_tokens, row.imitated_tokens, 2)}%"
            if row.imitated_tokens
            else "-"
        ),
    ),
    Column("unmatched", "unmatched_documents", count),
    Column("of tokens", "unmatched_tokens", count),
    Column("matched elsewhere", "elsewhere", left=True),
)


def placebo_table(filters: Iterable[FilterClaim]) -> Table | None:
    """What placebos removed beside what the filters remove that they imitate, by source and in all;
    None if there are none.
    """
    rows = []
    for item in filters:
        if item.matched is None:
            continue
        mine = [
            _PlaceboRow(
                item.label,
                name,
                item.removed[name].documents,
                item.removed[name].tokens,
                said.documents,
                said.tokens,
                said.unmatched_documents,
                said.unmatched_tokens,
                ", ".join(f"{number:,} in {other}" for other, number in said.elsewhere.items()),
            )
            for name, said in item.matched.sources.items()
            if name in item.removed
        ]
        sums = [sum(getattr(row, name) for row in mine) for name in _PlaceboRow._fields[2:8]]
        rows += [*mine, _PlaceboRow._make([item.label, "total", *sums, ""])]
    return Table(rows, _PLACEBO_COLUMNS) if rows else None


def mix_notes(
    sources: Sequence[SourceClaim],
    removed: Mapping[str, Counts],
    filters: Iterable[FilterClaim],
) -> list[str]:
    """What a reader of a mix must know: of its sources, of inserts that a preview took in part, and
    of levels of filters that are one. Args: of a manifest.
    """
    lines = notes(sources)
    for source in sources:
        counts = removed.get(source.name, {})
        if source.insert and (left := counts.get("beyond quota", 0)):
            taken = counts.get("kept", 0)
            lines.append(
                f"insert.{source.name}: {taken:,} of {plural(taken + left, 'document')}, its share"
                " at this size of the mix; `whole: true` takes all of them"
            )
    return [*lines, *(line for item in filters for line in item.alike)]


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
