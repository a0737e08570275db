"""A user's rewrites of removed documents, read and tokenized: what stands first in their slots.

    {"digest": "6f0c...", "text": "what is to stand there instead"}

A row a document, in any layout that sources have, told by the file's ending. Every removed document
of the arms has one rewrite, and no text is that of two, or the document itself. Their tokens lie in
the store's work folder until the arms are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from mixtures.errors import InputError, RecipeError
from mixtures.keys import digest_columns, order_key, text_digest
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.stream.arms.study import Filled, LoadedStudy
from mixtures.words import plural
from mixtures.yaml.disk import shown
from pipeline.arms.slots import SlotIndex, Slots
from pipeline.inputs.adapters.rows import NeededColumn, bad_field
from pipeline.inputs.file import SUFFIXES, InputFile
from pipeline.inputs.readers.document import DocumentReader, RowLayout
from pipeline.stages.segments import ENCODE_BYTES, drawn
from pipeline.store.records import FolderWriter, Record
from pipeline.store.rules import short_key
from pipeline.store.store import Store
from pipeline.tokens.tokenizer import Tokenizer

Int64s = npt.NDArray[np.int64]
COLUMNS = ("digest", "text")
_DIGEST = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Rewrites:
    """Rewrites by slot; arrays [num_rewrites]."""

    file: str
    """Its name, as the study has it."""
    sha256: str
    folder: Path
    """Of their tokens."""
    unused: int
    """Rows of documents that no arm with this fill removes."""
    slot: Int64s
    row: Int64s
    """Of the file."""
    digest: npt.NDArray[np.uint64]
    """[num_rewrites, 2], of the text."""
    num_tokens: Int64s
    """EOD included."""
    offset: Int64s
    """Tokens of the folder's file before it."""
    token_file: int
    """Number of that file among those that donors are read from."""

    @property
    def tokens(self) -> Path:
        """The file of all their tokens."""
        return self.folder / "tokens"

    @property
    def record(self) -> str:
        """Digest of the folder's record."""
        return Record.read(self.folder).digest


@dataclass
class _Rows:
    """What is gathered while the file is read."""

    slot: list[Int64s] = field(default_factory=list)
    row: list[Int64s] = field(default_factory=list)
    digest: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    num_tokens: list[Int64s] = field(default_factory=list)
    unused: int = 0


class RewritesFile:
    """A file of rewrites.

    Raises:
        RecipeError: its ending is of no layout that is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.name.lower().endswith(SUFFIXES["found"]):
            raise RecipeError(
                f"{shown(path)}: rewrites are read of files that end in"
                f" {', '.join(SUFFIXES['found'])}; convert it"
            )
        self.sha256 = ""
        self._digest = ""

    def rows(self) -> Iterator[tuple[int, str, str]]:
        """Row, digest of the removed document, and text.

        Raises:
            InputError: a row cannot be read, or has no text; the file is damaged.
        """
        url = str(self.path.resolve())
        file = InputFile.of_local(self.path.name, url, self.path.stat())
        columns = tuple(NeededColumn((name,)) for name in COLUMNS)
        definition = SourceDefinition.model_validate(
            {"name": "rewrites", "paths": [self.path.name], "text": "text"}
        )
        reader = DocumentReader(file, definition, layout=RowLayout(columns, self._text))
        for row, text in reader:
            if reader.counts["repaired_surrogates"]:  # sources' are counted; these are the user's
                raise InputError(
                    f"{self.path}: row {row:,}: its text has half of a surrogate pair, such as"
                    " \\ud800, which is no character; write the whole pair, or take it out"
                )
            if not _DIGEST.fullmatch(self._digest):
                raise InputError(
                    f"{self.path}: row {row:,}: its digest is none; write the 32 hex digits, in"
                    " lower case, that name the removed document"
                )
            yield row, self._digest, text
        for bad in reader.quarantined[:1]:
            raise InputError(
                f"{self.path}: row {bad.row:,} cannot be read ({bad.reason}: {bad.detail}), as"
                f" {len(reader.quarantined):,} cannot; a rewrite has the columns digest and text"
            )
        if empty := reader.counts["empty"]:
            raise InputError(
                f"{self.path}: {plural(empty, 'row')} without a text; a rewrite has at least a"
                " character that can be seen"
            )
        self.sha256 = reader.sha256

    def _text(self, row: Mapping[str, Any]) -> str:
        for name in COLUMNS:
            if type(row.get(name)) is not str:
                raise bad_field(row, name)
        self._digest = row["digest"]
        text: str = row["text"]
        return text


def read_rewrites(
    study: LoadedStudy,
    filled: Filled,
    slots: Slots,
    tokenizer: Tokenizer,
    store: Store,
    token_file: int,
) -> Rewrites:
    """Read the rewrites of all that the arms of one fill remove. token_file: as of `Rewrites`.

    Raises:
        InputError: a document has none or two, a text is that of two or of its own document, or as
            `RewritesFile.rows`; the file was changed since the study was read.
    """
    file = RewritesFile(study.file.parent / filled.rewrites)
    wanted = np.logical_or.reduce([slots.arms[arm] for arm in filled.arms])
    named = blake3(slots.digest[wanted].tobytes()).hexdigest()
    sha256 = study.rewrites[filled.rewrites]
    key = short_key([sha256, study.base.tokenizer.digest, tokenizer.special_tokens, named])
    store.require_writable(f"tokens of {filled.rewrites}")
    found, index = _Rows(), SlotIndex(slots)
    with FolderWriter(store.work_folder / f"rewrites-{key}") as writer:
        with (writer.path / "tokens").open("wb") as tokens:
            for rows, names, texts in _batches(file.rows()):
                slot = index.of(digest_columns(b"".join(map(bytes.fromhex, names))))
                slot[slot >= 0] = np.where(wanted[slot[slot >= 0]], slot[slot >= 0], -1)
                mine = np.flatnonzero(slot >= 0).tolist()
                found.unused += len(texts) - len(mine)
                chosen = [texts[at] for at in mine]
                digests = [text_digest(text) for text in chosen]
                ids, lengths = tokenizer.encode(chosen)
                ends = np.cumsum(lengths)
                for at in drawn([order_key(digest) for digest in digests], chosen):
                    tokenizer.verify(chosen[at], ids[ends[at] - lengths[at] : ends[at]])
                tokens.write(ids.tobytes())
                found.slot.append(slot[mine])
                found.row.append(np.array(rows, np.int64)[mine])
                found.digest.append(digest_columns(b"".join(digests)))
                found.num_tokens.append(lengths)
        if file.sha256 != sha256:
            raise InputError(f"{file.path}: was changed while the study was built; build it again")
        made = _sorted(found, filled.rewrites, sha256, writer.final, token_file)
        _refuse_unfit(file, made, slots, wanted)
        writer.publish({})
    return made


def _batches(
    rows: Iterator[tuple[int, str, str]],
) -> Iterator[tuple[list[int], list[str], list[str]]]:
    """Rows, digests and texts of about ENCODE_BYTES."""
    batch: list[tuple[int, str, str]] = []
    size = 0
    for one in rows:
        batch.append(one)
        size += len(one[2])
        if size >= ENCODE_BYTES:
            yield _columns(batch)
            batch, size = [], 0
    if batch:
        yield _columns(batch)


def _columns(batch: list[tuple[int, str, str]]) -> tuple[list[int], list[str], list[str]]:
    rows, digests, texts = map(list, zip(*batch, strict=True))
    return rows, digests, texts


def _sorted(found: _Rows, name: str, sha256: str, folder: Path, token_file: int) -> Rewrites:
    empty = np.empty(0, np.int64)
    slot, row, num_tokens = (
        np.concatenate([empty, *columns]) for columns in (found.slot, found.row, found.num_tokens)
    )
    digest = np.concatenate([np.empty((0, 2), np.uint64), *found.digest])
    offset = np.cumsum(num_tokens) - num_tokens
    order = np.argsort(slot, kind="stable")
    return Rewrites(
        name,
        sha256,
        folder,
        found.unused,
        slot[order],
        row[order],
        digest[order],
        num_tokens[order],
        offset[order],
        token_file,
    )


def _refuse_unfit(
    file: RewritesFile, made: Rewrites, slots: Slots, wanted: npt.NDArray[np.bool_]
) -> None:
    """Refuse documents without a rewrite or with two, and texts that replace nothing.

    Raises:
        InputError: names the first, and how many there are.
    """
    faults = []
    twice = np.flatnonzero(made.slot[1:] == made.slot[:-1])
    if len(twice):
        at = int(twice[0])
        faults.append(
            f"rows {made.row[at]:,} and {made.row[at + 1]:,} are rewrites of one document,"
            f" {_hex(slots.digest[made.slot[at]])}, as {len(twice):,} are; leave one, or join them"
        )
    wanted = wanted.copy()
    wanted[made.slot] = False
    if wanted.any():
        first = int(np.argmax(wanted))
        faults.append(
            f"has no rewrite of {int(wanted.sum()):,} removed documents, the first"
            f" {_hex(slots.digest[first])} of {slots.names[slots.source[first]]}; `annealmix export"
            " ARM --removed FILE` lists what an arm of this study removes"
        )
    same = np.flatnonzero((made.digest == slots.digest[made.slot]).all(axis=1))
    if len(same):
        faults.append(
            f"row {made.row[same[0]]:,} is the text of the document that it is to replace, as"
            f" {len(same):,} are; rewrite it, or remove less"
        )
    order = np.lexsort((made.digest[:, 1], made.digest[:, 0]))
    equal = np.flatnonzero((made.digest[order[1:]] == made.digest[order[:-1]]).all(axis=1))
    if len(equal):
        rows = sorted(made.row[order[equal[0] : equal[0] + 2]].tolist())
        faults.append(
            f"rows {rows[0]:,} and {rows[1]:,} have one text for two documents, as {len(equal):,}"
            " do; the mix would have it twice"
        )
    if faults:
        raise InputError("\n".join(f"{file.path}: {fault}" for fault in faults))


def _hex(digest: npt.NDArray[np.uint64]) -> str:
    return "".join(f"{half:016x}" for half in digest.tolist())
