"""Segments: documents of bounded text, sorted by (order_key, digest), as ledger columns and token
files.

Files of segment 3 in a group's ledger folder: `0003.order_key`, `0003.digest`, `0003.file`,
`0003.row`; in a token folder: `0003.num_tokens`, `0003.offset` (one entry a document of the key
range, in ledger order) and `0003.tokens` (each document's tokens and EOD, in the same order).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from mixtures.keys import (
    KeyRange,
    content_digest,
    content_of,
    digest_columns,
    order_key,
    sort_order,
)
from pipeline.store.columns import prefix, read_column, write_column
from pipeline.store.records import named
from pipeline.store.store import SegmentRange

if TYPE_CHECKING:
    from pipeline.judges.annotators.reading import SegmentAnnotations
    from pipeline.tokens.tokenizer import Tokenizer

# text that is tokenized in one call: enough to keep the engine busy, little to hold
ENCODE_BYTES = 4 << 20
VERIFY_EVERY = 1000  # one document in so many, by order key, is tokenized again with the reference
VERIFY_CHARS = 1 << 16  # the reference takes some 50 ms for them
MAX_ROWS = 1 << 32


def drawn(keys: Sequence[int], texts: Sequence[str]) -> list[int]:
    """Which of the documents that are tokenized in one call are tokenized again with the reference:
    one in VERIFY_EVERY, by order key, and if none is, the one with the smallest key that is not
    long. So an engine is held to the reference in the smallest corpus, too.
    """
    if some := [index for index, key in enumerate(keys) if key % VERIFY_EVERY == 0]:
        return some
    short = [index for index, text in enumerate(texts) if len(text) <= VERIFY_CHARS]
    return sorted(short, key=keys.__getitem__)[:1]


def holding(special: str, texts: Sequence[str]) -> list[int]:
    """Which texts hold a string. Few hold even its first sign that is neither letter nor digit, and
    a single character is found many times as fast.
    """
    sign = next((character for character in special if not character.isalnum()), "")
    return [index for index, text in enumerate(texts) if sign in text and special in text]


@dataclass
class SegmentBuilder:
    """Collects the documents of one segment: hashes every one, tokenizes those in `ranges`.

    ranges: key ranges to tokenize, disjoint; tokenizer: None if there are none. notes: what filters
        must know of each document.
    special_strings: keys of the tokenized documents whose text holds the end-of-document string
        literally.
    """

    ranges: list[KeyRange]
    tokenizer: Tokenizer | None
    notes: SegmentAnnotations
    num_bytes: int = 0
    special_strings: list[int] = field(default_factory=list)
    _digests: bytearray = field(default_factory=bytearray)
    _keys: array[int] = field(default_factory=lambda: array("Q"))
    _files: array[int] = field(default_factory=lambda: array("I"))
    _rows: array[int] = field(default_factory=lambda: array("I"))
    _texts: list[str] = field(default_factory=list)
    _pending_bytes: int = 0
    _tokenized: array[int] = field(default_factory=lambda: array("I"))
    _tokens: list[npt.NDArray[Any]] = field(default_factory=list)
    _lengths: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, file: int, row: int, text: str) -> None:
        """Add one document: judged by its content, tokenized as it is."""
        content = content_of(text)
        encoded = content.encode()
        digest = content_digest(encoded)
        key = order_key(digest)
        for keys in self.ranges:
            if keys.holds(key):
                self._tokenized.append(len(self._keys))
                self._texts.append(text)
                self._pending_bytes += len(encoded)
                break
        self.notes.add(len(self._keys), key, content, encoded)
        self._digests += digest
        self._keys.append(key)
        self._files.append(file)
        self._rows.append(row)
        self.num_bytes += len(encoded)
        if self._pending_bytes >= ENCODE_BYTES:
            self._encode()

    def _encode(self) -> None:
        if not self._texts or self.tokenizer is None:
            return
        tokens, lengths = self.tokenizer.encode(self._texts)
        keys = [self._keys[at] for at in self._tokenized[-len(self._texts) :]]
        ends = np.cumsum(lengths)
        for index in drawn(keys, self._texts):
            start, end = ends[index] - lengths[index], ends[index]
            self.tokenizer.verify(self._texts[index], tokens[start:end])
        special = holding(self.tokenizer.definition.eod, self._texts)
        self.special_strings += [keys[index] for index in special]
        self._tokens.append(tokens)
        self._lengths.append(lengths)
        self._texts, self._pending_bytes = [], 0

    def finish(self) -> Segment:
        """Sort what was collected."""
        self._encode()
        keys = np.frombuffer(self._keys, np.uint64)
        digests = digest_columns(self._digests)
        files, rows = np.frombuffer(self._files, np.uint32), np.frombuffer(self._rows, np.uint32)
        order = sort_order(keys, digests, files, rows)
        columns: dict[str, npt.NDArray[Any]] = {
            "order_key": keys[order],
            "digest": digests[order],
            "file": files[order],
            "row": rows[order],
        }
        lengths = np.concatenate(self._lengths) if self._lengths else np.empty(0, np.int64)
        num_tokens, starts = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        tokenized = np.frombuffer(self._tokenized, np.uint32)
        num_tokens[tokenized] = lengths
        starts[tokenized] = np.cumsum(lengths) - lengths
        tokens = np.concatenate(self._tokens) if self._tokens else np.empty(0, np.uint16)
        return Segment(columns, num_tokens[order], starts[order], tokens, order)


@dataclass(frozen=True)
class Segment:
    """A sorted segment. columns: the ledger's; num_tokens, starts: int64 [num_docs], 0 for
    documents that were not tokenized;
    tokens: in reading order. order: [num_docs], the documents' places in the order of reading.
    """

    columns: dict[str, npt.NDArray[Any]]
    num_tokens: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    tokens: npt.NDArray[Any]
    order: npt.NDArray[np.intp]

    def write_ledger(self, folder: Path, segment: int) -> int:
        """Write the ledger columns. Returns the number of documents."""
        for name, values in self.columns.items():
            write_column(folder, name, values, prefix(segment))
        return len(self.num_tokens)

    def check_ledger(self, folder: Path, segment: int) -> None:
        """Compare with the ledger that an earlier reading wrote.

        Raises:
            InputError: the texts are not those that were read before.
        """
        for name, values in self.columns.items():
            stored = (
                read_column(folder, name, prefix(segment))
                if (folder / f"{prefix(segment)}{name}").exists()
                else None
            )
            if stored is None or not np.array_equal(stored, values):
                raise InputError(
                    f"{folder}: the inputs give other documents than when they were first read"
                    f" (column {name}); restore the files, or delete this group of the store"
                )

    def write_tokens(self, folder: Path, segment: int, keys: KeyRange) -> SegmentRange:
        """Write the tokens of one key range in ledger order."""
        rows = keys.rows(self.columns["order_key"])
        num_tokens, starts = self.num_tokens[rows], self.starts[rows]
        write_column(folder, "num_tokens", num_tokens, prefix(segment))
        write_column(folder, "offset", np.cumsum(num_tokens) - num_tokens, prefix(segment))
        path = folder / f"{prefix(segment)}tokens"
        with named(path), path.open("wb") as file:
            for at in range(0, len(starts), 8192):
                stretch = zip(
                    starts[at : at + 8192].tolist(),
                    num_tokens[at : at + 8192].tolist(),
                    strict=True,
                )
                pieces = [self.tokens[start : start + count] for start, count in stretch]
                file.write(np.concatenate(pieces).data)
        return SegmentRange(
            first_row=rows.start, documents=len(starts), tokens=int(num_tokens.sum())
        )
