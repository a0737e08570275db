"""Rows of a source read again: to say why one is no document (the ledger holds documents, and
counts of the rest), or for their texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters import adapter_columns, make_adapter
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import content_unchanged, list_files
from pipeline.inputs.quality.quality import QualitySteps, open_steps
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

    The whole file is read, since only its end shows that it is whole.

    Raises:
        InputError: it is damaged, or in another layout than the definition says.
    """
    reader = DocumentReader(file, definition, quality=quality)
    wanted = frozenset(rows)
    texts = {row: text for row, text in reader if row in wanted}
    return texts, reader.sha256


class _Marks(QualitySteps):
    """In place of each text, what became of its row: `empty`, the reason of a drop, or
    `document`.
    """

    def __init__(self, steps: QualitySteps | None) -> None:
        self.columns = steps.columns if steps else ()
        self._judging = steps

    def apply(self, text: str, row: Mapping[str, Any] | None = None) -> str:
        if text is _EMPTY:
            return text
        outcome = self._judging.apply(text, row) if self._judging else text
        return outcome.reason if isinstance(outcome, Dropped) else "document"


def fate_when_read(
    group: Group, source: SourceInputs, path: str, row: int, data: Place | None
) -> tuple[str, Explanation]:
    """Whether a row that is neither a document nor quarantined was empty, dropped by a quality
    step, or not selected by `where`.

    The whole file is read again, from `data` or from where the store found it, since only its end
    shows that it is the same. A file that is not at hand gives `no document`, with what is missing.

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

    layout, marks = (
        RowLayout(adapter_columns(definition), or_empty),
        _Marks(open_steps(source.quality) if source.quality else None),
    )
    reader = DocumentReader(file, definition, layout=layout, quality=marks)
    kinds = {at: kind for at, kind in reader if at == row}
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
        return next(
            (
                file
                for file in list_files(definition, data / definition.files_folder)
                if file.path == known["path"]
            ),
            None,
        )
    file = replace(InputFile(**known), sha256=None)
    return file if file.local and content_unchanged(file) else None
