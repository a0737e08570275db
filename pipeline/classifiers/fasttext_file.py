"""The layout of a fastText `.bin`, walked from end to end before the library may read it.

fastText's own loader looks at the magic number only: of a truncated file it makes a model of whatever was in memory. All integers
are little-endian:

    magic i32 = 793712314 | version i32 = 12
    dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate: 12 x i32 | t f64
    size i32 | nwords i32 | nlabels i32 | ntokens i64 | pruneidx_size i64
    size x (text, a zero byte, count i64, type i8: 0 word, 1 label) | pruneidx_size x (i32, i32)
    quantised u8 | rows i64 | columns i64 | rows x columns f32        the input matrix: words and buckets
    quantised u8 | rows i64 | columns i64 | rows x columns f32        the output matrix: labels

Source of the layout: FastText::saveModel, Args::save, Dictionary::save and DenseMatrix::save of fastText 0.9.2.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from mixtures.errors import InputError
from pipeline.judges.classifiers.scores import unreadable

MAGIC, VERSION = 793712314, 12
SUPERVISED = 3
LOSSES = {3: "softmax", 4: "one-vs-all"}  # hierarchical softmax does not report probabilities below 1e-5
_FINITE_ROWS = 1 << 20


class FastTextFile(NamedTuple):
    """What the file says: labels in order, and the loss by name."""

    labels: tuple[str, ...]
    loss: str


def check_fasttext_file(path: Path) -> FastTextFile:
    """Walk the file; every byte must belong to a part, and every weight be a finite number.

    Raises:
        InputError: missing, truncated, garbage, quantised, or not a classifier.
    """
    try:
        content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as error:
        raise unreadable(path, error) from None
    walk = _Walk(path, content)
    magic, version = walk.take("<2i")
    if (magic, version) != (MAGIC, VERSION):
        walk.refuse(f"begins with {magic}, {version}; a fastText .bin begins with {MAGIC}, {VERSION}")
    arguments = walk.take("<12id")
    dimension, loss, model = int(arguments[0]), int(arguments[6]), int(arguments[7])
    if model != SUPERVISED:
        walk.refuse("is a model of word vectors; a supervised one (train_supervised) is needed")
    if loss not in LOSSES:
        walk.refuse(f"was trained with loss number {loss}; scores need loss softmax or ova")
    labels = walk.dictionary()
    walk.matrix("input", None, dimension)
    walk.matrix("output", len(labels), dimension)
    if walk.at != len(content):
        walk.refuse(f"has {len(content) - walk.at:,} bytes after its last part")
    return FastTextFile(labels, LOSSES[loss])


class _Walk:
    """A position in the file."""

    def __init__(self, path: Path, content: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        self.path, self.content, self.at = path, content, 0

    def refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.path}: {what}; restore the file that the filter names")

    def take(self, layout: str) -> tuple[int | float, ...]:
        size = struct.calcsize(layout)
        if self.at + size > len(self.content):
            self.refuse(f"ends at byte {len(self.content):,}, in the middle of a part")
        values = struct.unpack(layout, self.content[self.at : self.at + size].tobytes())
        self.at += size
        return values

    def dictionary(self) -> tuple[str, ...]:
        """Pass over the words; return the labels."""
        size, num_words, num_labels, _, num_pruned = (int(value) for value in self.take("<3i2q"))
        if min(size, num_words, num_labels) < 0 or size != num_words + num_labels or num_pruned > 0:
            self.refuse(f"says {size} entries, {num_words} words, {num_labels} labels, {num_pruned} pruned; quantised models are not read")
        labels = []
        for _ in range(size):
            text = self._text()
            _, kind = self.take("<qb")
            if kind not in (0, 1):
                self.refuse(f"has a dictionary entry of type {kind}; types are 0 (word) and 1 (label)")
            if kind == 1:
                labels.append(text.decode("utf-8", "replace"))
        if len(labels) != num_labels:
            self.refuse(f"says {num_labels} labels and lists {len(labels)}")
        return tuple(labels)

    def _text(self) -> bytes:
        for window in (256, len(self.content)):
            zeros = np.flatnonzero(self.content[self.at : self.at + window] == 0)[:1]
            if len(zeros):
                text = self.content[self.at : self.at + int(zeros[0])].tobytes()
                self.at += len(text) + 1
                return text
        self.refuse("ends inside its dictionary")

    def matrix(self, name: str, rows: int | None, columns: int) -> None:
        """Pass over a dense matrix of finite numbers."""
        (quantised,) = self.take("<B")
        if quantised:
            self.refuse("is quantised (.ftz); only the .bin that it was made from is read")
        found_rows, found_columns = (int(value) for value in self.take("<2q"))
        size = 4 * found_rows * found_columns
        if found_columns != columns or rows not in (None, found_rows) or found_rows < 0 or self.at + size > len(self.content):
            left = len(self.content) - self.at
            self.refuse(f"says a {name} matrix of {found_rows:,} x {found_columns:,} floats, {left:,} bytes are left of the file")
        for start in range(self.at, self.at + size, 4 * _FINITE_ROWS):
            block = self.content[start : min(start + 4 * _FINITE_ROWS, self.at + size)]
            if not np.isfinite(np.frombuffer(block.tobytes(), "<f4")).all():
                self.refuse(f"has weights in its {name} matrix that are no finite numbers")
        self.at += size
