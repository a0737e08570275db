"""An audit as people read it: the sources against quota and published figures, the checks, the
trainers.
"""

from __future__ import annotations

from collections.abc import Sequence

from mixtures.audit.report import AuditReport, Check
from mixtures.mix.judged.near import NearClaim
from mixtures.words import plural
from pipeline.commands.audit.audit import MixAudit
from pipeline.commands.build.removals import (
    PLACEBO_TITLE,
    filter_title,
    placebo_table,
    removal_table,
)
from pipeline.commands.build.report import corpus_rows, mix_notes, source_columns, waterfall_table
from pipeline.commands.plan.report import print_published
from pipeline.report import Column, Table, count, print_fit, say, short_hash, tell


def source_table(audit: AuditReport) -> Table:
    """One row a source, one a corpus, and the total."""
    columns = [
        *source_columns(audit.total_tokens),
        Column(
            "strays from its share by",
            "deviation",
            lambda strays: f"{strays.measured_tokens:,} tokens" if strays else "-",
        ),
        Column(
            "of at most", "deviation", lambda strays: count(strays.bound_tokens if strays else None)
        ),
    ]
    total = {
        "source": "total",
        "asked": sum(source.asked_tokens for source in audit.sources if not source.copy_number),
        "realised": audit.total_tokens,
        "share": audit.total_tokens,
        "documents": audit.total_documents,
    }
    return Table([*audit.sources, *corpus_rows(audit.sources, audit.corpora)], columns, total)


def _outcome(check: Check) -> str:
    return ("ok" if check.ok else "FAILED") if check.possible else "not possible"


_CHECK_COLUMNS = (
    Column("check", "name"),
    Column("", _outcome, left=True),
    Column("figure", "figure", left=True),
)


def failure_lines(checks: Sequence[Check]) -> list[str]:
    """What is wrong, one sentence a failed check."""
    return [f"FAILED {check.name}: {check.detail}" for check in checks if not check.ok]


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


_FILTER_COLUMNS = (
    Column("source", "source"),
    Column("documents", "documents", count),
    Column("one term below", "one_below", count),
    Column("escalated", "escalated", count),
    Column("of these approved", "approved", count),
    Column("flagged", "flagged", count),
    Column("flagged tokens", "flagged_tokens", count),
)

_CLUSTER_COLUMNS = (
    Column("documents in a cluster", lambda row: f"{row[0]:,} to {2 * row[0] - 1:,}"),
    Column("clusters", 1, count),
)


def show(found: MixAudit) -> None:
    """Print an audit."""
    for line in found.not_checked:
        say(f"not checked: {line}")
    audit, checks = found.report, found.checks
    if audit.sources:
        source_table(audit).print(f"{audit.name}: {audit.path}")
        rows = {
            source.name: audit.removed.get(source.name, {})
            for source in audit.sources
            if not source.copy_number
        }
        waterfall_table(rows).print("rows of each source, by what became of them")
    print_published(audit.compared, "beside what is published")
    if audit.filters:
        removal_table(audit).print(filter_title(audit))
    if placebos := placebo_table(audit.filters):
        placebos.print(PLACEBO_TITLE)
    for item in found.filters:
        title = f"filter {item.name}, identity {short_hash(item.identity)}"
        Table(item.sources, _FILTER_COLUMNS).print(title)
    if audit.near:
        _show_near(audit.near)
    Table(checks, _CHECK_COLUMNS).print("checks")
    print_fit(audit.fit)
    for line in mix_notes(audit.sources, audit.removed, audit.filters):
        say(line)
    if audit.identity:
        tell(f"identity {audit.identity}")
        tell(f"mix id {audit.mix_id}")
    for line in failure_lines(checks):
        tell(line)
    tell(verdict(checks))


def _show_near(near: NearClaim) -> None:
    """Clusters of near-duplicates by size."""
    sizes = sorted((int(size), clusters) for size, clusters in near.sizes.items())
    what = f"{near.clustered:,} of {plural(near.documents, 'document')}"
    Table(sizes, _CLUSTER_COLUMNS).print(
        f"clusters of near-duplicates: {what} in {near.clusters:,}"
    )
    if near.largest:
        tell(f"largest clusters: {', '.join(map(count, near.largest_sizes))} documents")
