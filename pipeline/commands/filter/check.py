"""`annealmix filter check`: how much of a data set a filter flags. Texts and the terms in them are
never printed.

A flagged share above the limit is exit code 3. A row that cannot be read cannot be judged, and
counts against the limit as a flagged document does; a damaged file is an error (exit code 4), since
what could be read of it proves nothing.

Given the digests of documents that a build removed, a document that reappears, letter for letter,
counts against the limit as well, whatever the filter says of it now; one that is flagged, too,
counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import AuditFailed, InputError
from mixtures.keys import DigestSet, digest_columns, text_digest
from mixtures.rules.levels import Level
from mixtures.words import first_line
from mixtures.yaml.disk import read_bytes
from pipeline import report
from pipeline.commands.filter.inputs import Dataset, find_dataset
from pipeline.judges.filter import Filter, Judgement

WHAT = (
    "a check against accidents, not against an adversary: text that was reworded, encoded or"
    " translated passes it"
)
PLACES = 1000  # flagged rows that are named in the answer
SHOWN = 10  # and in the table's notes
_BATCH_CHARS, _BATCH_TEXTS = 1 << 20, 1024


CountTokens = Callable[[list[str]], int]
"""Tokens of some texts, in all."""


class FlaggedRow(NamedTuple):
    """Where a flagged document is. Its text and terms are not told."""

    file: str
    row: int
    terms: int
    """Distinct ones."""
    score: int | None
    """In millionths; None: not scored."""


class ReappearedRow(NamedTuple):
    """Where a document is that was removed elsewhere."""

    file: str
    row: int


@dataclass
class CheckResult:
    """What was counted so far, and in the end."""

    rows: int = 0
    documents: int = 0
    empty: int = 0
    unselected: int = 0
    """Left out by `where` of a source definition."""
    quarantined: int = 0
    escalated: int = 0
    flagged: int = 0
    flagged_tokens: int | None = None
    """Without ends of documents; None if no tokenizer was given."""
    reappeared: int | None = None
    """Documents whose digest is that of a removed one; None if no digests were given."""
    failing: int = 0
    """Flagged or reappeared."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of quarantined rows."""
    flagged_rows: list[FlaggedRow] = field(default_factory=list)
    """The first of them."""
    reappeared_rows: list[ReappearedRow] = field(default_factory=list)
    """Likewise."""

    def passes(self, limit: Fraction) -> bool:
        """Whether at most the limit's share of what should have been judged is flagged, has
        reappeared, or could not be judged.
        """
        return self.failing + self.quarantined <= limit * (self.documents + self.quarantined)


def check(
    dataset: Dataset,
    judge: Filter,
    count_tokens: CountTokens | None = None,
    removed: npt.NDArray[np.uint64] | None = None,
) -> CheckResult:
    """Read and judge every document.

    Args:
        removed: digests (`mixtures.keys.text_digest`) of removed documents, uint64 [num, 2],
            ascending; None to look for none.

    Raises:
        InputError: a file is damaged, not one row of all is a document, or an escalated one cannot
            be scored.
    """
    result = CheckResult(
        flagged_tokens=None if count_tokens is None else 0,
        reappeared=None if removed is None else 0,
    )
    known = None if removed is None else DigestSet(removed)
    for reader in dataset.readers():
        for rows, texts in _batches(reader):
            judgement = judge.judge(texts)
            _count(result, judgement, reader.file.path, rows, texts, count_tokens)
            failing = judgement.flagged
            if known is not None:
                failing = failing | _count_reappeared(result, known, reader.file.path, rows, texts)
            result.failing += int(failing.sum())
        counts = reader.counts
        result.rows += counts["rows"]
        result.empty += counts["empty"]
        result.unselected += counts["where"]
        result.quarantined += counts["quarantined"]
        result.reasons.update(bad.reason for bad in reader.quarantined)
    if result.documents == 0:
        raise InputError(
            f"none of {result.rows:,} rows is a document, so nothing was judged; name the column"
            " with --text-column"
        )
    return result


def _count(
    result: CheckResult,
    judgement: Judgement,
    file: str,
    rows: list[int],
    texts: list[str],
    count_tokens: CountTokens | None,
) -> None:
    flagged = np.flatnonzero(judgement.flagged).tolist()
    result.documents += len(texts)
    result.escalated += int(judgement.escalated.sum())
    result.flagged += len(flagged)
    if count_tokens is not None and flagged:
        result.flagged_tokens = (result.flagged_tokens or 0) + count_tokens(
            [texts[at] for at in flagged]
        )
    for at in flagged[: PLACES - len(result.flagged_rows)]:
        score = int(judgement.scores[at])
        result.flagged_rows.append(
            FlaggedRow(file, rows[at], int(judgement.terms[at]), score if score >= 0 else None)
        )


def _count_reappeared(
    result: CheckResult, known: DigestSet, file: str, rows: list[int], texts: list[str]
) -> npt.NDArray[np.bool_]:
    """Count the documents that were removed elsewhere: bool [num_docs]."""
    again = known.holds(digest_columns(b"".join(text_digest(text) for text in texts)))
    result.reappeared = (result.reappeared or 0) + int(again.sum())
    room = PLACES - len(result.reappeared_rows)
    result.reappeared_rows += [
        ReappearedRow(file, rows[at]) for at in np.flatnonzero(again)[:room].tolist()
    ]
    return again


def _batches(documents: Iterable[tuple[int, str]]) -> Iterator[tuple[list[int], list[str]]]:
    rows: list[int] = []
    texts: list[str] = []
    size = 0
    for row, text in documents:
        rows.append(row)
        texts.append(text)
        size += len(text)
        if size >= _BATCH_CHARS or len(texts) >= _BATCH_TEXTS:
            yield rows, texts
            rows, texts, size = [], [], 0
    if texts:
        yield rows, texts


def token_counter(file: Path) -> CountTokens:
    """Count with a tokenizer.json in the reference library; special strings in a text count as the
    characters that they are.

    Raises:
        InputError: the file is missing or no tokenizer.
    """
    from pipeline.tokens.engines import open_engine

    try:
        engine = open_engine("tokenizers", read_bytes(file))
    except Exception as error:  # the library raises plain Exception
        first = first_line(error)
        raise InputError(
            f"{file}: is no tokenizer.json that can be read ({first}); give the published file with"
            " --tokenizer"
        ) from None
    return lambda texts: int(engine.encode(texts, parse=False)[1].sum())


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What is to be checked, and how."""

    dataset: str
    filter: str
    """Its name, or its file."""
    limit: Fraction = Fraction(0)
    """Share of the documents that may be flagged, reappear or be unreadable."""
    column: str | None = None
    source: str | None = None
    """Name of the source definition in whose layout the files are."""
    split: str = "train"
    tokenizer: Path | None = None
    store: Path | None = None
    """Documents that filters removed there are looked for."""
    level: Level | None = None
    """Of the published ones, at which the filter judges."""
    filters: Path | None = None
    """Folder of the user's filters."""


@dataclass(frozen=True)
class CheckAnswer:
    """What a check says of a data set."""

    request: CheckRequest
    judge: Filter
    dataset: Dataset
    result: CheckResult

    @property
    def passed(self) -> bool:
        return self.result.passes(self.request.limit)

    @property
    def verdict(self) -> str:
        """For people, in a line."""
        result = self.result
        rows = report.plural(result.quarantined, "row")
        unjudged = f" and {rows} that cannot be judged" if result.quarantined else ""
        again = f", {result.reappeared:,} removed before" if result.reappeared is not None else ""
        documents = report.plural(result.documents, "document")
        return (
            f"filter check {'passed' if self.passed else 'FAILED'}: {self.request.dataset}:"
            f" {result.flagged:,} of {documents} flagged{again}{unjudged}, limit"
            f" {self.request.limit}"
        )

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        result = self.result
        return {
            "what": WHAT,
            "dataset": self.request.dataset,
            "filter": {"name": self.judge.definition.name, "identity": self.judge.identity},
            "files": len(self.dataset.files),
            "files_not_read": self.dataset.unread,
            "rows": result.rows,
            "documents": result.documents,
            "empty": result.empty,
            "where": result.unselected,
            "quarantined": result.quarantined,
            "quarantine_reasons": result.reasons,
            "escalated": result.escalated,
            "flagged": result.flagged,
            "flagged_tokens": result.flagged_tokens,
            "flagged_rows": [row._asdict() for row in result.flagged_rows],
            "reappeared": result.reappeared,
            "reappeared_rows": [row._asdict() for row in result.reappeared_rows],
            "limit": str(self.request.limit),
            "passed": self.passed,
        }


def run_check(request: CheckRequest, *, as_json: bool = False) -> int:
    """The command: print the counts, return the exit code (0, or 3 above the limit)."""
    from mixtures.recipe.load import load_source_definition
    from pipeline.commands.filter.removed import removed_digests

    judge = Filter.load(request.filter, request.level, request.filters)
    removed = removed_digests(request.store) if request.store else None
    count_tokens = token_counter(request.tokenizer) if request.tokenizer else None
    dataset = find_dataset(
        request.dataset,
        column=request.column,
        source=load_source_definition(request.source) if request.source else None,
        split=request.split,
    )
    result = check(dataset, judge, count_tokens, removed)
    answer = CheckAnswer(request, judge, dataset, result)
    if as_json:
        report.result(answer.as_json())
        report.say(answer.verdict)
    else:
        _show(answer)
        report.tell(answer.verdict)
    return 0 if answer.passed else AuditFailed.exit_code


def _show(answer: CheckAnswer) -> None:
    result = answer.result
    names = ("rows", "documents", "escalated", "flagged", "flagged_tokens", "quarantined", "empty")
    columns = [
        report.Column("filter", lambda _: answer.judge.identity, report.short_hash),
        *report.counts(*names),
    ]
    if result.unselected:
        columns.append(report.Column("where", "unselected", report.count))
    if result.reappeared is not None:
        columns += report.counts("reappeared")
    files = report.plural(len(answer.dataset.files), "file")
    title = f"{answer.request.dataset} ({files}) against filter {answer.judge.definition.name}"
    report.Table([result], columns).print(title)
    for flagged in result.flagged_rows[:SHOWN]:
        score = "" if flagged.score is None else f", score {flagged.score:,} millionths"
        terms = report.plural(flagged.terms, "distinct term")
        report.tell(f"flagged: {flagged.file} row {flagged.row:,} ({terms}{score})")
    _say_more(result.flagged)
    for again in result.reappeared_rows[:SHOWN]:
        report.tell(f"removed before: {again.file} row {again.row:,}")
    _say_more(result.reappeared or 0)
    if result.reasons:
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in sorted(result.reasons.items()))
        report.tell(f"not judged: {reasons}; such rows count against the limit as flagged ones do")
    if unread := answer.dataset.unread:
        report.tell(f"not read: {', '.join(unread[:5])}{' ...' if len(unread) > 5 else ''}")
    report.say(f"this is {WHAT}")


def _say_more(rows: int) -> None:
    if rows > SHOWN:
        report.tell(f"and {rows - SHOWN:,} more (--json names the first {PLACES:,})")
