"""Rows of a source read again: to say why one is no document (the ledger holds documents, and
counts of the rest), or for their texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters import adapter_columns, make_adapter
from pipeline.inputs.adapters.rows import repair_surrogates
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import content_unchanged, list_files
from pipeline.inputs.quality.quality import PostponedSteps, QualitySteps, open_steps
from pipeline.inputs.quality.rule import Dropped
from pipeline.inputs.readers import DocumentReader
from pipeline.inputs.readers.document import RowLayout
from pipeline.inputs.survey import SourceInputs
from pipeline.lookup.fate import NO_EXPLANATION, Explanation
from pipeline.places.places import Place
from pipeline.store.store import Group

_EMPTY = "empty"  # known by its identity: a text may say the same


def texts_of_rows(
    file: InputFile,
    definition: SourceDefinition,
    quality: QualitySteps | None,
    rows: Collection[int],
) -> tuple[dict[int, str], str]:
    """Training texts of some rows of a file, and the SHA-256 of its content; rows that are no
    documents have none.

    The whole file is read, since only its end shows that it is whole; quality steps see these rows
    alone.

    Raises:
        InputError: it is damaged, or in another layout than the definition says.
    """
    steps = PostponedSteps(quality) if quality else None
    reader, wanted, texts = DocumentReader(file, definition, quality=steps), frozenset(rows), {}
    for row, text in reader:
        if row in wanted and (left := _judged(text, steps)).text:
            texts[row] = left.text
    return texts, reader.sha256


class _Judged(NamedTuple):
    """A text after quality steps: what they leave of it, and what it is then."""

    text: str | None
    kind: str
    """`document`, or the reason of a drop."""


def _judged(text: str, steps: PostponedSteps | None) -> _Judged:
    """Put the text that a reader gave last through its steps."""
    outcome = steps.judge(text, steps.row) if steps else text
    if isinstance(outcome, Dropped):
        return _Judged(None, outcome.reason)
    return _Judged(outcome if outcome is text else repair_surrogates(outcome)[0], "document")


def fate_when_read(
    group: Group, source: SourceInputs, path: str, row: int, data: Place | None
) -> tuple[str, Explanation]:
    """Whether a row that is neither a document nor quarantined was empty, dropped by a quality
    step, or not selected by `where`.

    The whole file is read again, from `data` or from where the store found it, since only its end
    shows that it is the same; quality steps, which are slow, see the row alone. A file that is not
    at hand gives `no document`, with what is missing.

    Returns:
        The reason, and what explains it.

    Raises:
        RecipeError: the file has no such row. InputError: the file at hand is not the one that the
            store read.
    """
    definition = source.definition
    known = next(item for item in group.record.inputs if item["path"] == path)
    file = _at_hand(known, definition, data)
    if file is None:
        missing = (
            f"{known['url']} is not there as it was read; name the folder of the data with --data"
            " DIR, to say why"
        )
        return "no document", Explanation(missing=missing)
    adapt = make_adapter(definition)

    def or_empty(record: Mapping[str, Any]) -> str:
        return adapt(record) or _EMPTY

    layout = RowLayout(adapter_columns(definition), or_empty)
    steps = PostponedSteps(open_steps(source.quality)) if source.quality else None
    reader, kinds = DocumentReader(file, definition, layout=layout, quality=steps), {}
    for at, text in reader:
        if at == row:
            kinds[at] = text if text is _EMPTY else _judged(text, steps).kind
    if reader.sha256 != known["sha256"]:
        raise InputError(
            f"{file.url}: has sha256 {reader.sha256}, the store read {known['sha256']}; name its"
            " folder with --data DIR"
        )
    if row >= reader.counts["rows"]:
        raise RecipeError(
            f"{path}: has no row {row:,}; its rows are 0 to {reader.counts['rows'] - 1:,}"
        )
    if row in kinds:
        return kinds[row], NO_EXPLANATION
    where = {column: list(values) for column, values in definition.where.items()}
    return "where", Explanation(where=where)


def _at_hand(
    known: Mapping[str, Any], definition: SourceDefinition, data: Place | None
) -> InputFile | None:
    """The file as it can be read now; None if it is not where the store found it."""
    if data is not None:
        files = list_files(definition, data / definition.files_folder)
        return next((file for file in files if file.path == known["path"]), None)
    file = replace(InputFile(**known), sha256=None)
    return file if file.local and content_unchanged(file) else None
