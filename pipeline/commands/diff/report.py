"""A comparison of two mixes as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixtures.diff.figures import OTHERWISE, SIDES
from mixtures.words import plural
from pipeline import report

Answer = Mapping[str, Any]
MAX_TEXT = 60  # characters of a setting that are shown


def source_table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: what each source shares and has alone, in different documents and the
    tokens of all their places.
    """
    columns = [
        "source",
        "shared documents",
        "tokens in A",
        "tokens in B",
        "only in A",
        "tokens",
        "only in B",
        "tokens",
    ]
    names = dict.fromkeys([*answer["shared"], *answer["only_a"], *answer["only_b"]])
    rows = []
    for name in names:
        shared = answer["shared"].get(name, {})
        row = [shared.get(figure, 0) for figure in ("documents", "tokens_a", "tokens_b")]
        for side in SIDES:
            reasons = answer[f"only_{side}"].get(name, {}).values()
            row += [
                sum(figures[figure] for figures in reasons) for figure in ("documents", "tokens")
            ]
        rows.append(row)
    rows.append([sum(column) for column in zip(*rows, strict=True)])
    return columns, [
        [name, *(f"{value:,}" for value in row)]
        for name, row in zip([*names, "total"], rows, strict=True)
    ]


def reason_table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: why documents of one mix are not in the other."""
    rows = []
    for side, other in (("a", "B"), ("b", "A")):
        for source, reasons in answer[f"only_{side}"].items():
            for reason, figures in reasons.items():
                rows.append(
                    [
                        side.upper(),
                        source,
                        f"{figures['documents']:,}",
                        f"{figures['tokens']:,}",
                        f"not in {other}: {reason}",
                    ]
                )
    return ["only in", "source", "documents", "tokens", "why"], rows


def setting_table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: the settings that differ."""
    rows = [[item["setting"], _short(item["a"]), _short(item["b"])] for item in answer["settings"]]
    return ["setting", "A", "B"], rows


def _short(value: Any) -> str:
    text = (
        "-"
        if value is None
        else f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def notes(answer: Answer) -> list[str]:
    """Sentences below the tables: documents that both have and that stand otherwise, the order, the
    verdict.
    """
    lines, otherwise, order = [], answer["shared_otherwise"], answer["order"]
    if otherwise["documents"]:
        kinds = ", ".join(
            f"{otherwise[kind]:,} by {_KINDS[kind]}" for kind in OTHERWISE if otherwise[kind]
        )
        lines.append(
            f"{plural(otherwise['documents'], 'shared document')} stand otherwise: {kinds}"
        )
    if order["first_difference"]:
        where = " and ".join(
            f"document {order['first_difference'][side]:,} of {side.upper()}" for side in SIDES
        )
        lines.append(f"the shared documents stand in another order: first at {where}")
    else:
        lines.append(
            f"the shared documents stand in the same order: {plural(order['places'], 'place')}"
            " compared"
        )
    lines.append(
        "identical: the same tokens, documents and order"
        if answer["identical"]
        else answer["claim"]["said"]
    )
    return lines


_KINDS = {
    "source": "source",
    "cut": "cut",
    "repeated": "epochs",
    "copied": "copies",
    "inserted": "inserts",
    "length": "tokens",
}


def show(answer: Answer) -> None:
    """Print a comparison to stderr."""
    for side in SIDES:
        said = answer[side]
        figures = (
            f"{said['documents_and_repeats']:,} documents (repeats counted), {said['tokens']:,}"
            " tokens"
        )
        report.say(
            f"{side.upper()}: {said['name']}, {said['path']}: {figures}, identity"
            f" {said['identity'][:16]}"
        )
    if answer["settings"]:
        report.table(
            "what differs in recipe, budgets and inputs", *setting_table(answer), numbers=False
        )
    report.table(
        "different documents by source, with the tokens of all their places", *source_table(answer)
    )
    if answer["only_a"] or answer["only_b"]:
        report.table("why not in the other", *reason_table(answer), numbers=False)
    for line in notes(answer):
        report.say(line)
