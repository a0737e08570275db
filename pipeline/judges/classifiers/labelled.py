"""Labelled documents from jsonl (plain, gz, zst) and parquet files, read as strictly as training
data.

Each text counts once, whatever file holds its copies; copies that disagree on the label are an
error, since a model that is held to both is held to nothing. A row that cannot be read is an error
too: a labelled set is small enough to be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from mixtures.errors import InputError, RecipeError
from mixtures.keys import content_of, text_digest
from pipeline.inputs.adapters.rows import BadRecord, NeededColumn
from pipeline.inputs.file import InputFile, layout_of
from pipeline.inputs.readers.layouts import rows_of
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import ReadLimits, Rows, SurrogateRow
from pipeline.store.records import unreadable

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_HOLDOUT_KEY = b"annealmix-holdout-1"


@dataclass(frozen=True)
class LabelColumns:
    """Which columns to read. positive: the label's value that is the positive class; None: labels
    are 0 or 1, false or true.
    """

    text: str = "text"
    label: str = "label"
    positive: str | None = None


class Labelled(NamedTuple):
    """One distinct document. place: file and row of its first copy."""

    digest: bytes
    text: str
    positive: bool
    place: str


class LabelledSet(NamedTuple):
    """documents: in the order of digests. num_copies: rows whose text was there already. inputs:
    name and sha256 (hex) of each file.
    """

    documents: list[Labelled]
    num_copies: int
    inputs: list[tuple[str, str]]


def read_labelled(paths: Sequence[Path], columns: LabelColumns | None = None) -> LabelledSet:
    """Read every row of the files.

    Raises:
        RecipeError: a file's name ends in none of the known suffixes.
        InputError: a file is missing or damaged, a row has no text or no label, or copies of a text
            disagree on the label.
    """
    columns = columns or LabelColumns()
    by_digest: dict[bytes, Labelled] = {}
    inputs: list[tuple[str, str]] = []
    num_rows = 0
    for path in paths:
        raw = RawFile(_input(path))
        with raw:
            for row, record in _rows(raw, path, columns):
                document = _labelled(record, f"{path}: row {row}", columns)
                num_rows += 1
                first = by_digest.setdefault(document.digest, document)
                if first.positive != document.positive:
                    raise InputError(
                        f"{document.place}: has another label than the same text at {first.place};"
                        " label it once"
                    )
            raw.finish()
        inputs.append((path.name, raw.sha256))
    documents = [by_digest[digest] for digest in sorted(by_digest)]
    return LabelledSet(documents, num_rows - len(documents), sorted(inputs))


def held_out(digest: bytes, bound: int) -> bool:
    """Whether a document belongs to the held-out part: its keyed hash, 64 bits, lies below the
    bound.

    All copies of a text share the digest, so none is on both sides. The hash is not the order key:
    a mix's key range says nothing about this split.
    """
    keyed = blake2b(digest, digest_size=8, key=_HOLDOUT_KEY).digest()
    return int.from_bytes(keyed, "little") < bound


def _input(path: Path) -> InputFile:
    try:
        state = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return InputFile.of_local(path.name, str(path.resolve()), state)


def _rows(raw: RawFile, path: Path, columns: LabelColumns) -> Rows:
    if not path.name.endswith(SUFFIXES):
        raise RecipeError(
            f"{path}: labelled documents are read from {', '.join(SUFFIXES)}; rename or convert the"
            " file"
        )
    needed = (NeededColumn((columns.text,)), NeededColumn((columns.label,), "plain"))
    # a byte order mark is harmless and needs no count
    return rows_of(raw, layout_of(path.name), needed, ReadLimits(), Counter())


def _labelled(record: Any, place: str, columns: LabelColumns) -> Labelled:
    if isinstance(record, BadRecord):
        raise InputError(f"{place}: cannot be read ({record}); mend or remove it")
    if not isinstance(record, dict) or isinstance(record, SurrogateRow):
        raise InputError(f"{place}: is no object, or holds lone surrogates; mend or remove it")
    missing = [name for name in (columns.text, columns.label) if name not in record]
    if missing:
        raise InputError(
            f"{place}: has no {' and no '.join(map(repr, missing))}; it has"
            f" {', '.join(sorted(record))}; name the columns"
        )
    text, label = record[columns.text], record[columns.label]
    if not isinstance(text, str) or not text.strip():
        kind = "empty" if isinstance(text, str) else type(text).__name__
        raise InputError(f"{place}: {columns.text!r} is {kind}; a text is needed")
    if columns.positive is not None and type(label) in (str, int):
        positive = str(label) == columns.positive
    elif columns.positive is None and isinstance(label, bool | int) and label in (0, 1):
        positive = bool(label)
    else:
        wanted = "0, 1, false or true" if columns.positive is None else "text or a whole number"
        raise InputError(
            f"{place}: {columns.label!r} is {label!r}; a label is {wanted}; name the positive"
            " class, or mend the row"
        )
    return Labelled(text_digest(text), content_of(text), positive, place)
