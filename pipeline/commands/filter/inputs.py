"""The documents of any data set that a filter is to check: files of the user's, a published layout,
or a data set of the hub.

    a file, or all such files below a folder: .jsonl, .json.gz, .jsonl.gz, .json.zst, .jsonl.zst,
        .parquet, one text a row
    the same, and the name of a source definition: the layout that the definition says (`annealmix
        build --data`)
    OWNER/NAME or OWNER/NAME:CONFIG: a split of the hub, through the `datasets` library

A row's text is its column `text`, or its chat `messages`; a named column may hold either. Chat
messages are a list of {role, content}; the contents are joined by blank lines, without the roles,
so a document is a conversation. A message whose content is no text (null beside a tool call,
images) makes the row unreadable: what cannot be judged is counted, not skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtures.errors import InputError, RecipeError
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters.rows import BadRecord, NeededColumn
from pipeline.inputs.contents.names import is_hidden, splits_of
from pipeline.inputs.file import SUFFIXES, InputFile
from pipeline.inputs.listing import list_files
from pipeline.inputs.readers.document import DocumentReader, RowLayout

TEXT, MESSAGES = "text", "messages"
_FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")
_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?", re.ASCII)


@dataclass(frozen=True)
class Dataset:
    """What is to be read."""

    files: tuple[tuple[InputFile, SourceDefinition], ...]
    """Each with the definition that says its format."""
    column: str | None = None
    """Where the texts are; None: `text` or `messages`."""
    published: bool = False
    """Whether the definitions' adapters say where the texts are."""
    unread: tuple[str, ...] = ()
    """Other files of the folder, which no format reads."""

    def readers(self) -> list[DocumentReader]:
        """One reader a file, in the order of the paths."""
        return [
            DocumentReader(file, definition, layout=self._layout(file, definition))
            for file, definition in self.files
        ]

    def _layout(self, file: InputFile, definition: SourceDefinition) -> RowLayout | None:
        if self.published:
            return None
        if self.column is None and definition.format in ("parquet", "datasets"):
            column = _text_column(_columns(file, definition), file.url)
            return RowLayout((_either(column),), lambda row: row_text(row, column))
        return RowLayout((_either(self.column or TEXT),), lambda row: row_text(row, self.column))


def _either(column: str) -> NeededColumn:
    return NeededColumn((column,), "text or chat")


def find_dataset(
    dataset: str,
    *,
    column: str | None = None,
    source: SourceDefinition | None = None,
    split: str = "train",
) -> Dataset:
    """List what DATASET names.

    Args:
        column: the column to read. source: read the files in this published layout.
        split: of a data set of the hub.
    Raises:
        RecipeError: a file of a format that is not read, or options that exclude each other.
        InputError: there is nothing of that name, or a file must not be there
            (`pipeline.inputs.listing`).
    """
    if column is not None and source is not None:
        raise RecipeError(
            "--text-column and --source are both given; a published layout says its own columns:"
            " leave one out"
        )
    path = Path(dataset)
    if path.is_dir():
        return _folder(path, column, source)
    if path.exists():
        definition = source or _definition(_format_of(path))
        return Dataset(((_file(path), definition),), column, source is not None)
    name = _HUB_NAME.fullmatch(dataset)
    if (
        name is None
        or source is not None
        or dataset.endswith(tuple(ending for endings in SUFFIXES.values() for ending in endings))
    ):
        raise InputError(
            f"{dataset}: no such file or folder; name one, or a data set of the hub as OWNER/NAME"
        )
    definition = _definition(
        "datasets", repo=name[1], revision="main", datasets={"config": name[2], "split": split}
    )
    return Dataset(tuple((file, definition) for file in list_files(definition, None)), column)


def row_text(row: Mapping[str, Any], column: str | None) -> str:
    """The text of a row: of the named column, else of `text` or `messages`.

    Raises:
        BadRecord: it is not there, or neither text nor chat messages.
        RecipeError: the row has both columns, and none is named.
    """
    if column is None:
        column = _text_column(tuple(name for name in (TEXT, MESSAGES) if name in row), "a row")
    if column not in row:
        raise BadRecord("missing-field", f"no column {column!r}")
    value = row[column]
    if isinstance(value, list):
        return "\n\n".join(
            [part for part in [_content(message, column) for message in value] if part]
        )
    return _plain_text(value, f"column {column!r}")


def _content(message: Any, column: str) -> str:
    if not isinstance(message, Mapping) or "content" not in message:
        raise BadRecord("not-text", f"an item of column {column!r} is no {{role, content}}")
    return _plain_text(message["content"], f"content in column {column!r}")


def _plain_text(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise BadRecord("null-field", f"null in {place}")
    raise BadRecord("not-text", f"{type(value).__name__} in {place}")


def _text_column(columns: tuple[str, ...], where: str) -> str:
    """`text`, or else `messages`; `text` if neither is there, and reading then says which columns
    are.
    """
    if TEXT in columns and MESSAGES in columns:
        raise RecipeError(
            f"{where}: has both {TEXT!r} and {MESSAGES!r}; name the one to check with --text-column"
        )
    return MESSAGES if MESSAGES in columns else TEXT


def _columns(file: InputFile, definition: SourceDefinition) -> tuple[str, ...]:
    if definition.format == "datasets":
        from pipeline.inputs.readers.layouts.dataset_rows import DatasetRows

        return tuple(DatasetRows(file, definition, ()).column_names())
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return tuple(parquet.read_schema(file.url).names)
    except (pa.ArrowException, OSError, ValueError):
        return ()  # the reader will say what is wrong with it


def _folder(folder: Path, column: str | None, source: SourceDefinition | None) -> Dataset:
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    present = sorted(path for path in files if not is_hidden(path))
    definitions = (
        [source]
        if source
        else [
            _files_of(name, named)
            for name in _FORMATS
            if (named := [path for path in present if path.endswith(SUFFIXES[name])])
        ]
    )
    for path in present:
        if any(path.endswith(SUFFIXES.get(definition.format, ())) for definition in definitions):
            _refuse_empty(folder.resolve() / path)
    listed = [
        (file, definition) for definition in definitions for file in list_files(definition, folder)
    ]
    if not listed:
        raise InputError(
            f"{folder}: holds no file of {_endings()}; name the files' folder, or convert them"
        )
    read = {file.path for file, _ in listed}
    unread = tuple(path for path in present if path not in read)
    return Dataset(
        tuple(sorted(listed, key=lambda one: one[0].path.encode())),
        column,
        source is not None,
        unread,
    )


def _files_of(packing: str, present: list[str]) -> SourceDefinition:
    """A definition of all files of a format: beside those of others, of all splits and shards."""
    suffixes = [suffix for suffix in SUFFIXES[packing] if any(p.endswith(suffix) for p in present)]
    splits = {split or "train" for split in splits_of(present).values()}
    return _definition(
        packing,
        repo=None,
        revision=None,
        paths=tuple(f"**/*{suffix}" for suffix in suffixes),
        splits=tuple(sorted(splits)) if len(splits) > 1 else (),
        partial=True,
    )


def _file(path: Path) -> InputFile:
    _refuse_empty(path.resolve())
    return InputFile.of_local(path.name, str(path.resolve()), path.stat())


def _refuse_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); fetch it again, or take it away")


def _format_of(path: Path) -> str:
    for name in _FORMATS:
        if path.name.endswith(SUFFIXES[name]):
            return name
    raise RecipeError(
        f"{path}: files of {_endings()} are read; convert it, or name its published layout with"
        " --source"
    )


def _endings() -> str:
    return ", ".join(ending for name in _FORMATS for ending in SUFFIXES[name])


def _definition(packing: str, **more: Any) -> SourceDefinition:
    """A definition made for one reading: the readers want one."""
    fields = {
        "name": "data-set",
        "repo": "data/set",
        "revision": "none",
        "licence": "not stated",
        "adapter": "text",
        "format": packing,
    }
    paths = {} if packing == "datasets" else {"paths": ("**",)}
    return SourceDefinition.model_validate({**fields, **paths, **more})
