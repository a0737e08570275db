"""`annealmix diff A B --html FILE`: two mixes beside each other on one page, drawn with
`pipeline.commands.page`.

Who is to draw conclusions from the difference of two mixes sees what else differs: which documents
one of them alone has and why, their lengths and scores against those that stand in their place,
shares, order, and what trainers make of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixtures.audit.portrait import Lengths
from mixtures.diff.figures import SIDES, DiffFigures
from mixtures.mix.claims import Claims
from mixtures.words import share_text
from pipeline import report
from pipeline.commands.diff.diff import MixDiff
from pipeline.commands.diff.report import (
    REASON_COLUMNS,
    SETTING_COLUMNS,
    SOURCE_COLUMNS,
    notes,
    reason_rows,
    source_rows,
)
from pipeline.commands.page.axes import histogram_rows, length_edges, logit, mean_text, score_rows
from pipeline.commands.page.elements import (
    MAX_PICTURES,
    Bar,
    Table,
    hue,
    percent,
    render,
    visible_part,
)
from pipeline.report import count, printable
from pipeline.store.records import write_whole

TEMPLATE = Path(__file__).parent / "page.html.j2"


def write_page(diff: MixDiff, file: Path) -> None:
    """Write the page of a comparison, for which the packages of the extra are there."""
    write_whole(file, page(diff).encode())


def page(diff: MixDiff) -> str:
    """The page as text; as `write_page`."""
    a, b = diff.claims
    shared = sum(figures.documents for figures in diff.figures.shared.values())
    return render(
        TEMPLATE,
        {
            "a": a,
            "b": b,
            "names": [printable(mix.name) for mix in diff.claims],
            "shared_documents": shared,
            "only": {side: _sums(diff.figures, side) for side in SIDES},
            "whole": whole(diff),
            "sentences": [printable(line) for line in notes(diff)],
            "settings": Table.of(report.Table(diff.settings, SETTING_COLUMNS), texts=3),
            "shares": shares(diff.claims),
            "share_table": share_table(diff.claims),
            "source_table": Table.of(
                report.Table(source_rows(diff.figures), SOURCE_COLUMNS), total=True
            ),
            "reason_table": Table.of(
                report.Table(reason_rows(diff.figures), REASON_COLUMNS), texts=2
            ),
            "length_table": length_table(diff.figures),
            "trainer_table": trainer_table(diff.claims),
            "scores": diff.scores,
            "stored": diff.stored,
            "aligned": diff.claims[0].hashes.idx == diff.claims[1].hashes.idx,
            "stepless": " and ".join(
                side.upper()
                for side, mix in zip(SIDES, diff.claims, strict=True)
                if (fit := mix.fit(mix.total_tokens)) and not fit.steps
            ),
            **_pictures(diff),
        },
    )


def _sums(figures: DiffFigures, side: str) -> tuple[int, int]:
    """Documents of one mix alone, and the tokens of all their places."""
    return figures.documents(side), sum(one.tokens for one in figures.only[side].values())


def whole(diff: MixDiff) -> list[Bar]:
    """Tokens of each mix: of documents that both have, and of those that it alone has. The larger
    reaches the end.
    """
    most, bars = max(mix.total_tokens for mix in diff.claims), []
    for side, mix, colour in zip(SIDES, diff.claims, ("filter", "kept"), strict=True):
        _, only = _sums(diff.figures, side)
        both = percent(mix.total_tokens - only, most)
        parts = [visible_part(0, both, "quota"), visible_part(both, percent(only, most), colour)]
        bars.append(Bar(f"{side.upper()}: {mix.name}", f"{mix.total_tokens:,}", parts))
    return bars


def shares(claims: Sequence[Claims]) -> list[Bar]:
    """The share of each strand in A and in B, one bar above the other; the largest of all reaches
    the end.
    """
    rows = [
        (label, side, part, percent(part, mix.total_tokens), mix.total_tokens)
        for label, parts in _by_label(claims).items()
        for side, part, mix in zip(SIDES, parts, claims, strict=True)
    ]
    most = max((row[3] for row in rows), default=0.0) or 1.0
    return [
        Bar(
            f"{label}, {side.upper()}",
            share_text(part, total),
            [visible_part(0, 100 * of_mix / most, hue(number // 2))],
        )
        for number, (label, side, part, of_mix, total) in enumerate(rows)
    ]


def share_table(claims: Sequence[Claims]) -> Table:
    """Tokens and shares of each strand in A and in B."""
    totals = [mix.total_tokens for mix in claims]
    rows = [
        [label, *map(count, parts), *map(share_text, parts, totals)]
        for label, parts in [*_by_label(claims).items(), ("total", totals)]
    ]
    columns = ["source", "tokens in A", "tokens in B", "share of A", "share of B"]
    return Table(columns, rows, total=True)


def _by_label(claims: Sequence[Claims]) -> dict[str, list[int]]:
    """Tokens of each strand in A and in B, in the order of A, then of B."""
    tokens = [{one.label: one.realised_tokens for one in mix.sources} for mix in claims]
    return {
        label: [of_mix.get(label, 0) for of_mix in tokens]
        for label in dict.fromkeys(label for of_mix in tokens for label in of_mix)
    }


def length_table(figures: DiffFigures) -> Table:
    """How long the documents are that one mix alone has, by source: what was taken away beside what
    stands in its place.
    """
    rows = [
        [name, *_spread(figures, "a", name), *_spread(figures, "b", name)]
        for name in _alone(figures)
    ]
    columns = ["documents", "mean tokens", "10th percentile", "median", "90th percentile"]
    return Table(
        ["source", *(f"only in {side.upper()}: {name}" for side in SIDES for name in columns)], rows
    )


def _spread(figures: DiffFigures, side: str, source: str) -> list[str]:
    lengths = figures.lengths[side].get(source, Lengths())
    if not lengths.documents:
        return ["0", "-", "-", "-", "-"]
    percentiles = (count(lengths.percentile(part)) for part in (10, 50, 90))
    return [count(lengths.documents), mean_text(lengths), *percentiles]


def _alone(figures: DiffFigures) -> list[str]:
    """Sources of which one mix alone has a document, the most tokens first."""
    tokens: dict[str, int] = {}
    for side in SIDES:
        for name, lengths in figures.lengths[side].items():
            tokens[name] = tokens.get(name, 0) + lengths.tokens
    return sorted(tokens, key=lambda name: (-tokens[name], name))


def trainer_table(claims: Sequence[Claims]) -> Table:
    """What each trainer makes of A and of B at the schedules that they are meant for."""
    rows = [
        [
            reading.trainer,
            side.upper(),
            *map(count, (fit.steps, reading.single_epoch_steps, reading.epochs)),
            count(reading.first_repeat_step),
        ]
        for side, mix in zip(SIDES, claims, strict=True)
        if (fit := mix.fit(mix.total_tokens))
        for reading in fit.readings
    ]
    columns = ["trainer", "mix", "steps", "steps in one epoch", "epochs for those steps"]
    return Table([*columns, "repeats a document from step"], sorted(rows), texts=2)


def _pictures(diff: MixDiff) -> dict[str, object]:
    """Charts of lengths and scores. Imports what the extra `report` brings."""
    from pipeline.commands.page import charts

    lengths = []
    for number, source in enumerate(_alone(diff.figures)[:MAX_PICTURES]):
        name = printable(source)
        found = [diff.figures.lengths[side].get(source, Lengths()) for side in SIDES]
        edges = length_edges(max(one.longest for one in found))
        rows = histogram_rows(edges.tolist(), *(one.histogram(edges)[0].tolist() for one in found))
        title = f"Documents of {name} that A alone has, and that B alone has, by length"
        place = f"lengths{number}"
        lengths.append((name, charts.lengths(rows, int(edges[-1]), "var(--filter)", place, title)))
    return {
        "length_charts": lengths,
        "score_charts": [
            charts.scores(
                score_rows(scores.edges, scores.counts["a"], scores.counts["b"]),
                logit(scores.above),
                f"scores{number}",
                f"Scores that {printable(scores.label)} gave to documents that one mix alone has",
            )
            for number, scores in enumerate(diff.scores)
        ],
    }
