"""One row of a source read again, to say why it is no document: the ledger holds documents, and counts of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtures.errors import InputError, RecipeError
from mixtures.source import SourceDefinition
from pipeline.adapters import adapter_columns, make_adapter
from pipeline.inputs import InputFile, content_unchanged, list_inputs
from pipeline.readers import DocumentReader
from pipeline.readers.document import RowLayout
from pipeline.store import Group

_EMPTY = "empty"


def fate_when_read(group: Group, definition: SourceDefinition, path: str, row: int, data: Path | None) -> tuple[str, dict[str, Any]]:
    """Whether a row that is neither a document nor quarantined was empty, or not selected by `where`.

    The whole file is read again, from `data` or from where the store found it, since only its end shows that it is the same. A file that is
    not at hand gives `where or empty`, with what is missing.

    Returns:
        The reason, and what explains it.

    Raises:
        RecipeError: the file has no such row. InputError: the file at hand is not the one that the store read.
    """
    known = next(item for item in group.inputs if item["path"] == path)
    file = _at_hand(known, definition, data)
    if file is None:
        missing = f"{known['url']} is not as it was read; name the folder of the data with --data DIR to tell them apart"
        return "where or empty", {"missing": missing}
    adapt = make_adapter(definition)

    def mark_empty(record: Mapping[str, Any]) -> str:
        return _EMPTY if not adapt(record) else "text"

    reader = DocumentReader(file, definition, layout=RowLayout(adapter_columns(definition), mark_empty))
    kinds = {at: kind for at, kind in reader if at == row}
    if reader.sha256 != known["sha256"]:
        raise InputError(f"{file.url}: has sha256 {reader.sha256}, the store read {known['sha256']}; name its folder with --data DIR")
    if row >= reader.counts["rows"]:
        raise RecipeError(f"{path}: has no row {row:,}; its rows are 0 to {reader.counts['rows'] - 1:,}")
    if row in kinds:
        return kinds[row], {}
    return "where", {"where": {column: list(values) for column, values in definition.where.items()}}


def _at_hand(known: Mapping[str, Any], definition: SourceDefinition, data: Path | None) -> InputFile | None:
    """The file as it can be read now; None if it is not where the store found it."""
    if data is not None:
        return next((file for file in list_inputs(definition, data) if file.path == known["path"]), None)
    file = replace(InputFile(**known), sha256=None)
    return file if file.local and content_unchanged(file) else None
