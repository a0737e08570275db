"""An audit as people read it: the sources against quota and published figures, the checks, the
trainers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixtures.audit.report import AuditReport, Check, SourceFigures, percent_text
from mixtures.mix.judged import NearClaim
from mixtures.words import plural
from pipeline import report
from pipeline.commands.tables import (
    FILTER_TITLE,
    cut_text,
    filter_removal_table,
    notes,
    waterfall_table,
)

CHECK_COLUMNS = ("check", "", "figure")


def source_table(audit: AuditReport) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: one row a source, and the total; published figures beside the realised ones
    where there are any.
    """
    stated = [*(source.published for source in audit.sources), audit.published]
    columns = [
        "source",
        "asked",
        "realised",
        "share",
        "documents",
        "epochs",
        "last document cut to",
        "strays from its share by",
        "of at most",
    ]
    rows = [_source_row(source, audit.total_tokens) for source in audit.sources]
    asked = f"{sum(source.asked_tokens for source in audit.sources if not source.copy_number):,}"
    share = f"{percent_text(audit.total_tokens, audit.total_tokens, 4)}%"
    rows.append(
        [
            "total",
            asked,
            f"{audit.total_tokens:,}",
            share,
            f"{audit.total_documents:,}",
            "",
            "",
            "",
            "",
        ]
    )
    if any(figures.model_dump(exclude={"sources"}, exclude_none=True) for figures in stated):
        columns += ["published share", "published documents"]
        percents = [source.published.percent for source in audit.sources]
        for row, percent, figures in zip(rows, [*percents, None], stated, strict=True):
            row += ["-" if percent is None else f"{percent}%", report.count(figures.documents)]
    return columns, rows


def _source_row(source: SourceFigures, total: int) -> list[str]:
    return [
        source.label,
        f"{source.asked_tokens:,}",
        f"{source.realised_tokens:,}",
        f"{percent_text(source.realised_tokens, total, 4)}%",
        f"{source.documents:,}",
        f"{source.epochs:,}",
        cut_text(source.cut),
        f"{source.deviation.measured_tokens:,} tokens",
        report.count(source.deviation.bound_tokens),
    ]


def check_rows(checks: Sequence[Check]) -> list[list[str]]:
    """One row a check: its name, whether it holds, what was measured."""
    return [
        [
            check.name,
            ("ok" if check.ok else "FAILED") if check.possible else "not possible",
            check.figure,
        ]
        for check in checks
    ]


def failure_lines(checks: Sequence[Check]) -> list[str]:
    """What is wrong, one sentence a failed check."""
    return [f"FAILED {check.name}: {check.detail}" for check in checks if not check.ok]


def note_lines(audit: AuditReport) -> list[str]:
    """Sentences below the tables: who gave what to whom, licences, the identity."""
    lines = notes(audit.sources)
    if audit.identity:
        lines.append(f"identity {audit.identity}")
    return lines


def verdict(checks: Sequence[Check]) -> str:
    """The last line: how many checks hold, and the names of those that do not, or cannot be
    made.
    """
    failed = [check.name for check in checks if not check.ok]
    impossible = [check.name for check in checks if not check.possible]
    lacking = f"; not possible in a public mix: {', '.join(impossible)}" if impossible else ""
    made = plural(len(checks) - len(impossible), "check")
    if not failed:
        return f"audit passed: {made}{lacking}"
    return f"audit FAILED: {len(failed):,} of {made}: {', '.join(failed)}{lacking}"


def filter_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of what a filter says of each source. figures: of
    `pipeline.commands.audit.filters.FilterAudit`.
    """
    names = ("documents", "one_below", "escalated", "approved", "flagged", "flagged_tokens")
    columns = [
        "source",
        "documents",
        "one term below",
        "escalated",
        "of these approved",
        "flagged",
        "flagged tokens",
    ]
    return columns, [
        [source, *(f"{counts[name]:,}" for name in names)]
        for source, counts in figures["sources"].items()
    ]


def near_table(near: NearClaim) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of clusters of near-duplicates by size."""
    sizes = sorted((int(size), count) for size, count in near.sizes.items())
    return ["documents in a cluster", "clusters"], [
        [f"{size:,} to {2 * size - 1:,}", f"{count:,}"] for size, count in sizes
    ]


def show(
    audit: AuditReport, more: Sequence[Check] = (), filters: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Print an audit to stderr. more: checks that were made beside it, such as those of
    `--against`; filters: figures of `--filter`.
    """
    checks = [*audit.checks, *more]
    if audit.sources:
        report.table(f"{audit.name}: {audit.path}", *source_table(audit))
        rows = {
            source.name: audit.removed.get(source.name, {})
            for source in audit.sources
            if not source.copy_number
        }
        report.table("rows of each source, by what became of them", *waterfall_table(rows))
    if audit.filters:
        report.table(
            FILTER_TITLE,
            *filter_removal_table(audit.filters, audit.removed, audit.published, audit.sources),
        )
    for figures in filters:
        report.table(
            f"filter {figures['name']}, identity {figures['identity'][:16]}", *filter_table(figures)
        )
    if audit.near:
        what = f"{audit.near.clustered:,} of {plural(audit.near.documents, 'document')}"
        report.table(
            f"clusters of near-duplicates: {what} in {audit.near.clusters:,}",
            *near_table(audit.near),
        )
        if audit.near.largest:
            sizes = ", ".join(f"{size:,}" for size in audit.near.largest)
            report.say(f"largest clusters: {sizes} documents")
    report.table("checks", CHECK_COLUMNS, check_rows(checks), numbers=False)
    report.print_fit(audit.fit)
    for line in [*note_lines(audit), *failure_lines(checks)]:
        report.say(line)
    report.say(verdict(checks))
