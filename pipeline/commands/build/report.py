"""What a build prints when it ends: what each source gave. `annealmix audit` tells the rest,
counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from mixtures.mix.claims import Claims, CutClaim, SourceClaim
from mixtures.mix.judged.contamination import ContaminationClaim
from mixtures.mix.judged.filters import FilterClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.near_request import NEAR
from mixtures.words import plural, share_text
from pipeline.commands.build.removals import (
    PLACEBO_TITLE,
    filter_title,
    placebo_table,
    removal_table,
)
from pipeline.commands.build.slots import print_mask, print_slots
from pipeline.places.places import Place
from pipeline.report import Column, Table, count, print_fit, say, tell


def show(claims: Claims, folder: Place) -> None:
    """Print what a finished mix holds."""
    tokens = claims.total_tokens
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
        Table(rows, source_columns(tokens), total).print(title)
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


def source_columns(total_tokens: int) -> tuple[Column, ...]:
    """What is told of each source of a mix. total_tokens: of the mix."""
    return (
        Column("source", "label"),
        Column("asked", "asked_tokens", count),
        Column("realised", "realised_tokens", count),
        Column("share", "realised_tokens", lambda part: share_text(part, total_tokens, 4)),
        Column("documents", "documents", count),
        Column("epochs", "epochs", count),
        Column("last document cut to", "cut", cut_text),
    )


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


def mix_notes(
    sources: Sequence[SourceClaim], removed: Mapping[str, Counts], filters: Iterable[FilterClaim]
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
    return Table(rows, [Column("source", 0), *columns])


def _rows_of(reason: str, row: tuple[str, Counts]) -> int:
    return row[1].get(reason, 0)


def _in_order(reasons: set[str]) -> list[str]:
    kinds, known = list(FATES), list(_KINDS)
    ranks = {reason: known.index(reason) if reason in known else len(known) for reason in reasons}
    return sorted(reasons, key=lambda reason: (kinds.index(fate_of(reason)), ranks[reason], reason))
