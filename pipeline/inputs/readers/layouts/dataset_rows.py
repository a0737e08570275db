"""Rows of a split that the `datasets` library loads, from the hub or from a local folder, streamed.

There is no file to hash: the content hash is the sha256 of the needed columns of every row, in
order, each row as one line of canonical JSON (keys sorted, no white space, ASCII). Loading scripts
are never run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mixtures.errors import AnnealmixError, InputError
from mixtures.recipe.source_definition import DatasetsSplit, SourceDefinition
from mixtures.words import first_line
from pipeline.inputs.adapters.rows import NeededColumn
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import content_unchanged
from pipeline.inputs.readers.layouts.columns import missing_column
from pipeline.inputs.readers.rows import Rows


class DatasetRows:
    """One split, read once.

    Attributes: sha256 (hex) of the rows, and size, their bytes as canonical JSON; both when all
    rows have been read.
    """

    def __init__(
        self, file: InputFile, definition: SourceDefinition, columns: Sequence[NeededColumn]
    ) -> None:
        self.file = file
        self.sha256 = ""
        self.size = 0
        self._definition = definition
        self._columns = tuple(dict.fromkeys(column.path[0] for column in columns))

    def rows(self) -> Rows:
        """Yield (row index, {column: value}) for every row; a column that the row lacks is left
        out.

        Raises: InputError if the library cannot load or read the split, or the split lacks a
        column.
        """
        content = hashlib.sha256()
        with _library_errors(self.file):
            split = self._load()
            self._check_columns(split.column_names)
            if split.column_names is not None:
                # an image or a sound that nothing reads would be decoded with each row
                split = split.select_columns(list(self._columns))
            for index, row in enumerate(split):
                record = {column: row[column] for column in self._columns if column in row}
                line = canonical_row(record)
                content.update(line)
                self.size += len(line)
                yield index, record
        self.sha256 = content.hexdigest()
        if not content_unchanged(self.file):
            raise InputError(
                f"{self.file.url}: a file of the folder changed while it was read; run again when"
                " nothing writes to it"
            )
        if self.file.sha256 is not None and self.sha256 != self.file.sha256:
            raise InputError(
                f"{self.file.url}: expected rows of sha256 {self.file.sha256}, found {self.sha256}:"
                " the dataset changed; plan again"
            )

    def column_names(self) -> list[str]:
        """Columns of the split as far as the library knows them before it reads a row.

        Raises: InputError if it cannot load the split.
        """
        with _library_errors(self.file):
            return list(self._load().column_names or ())

    def _load(self) -> Any:
        import datasets

        location = self.file.url.removeprefix("datasets://")
        split = self._definition.datasets or DatasetsSplit()
        options = {"name": split.config, "split": split.split}
        if not location.startswith("/"):
            location, options["revision"] = location.rsplit("@", 1)
        return datasets.load_dataset(location, **options, streaming=True)

    def _check_columns(self, names: list[str] | None) -> None:
        """names: columns of the split; None: the library does not know them yet."""
        for column in self._columns:
            if names is not None and column not in names:
                raise InputError(missing_column(self.file.url, column, names))


def canonical_row(record: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON whose bytes depend on its values alone. Values that JSON lacks
    (dates, bytes) stand as their repr.
    """
    line = json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=repr
    )
    return line.encode("ascii") + b"\n"


@contextmanager
def _library_errors(file: InputFile) -> Iterator[None]:
    """Every failure of the library as one named error; ours and a caller that stops early pass."""
    try:
        yield
    except AnnealmixError:
        raise
    except Exception as error:
        first = first_line(error, "")
        raise InputError(
            f"{file.url}: the datasets library cannot read {file.path} ({type(error).__name__}:"
            f" {first}); check name, split, network and access token, or give local files with"
            " --data"
        ) from error
