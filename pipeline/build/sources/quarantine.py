"""The rows and files of a build's sources that gave no document: what is printed of them, and when
they are too many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from mixtures.errors import InputError
from mixtures.words import plural
from pipeline.inputs.readers import Quarantined
from pipeline.inputs.survey import SourceInputs
from pipeline.report import say
from pipeline.stages.ingest import read_quarantine

LINES = 20
"""Files and reasons of a source that are printed; its quarantine has all."""


def report_rows(inputs: Mapping[str, SourceInputs]) -> None:
    """Print what was quarantined, by file and reason, with the first row of each, and how many
    files hold no row.

    Args:
        inputs: by source.
    """
    told = set[str]()
    for name, found in inputs.items():
        if found.reading in told:
            continue
        told.add(found.reading)
        counts = _counts(found)
        if empty := counts["empty_files"]:
            say(f"sources.{name}: {empty:,} of {plural(len(found.files), 'file')} hold no row")
        if left := counts["companions"]:
            say(f"sources.{name}: {plural(left, 'member')} of archives left out, which are no data")
        if bad := counts["quarantined"]:
            say(f"sources.{name}: {bad:,} of {plural(counts['rows'], 'row')} quarantined")
            for line in _by_file(found):
                say(f"  {line}")


def _by_file(found: SourceInputs) -> Iterator[str]:
    """`FILE: REASON, 3 rows, the first row 7: DETAIL`, files by name."""
    firsts: dict[tuple[str, str], Quarantined] = {}
    numbers: Counter[tuple[str, str]] = Counter()
    for bad in _quarantined(found):
        numbers[bad.path, bad.reason] += 1
        first = firsts.setdefault((bad.path, bad.reason), bad)
        if bad.row < first.row:
            firsts[bad.path, bad.reason] = bad
    for (path, reason), first in sorted(firsts.items())[:LINES]:
        rows = plural(numbers[path, reason], "row")
        yield f"{path}: {reason}, {rows}, the first row {first.row:,}: {first.detail}"
    if len(firsts) > LINES:
        yield (
            f"and {len(firsts) - LINES:,} more files and reasons; all rows are in quarantine.jsonl"
            " beside the ledgers of the store"
        )


def _quarantined(found: SourceInputs) -> Iterable[Quarantined]:
    for group, _ in found.groups:
        if group.record.counts.get("quarantined", 0):
            yield from read_quarantine(group.ledger)


def _counts(found: SourceInputs) -> Counter[str]:
    """The counts of a source's ledgers, added up."""
    counts: Counter[str] = Counter()
    for group, _ in found.groups:
        counts.update(group.record.counts)
    return counts


def refuse_bad_rows(inputs: Mapping[str, SourceInputs], max_quarantined: Decimal) -> None:
    """Hold the rows that were quarantined against the recipe's limit.

    Args:
        inputs: by source; those of excluded recipes too, since a document that cannot be read
            cannot be excluded.
        max_quarantined: share of a source's rows.

    Raises:
        InputError: names every source with too many, or without a single document.
    """
    faults = []
    for name, found in inputs.items():
        groups = [group for group, _ in found.groups]
        counts = _counts(found)
        rows, bad = counts["rows"], counts["quarantined"]
        if not any(group.record.documents for group in groups):
            faults.append(f"sources.{name}: {_why_empty(found, rows)}")
        if Decimal(bad) > max_quarantined * rows:
            worst = next(group for group in groups if group.record.counts.get("quarantined", 0))
            faults.append(
                f"sources.{name}: {bad:,} of {rows:,} rows are unreadable, max_quarantined allows a"
                f" share of {max_quarantined}; see {worst.ledger / 'quarantine.jsonl'}, mend the"
                " files or raise max_quarantined"
            )
    if faults:
        raise InputError("\n".join(faults))


def _why_empty(found: SourceInputs, rows: int) -> str:
    if not rows:
        return (
            f"its {plural(len(found.files), 'file')} hold not one row; bring files with documents"
        )
    return f"none of its {rows:,} rows is a document{_by_where(found)}"


def _by_where(found: SourceInputs) -> str:
    if found.quality:
        return (
            f" after its quality steps {', '.join(step.name for step in found.quality)}; ask less"
            " of them"
        )
    if not found.definition.where:
        return "; look at its quarantine and its empty texts"
    return f" for its `where` {found.definition.where}; mend the values in the source definition"
