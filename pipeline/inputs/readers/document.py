"""`DocumentReader`: one input file as documents, with every row accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mixtures.errors import AnnealmixError, InputError
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.words import plural
from pipeline.inputs.adapters import adapter_columns, make_adapter, make_selector, needed_columns
from pipeline.inputs.adapters.rows import AdaptRow, BadRecord, NeededColumn, repair_surrogates
from pipeline.inputs.file import InputFile, Layout, layout_of
from pipeline.inputs.readers.agreement import check_agreement
from pipeline.inputs.readers.blank import is_blank
from pipeline.inputs.readers.layouts import rows_of
from pipeline.inputs.readers.layouts.columns import missing_column
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import Quarantined, ReadLimits, Rows, UndecodedRow

if TYPE_CHECKING:
    from pipeline.inputs.quality.quality import QualitySteps

_DEFAULT_LIMITS = ReadLimits()


class RowLayout(NamedTuple):
    """What stands in place of a definition's adapter, for data that no definition describes."""

    columns: tuple[NeededColumn, ...]
    """That are read for the text."""
    adapt: AdaptRow
    """Row -> text."""


class DocumentReader:
    """Iterate once over a file to get `(row, text)` of every document: row from 0, counted over all
    rows of the file.

    Attributes:
        counts: rows, and what became of them: documents, where (not selected), empty (no text, or
            nothing in it that can be seen),
            quarantined, and each reason for which a quality step dropped a text (`quality NAME:
            ...`); besides repaired_surrogates (replaced code points) and byte_order_marks. rows =
            documents + where + empty + quarantined + the drops. empty_files: 1 if it has no row.
        quarantined: one entry a quarantined row.
        sha256, size: hash (hex) and bytes of the file's content, once the iteration has come to its
            end. For `datasets`, of its rows.

    A file is only read when the iteration has ended without an error: truncation and changes may
    show at the last byte, and what was yielded until then must not be used.

    Raises: InputError if the file is damaged, truncated, changed, hostile or in another layout than
        the definition says.
    """

    def __init__(
        self,
        file: InputFile,
        definition: SourceDefinition,
        limits: ReadLimits = _DEFAULT_LIMITS,
        layout: RowLayout | None = None,
        quality: QualitySteps | None = None,
    ) -> None:
        """
        Args:
            layout: how a row becomes a text; None: as the definition's adapter says.
            quality: steps that each text goes through.
        """
        self.file = file
        self.definition = definition
        self.limits = limits
        self._quality = quality
        self._dropped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._layout = layout or RowLayout(
            adapter_columns(definition), make_adapter(definition, self.counts)
        )
        self.quarantined: list[Quarantined] = []
        self.sha256 = ""
        self.size = 0
        self._columns_of_first_bad_row: list[str] | None = None
        self._started = False
        self._raw: RawFile | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes of the file that have been read so far: all of them from the first row on where the
        layout is one that seeks.
        """
        return self._raw.size if self._raw else self.size

    def __iter__(self) -> Iterator[tuple[int, str]]:
        if self._started:
            raise AnnealmixError(
                f"{self.file.url}: a DocumentReader reads its file once; make another one"
            )
        self._started = True
        if self.definition.format == "datasets":
            yield from self._dataset_documents()
        else:
            yield from self._file_documents()
        self._check_end()

    def _file_documents(self) -> Iterator[tuple[int, str]]:
        with RawFile(self.file) as raw:
            self._raw = raw
            yield from self._documents(self._file_rows(raw))
            raw.finish()
        self.sha256, self.size = raw.sha256, raw.size

    def _file_rows(self, raw: RawFile) -> Rows:
        layout = self._file_layout()
        content = check_agreement(raw, layout)
        if layout.name == "json" and content.kind != "json-array":
            layout = layout._replace(name="jsonl")
        return rows_of(raw, layout, self._needed_columns(), self.limits, self.counts)

    def _file_layout(self) -> Layout:
        """As the definition says, or else the file's ending."""
        packing = self.definition.format
        if packing == "found":
            return layout_of(self.file.path)
        name, _, packed = packing.partition(".")
        return Layout(name, packed or None)

    def _dataset_documents(self) -> Iterator[tuple[int, str]]:
        from pipeline.inputs.readers.layouts.dataset_rows import DatasetRows

        content = DatasetRows(self.file, self.definition, self._needed_columns())
        yield from self._documents(content.rows())
        self.sha256, self.size = content.sha256, content.size

    def _needed_columns(self) -> tuple[NeededColumn, ...]:
        needed = needed_columns(self.definition, self._layout.columns)
        read = {column.path for column in needed}
        names = self._quality.columns if self._quality else ()
        return (*needed, *[NeededColumn((name,), "plain") for name in names if (name,) not in read])

    def _documents(self, rows: Rows) -> Iterator[tuple[int, str]]:
        """The loop over all rows. Its counts are local because it runs some hundred thousand times
        a second.
        """
        adapt, select, quality = self._layout.adapt, make_selector(self.definition), self._quality
        surely_small = self.limits.max_text_bytes // 4  # a character is 4 bytes of UTF-8 at most
        needed = self._needed_columns()
        num_rows = num_documents = num_unselected = num_empty = 0
        try:
            for row, record in rows:
                num_rows += 1
                plain = type(record) is dict  # what it almost always is: no row to repair or refuse
                try:
                    if not plain:
                        _check_object(record, needed)
                    if select is not None and not select(record):
                        num_unselected += 1
                        continue
                    text = adapt(record)
                    if not plain:
                        text = self._repaired(text)
                    if len(text) > surely_small:
                        self._check_size(text)
                    if quality is not None and text:
                        outcome = quality.apply(text, record)
                        if not isinstance(outcome, str):
                            self._dropped[outcome.reason] += 1
                            continue
                        if outcome is not text:
                            text = self._repaired(outcome)
                            self._check_size(text)
                except BadRecord as bad:
                    self._quarantine(row, record, bad)
                    continue
                if not text or (not text[0].isalnum() and is_blank(text)):
                    num_empty += 1
                    continue
                num_documents += 1
                yield row, text
        finally:
            self.counts.update(
                {
                    **self._dropped,
                    "rows": num_rows,
                    "documents": num_documents,
                    "where": num_unselected,
                    "empty": num_empty,
                }
            )

    def _repaired(self, text: str) -> str:
        text, num_replaced = repair_surrogates(text)
        if num_replaced:
            self.counts["repaired_surrogates"] += num_replaced
        return text

    def _check_size(self, text: str) -> None:
        num_bytes = len(text.encode("utf-8"))
        if num_bytes > self.limits.max_text_bytes:
            raise BadRecord(
                "too-large",
                f"{num_bytes:,} bytes of text, {self.limits.max_text_bytes:,} are allowed",
            )

    def _quarantine(self, row: int, record: Any, bad: BadRecord) -> None:
        self.counts["quarantined"] += 1
        self.quarantined.append(Quarantined(self.file.path, row, bad.reason, bad.detail))
        if bad.reason == "missing-field" and self._columns_of_first_bad_row is None:
            self._columns_of_first_bad_row = list(_names(record))
        if len(self.quarantined) > self.limits.max_quarantined:
            raise InputError(
                f"{self.file.url}: more than {self.limits.max_quarantined:,} rows cannot be read"
                f" ({self._reasons()});{self._columns_found()} the file is damaged or in"
                f" another layout than source {self.definition.name} says"
            )

    def _check_end(self) -> None:
        """What only the whole file can show: not one document, a row without an outcome."""
        counts, dropped = self.counts, self._dropped.total()
        if counts["rows"] == 0:
            counts["empty_files"] = 1
        elif counts["documents"] + counts["where"] + dropped == 0:
            raise InputError(self._without_documents())
        for part in self.definition.text or ():
            absent, read = counts[f"missing {part.column}"], counts["documents"] + counts["empty"]
            if part.optional and absent and absent >= read + dropped:
                raise InputError(
                    f"{self.file.url}: no row has the column {part.column!r}, which may be missing"
                    " in some; name another, or take it out of the text"
                )
        outcomes = sum(counts[name] for name in ("documents", "where", "empty"))
        if counts["rows"] != outcomes + dropped + len(self.quarantined):
            raise AnnealmixError(
                f"{self.file.url}: rows do not add up: {dict(counts)}; this is a defect of"
                " annealmix, please report it"
            )

    def _without_documents(self) -> str:
        where = (
            f"{self.file.url}: not one of its {plural(self.counts['rows'], 'row')} is a document"
        )
        if (found := self._columns_of_first_bad_row) is not None:
            needed = [column.name for column in self._needed_columns()]
            missing = next((name for name in needed if name not in found), needed[0])
            return missing_column(where, missing, found)
        if not self.quarantined:
            return f"{where}: their texts are empty; name another column, or remove the file"
        first = self.quarantined[0]
        return (
            f"{where} ({self._reasons()}; the first: row {first.row:,}, {first.detail}); mend the"
            " file, or remove it"
        )

    def _reasons(self) -> str:
        reasons = Counter(bad.reason for bad in self.quarantined).most_common()
        return ", ".join(f"{reason} {count:,}" for reason, count in reasons)

    def _columns_found(self) -> str:
        columns = self._columns_of_first_bad_row
        if columns is None:
            return ""
        shown = ", ".join(repr(column[:40]) for column in columns[:40]) or "none"
        return f" columns found: {shown};"


def _names(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Columns of a row, those inside objects by their dotted paths."""
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _check_object(record: Any, needed: Sequence[NeededColumn]) -> None:
    if isinstance(record, BadRecord):
        raise record
    if isinstance(record, UndecodedRow):
        record.check(column.path for column in needed)
    if not isinstance(record, dict):
        raise BadRecord("not-an-object", f"a JSON {type(record).__name__}")
