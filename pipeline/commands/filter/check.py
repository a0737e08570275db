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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mixtures.errors import AuditFailed, InputError
from mixtures.keys import DigestSet, digest_columns, text_digest
from mixtures.rules.levels import Level
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


class CountTokens(Protocol):
    """Tokens of some texts, in all."""

    def __call__(self, texts: list[str], /) -> int: ...


@dataclass
class CheckResult:
    """What was counted. places: (file, row, distinct terms, score in millionths or None) of the
    first flagged documents.

    flagged_tokens: without ends of documents; None if no tokenizer was given. reappeared: documents
        of which the digest is that of a
    removed one, None if no digests were given; returned: (file, row) of the first of them. failing:
    flagged or reappeared.
    """

    rows: int = 0
    documents: int = 0
    empty: int = 0
    unselected: int = 0
    quarantined: int = 0
    escalated: int = 0
    flagged: int = 0
    flagged_tokens: int | None = None
    reappeared: int | None = None
    failing: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    places: list[tuple[str, int, int, int | None]] = field(default_factory=list)
    returned: list[tuple[str, int]] = field(default_factory=list)

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
            found = judge.judge(texts)
            _count(result, found, reader.file.path, rows, texts, count_tokens)
            failing = found.flagged
            if known is not None:
                failing = failing | _count_returned(result, known, reader.file.path, rows, texts)
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
    found: Judgement,
    file: str,
    rows: list[int],
    texts: list[str],
    count_tokens: CountTokens | None,
) -> None:
    flagged = np.flatnonzero(found.flagged).tolist()
    result.documents += len(texts)
    result.escalated += int(found.escalated.sum())
    result.flagged += len(flagged)
    if count_tokens is not None and flagged:
        result.flagged_tokens = (result.flagged_tokens or 0) + count_tokens(
            [texts[at] for at in flagged]
        )
    for at in flagged[: PLACES - len(result.places)]:
        score = int(found.scores[at])
        result.places.append((file, rows[at], int(found.terms[at]), score if score >= 0 else None))


def _count_returned(
    result: CheckResult, known: DigestSet, file: str, rows: list[int], texts: list[str]
) -> npt.NDArray[np.bool_]:
    """Count the documents that were removed elsewhere: bool [num_docs]."""
    again = known.holds(digest_columns(b"".join(text_digest(text.encode()) for text in texts)))
    result.reappeared = (result.reappeared or 0) + int(again.sum())
    result.returned += [
        (file, rows[at]) for at in np.flatnonzero(again)[: PLACES - len(result.returned)].tolist()
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
        engine = open_engine("tokenizers", file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(
            f"{file}: is no tokenizer.json that can be read ({first}); give the published file with"
            " --tokenizer"
        ) from None
    return lambda texts: int(engine.encode(texts, parse=False)[1].sum())


def run_check(
    dataset: str,
    filter_name: str,
    *,
    limit: Fraction = Fraction(0),
    column: str | None = None,
    source: str | None = None,
    split: str = "train",
    tokenizer: Path | None = None,
    store: Path | None = None,
    level: Level | None = None,
    as_json: bool = False,
) -> int:
    """The command: print the counts, return the exit code (0, or 3 above the limit).

    Args:
        level: of the published ones, at which the filter judges. store: documents that filters
            removed there are looked for.
    """
    from mixtures.recipe.load import load_source_definition
    from pipeline.commands.filter.removed import removed_digests

    judge = Filter.load(filter_name, level)
    removed = removed_digests(store) if store else None
    counter = token_counter(tokenizer) if tokenizer else None
    found = find_dataset(
        dataset,
        column=column,
        source=load_source_definition(source) if source else None,
        split=split,
    )
    result = check(found, judge, counter, removed)
    answer = _answer(dataset, judge, found, result, limit)
    if as_json:
        report.result(answer)
    else:
        _show(answer)
    passed = result.passes(limit)
    unjudged = (
        f" and {report.plural(result.quarantined, 'row')} that cannot be judged"
        if result.quarantined
        else ""
    )
    returned = f", {result.reappeared:,} removed before" if result.reappeared is not None else ""
    flagged = (
        f"{result.flagged:,} of {report.plural(result.documents, 'document')} flagged{returned}"
    )
    verdict = f"{dataset}: {flagged}{unjudged}, limit {answer['limit']}"
    report.say(f"filter check {'passed' if passed else 'FAILED'}: {verdict}")
    return 0 if passed else AuditFailed.exit_code


def _answer(
    dataset: str, judge: Filter, found: Dataset, result: CheckResult, limit: Fraction
) -> dict[str, Any]:
    return {
        "what": WHAT,
        "dataset": dataset,
        "filter": {"name": judge.definition.name, "identity": judge.identity},
        "files": len(found.files),
        "files_not_read": list(found.unread),
        "rows": result.rows,
        "documents": result.documents,
        "empty": result.empty,
        "where": result.unselected,
        "quarantined": result.quarantined,
        "quarantine_reasons": dict(sorted(result.reasons.items())),
        "escalated": result.escalated,
        "flagged": result.flagged,
        "flagged_tokens": result.flagged_tokens,
        "flagged_rows": [
            dict(zip(("file", "row", "terms", "score"), place, strict=True))
            for place in result.places
        ],
        "reappeared": result.reappeared,
        "reappeared_rows": [
            dict(zip(("file", "row"), place, strict=True)) for place in result.returned
        ],
        "limit": str(limit),
        "passed": result.passes(limit),
    }


def _show(answer: dict[str, Any]) -> None:
    names = ["rows", "documents", "escalated", "flagged", "flagged_tokens", "quarantined", "empty"]
    if answer["where"]:
        names.append("where")
    if answer["reappeared"] is not None:
        names.append("reappeared")
    title = (
        f"{answer['dataset']} ({report.plural(answer['files'], 'file')}) against filter"
        f" {answer['filter']['name']}"
    )
    columns = [
        report.Column("filter", lambda answer: answer["filter"]["identity"], report.short_hash),
        *(report.Column(name.replace("_", " "), name, report.count) for name in names),
    ]
    report.Table([answer], columns).print(title)
    for place in answer["flagged_rows"][:SHOWN]:
        score = "" if place["score"] is None else f", score {place['score']:,} millionths"
        report.say(
            f"flagged: {place['file']} row {place['row']:,}"
            f" ({report.plural(place['terms'], 'distinct term')}{score})"
        )
    if answer["flagged"] > SHOWN:
        report.say(f"and {answer['flagged'] - SHOWN:,} more (--json names the first {PLACES:,})")
    for place in answer["reappeared_rows"][:SHOWN]:
        report.say(f"removed before: {place['file']} row {place['row']:,}")
    if (answer["reappeared"] or 0) > SHOWN:
        report.say(f"and {answer['reappeared'] - SHOWN:,} more (--json names the first {PLACES:,})")
    if answer["quarantine_reasons"]:
        reasons = ", ".join(
            f"{reason} {count:,}" for reason, count in answer["quarantine_reasons"].items()
        )
        report.say(f"not judged: {reasons}; such rows count against the limit as flagged ones do")
    if answer["files_not_read"]:
        more = " ..." if len(answer["files_not_read"]) > 5 else ""
        report.say(f"not read: {', '.join(answer['files_not_read'][:5])}{more}")
    report.say(f"this is {WHAT}")
