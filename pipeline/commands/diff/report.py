"""A comparison of two mixes as people read it."""

from __future__ import annotations

from typing import Any

from mixtures.diff.figures import OTHERWISE, SIDES, DiffFigures, SharedFigures
from mixtures.words import plural
from pipeline.commands.diff.diff import MixDiff
from pipeline.report import Column, Table, count, short_hash, tell

MAX_TEXT = 60  # characters of a setting that are shown


def show(diff: MixDiff) -> None:
    """Print a comparison."""
    for side, path, mix in zip(SIDES, diff.paths, diff.claims, strict=True):
        tell(
            f"{side.upper()}: {mix.name}, {path}: {mix.total_documents:,} documents"
            f" (repeats counted), {mix.total_tokens:,} tokens, identity {short_hash(mix.identity)},"
            f" mix id {short_hash(mix.mix_id)}"
        )
    if diff.settings:
        Table(diff.settings, SETTING_COLUMNS).print("what differs in recipe, budgets and inputs")
    sources = source_rows(diff.figures)
    Table(sources, SOURCE_COLUMNS).print(
        "distinct documents by source, with the tokens of all their places"
    )
    if reasons := reason_rows(diff.figures):
        Table(reasons, REASON_COLUMNS).print("why not in the other")
    for line in notes(diff):
        tell(line)


SOURCE_COLUMNS = (
    Column("source", 0),
    Column("shared documents", 1, count),
    Column("tokens in A", 2, count),
    Column("tokens in B", 3, count),
    Column("only in A", 4, count),
    Column("tokens", 5, count),
    Column("only in B", 6, count),
    Column("tokens", 7, count),
)


def source_rows(figures: DiffFigures) -> list[list[Any]]:
    """What each source shares and has alone: distinct documents, and the tokens of all their
    places. Sources that share documents first, each kind by name; the total last.
    """
    alone = [source for side in SIDES for source, _ in sorted(figures.only[side])]
    rows: list[list[Any]] = []
    for source in dict.fromkeys([*sorted(figures.shared), *alone]):
        shared = figures.shared.get(source, SharedFigures())
        rows.append([source, shared.documents, shared.tokens_a, shared.tokens_b])
        for side in SIDES:
            only = [counts for (name, _), counts in figures.only[side].items() if name == source]
            rows[-1] += [sum(one.documents for one in only), sum(one.tokens for one in only)]
    sums = [sum(row[number] for row in rows) for number in range(1, len(SOURCE_COLUMNS))]
    return [*rows, ["total", *sums]]


REASON_COLUMNS = (
    Column("only in", 0),
    Column("source", 1, left=True),
    Column("documents", 2, count, left=True),
    Column("tokens", 3, count, left=True),
    Column("why", 4, left=True),
)


def reason_rows(figures: DiffFigures) -> list[tuple[str, str, int, int, str]]:
    """Why documents of one mix are not in the other."""
    return [
        (side.upper(), source, counts.documents, counts.tokens, f"not in {other}: {why}")
        for side, other in (("a", "B"), ("b", "A"))
        for (source, why), counts in sorted(figures.only[side].items())
    ]


def _short(value: object) -> str:
    if value is None:
        return "-"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


SETTING_COLUMNS = (
    Column("setting", "setting"),
    Column("A", "a", _short, left=True),
    Column("B", "b", _short, left=True),
)


def notes(diff: MixDiff) -> list[str]:
    """Sentences below the tables: documents that both have and that stand otherwise, the order, the
    verdict.
    """
    lines, figures = [], diff.figures
    if figures.differing:
        kinds = ", ".join(
            f"{figures.otherwise[kind]:,} by {_KINDS[kind]}"
            for kind in OTHERWISE
            if figures.otherwise[kind]
        )
        lines.append(f"{plural(figures.differing, 'shared document')} stand otherwise: {kinds}")
    for side, claims in zip(SIDES, diff.claims, strict=True):
        if claims.mask:
            lines.append(
                f"{side.upper()} masks {plural(claims.mask.tokens, 'token')}: they are read, and no"
                " targets"
            )
    order = figures.order
    assert order is not None
    if order.differs:
        where = " and ".join(
            f"document {position:,} of {side.upper()}"
            for side, position in zip(SIDES, order.differs, strict=True)
        )
        lines.append(f"the shared documents stand in another order: first at {where}")
    else:
        lines.append(
            f"the shared documents stand in the same order: {plural(order.places, 'place')}"
            " compared"
        )
    if not figures.same_tokenizer:
        lines.append("A and B have different tokenizers: tokens and lengths do not compare")
    _, claim = figures.claim
    if diff.identical:
        claim = "identical: the same tokens, documents and order"
        if len({mix.mix_id for mix in diff.claims}) > 1:
            claim += "; but they were asked otherwise, and are two mixes by their mix ids"
    lines.append(claim)
    return lines


_KINDS = {
    "source": "source",
    "cut": "cut",
    "repeated": "epochs",
    "copied": "copies",
    "inserted": "inserts",
    "length": "tokens",
}
