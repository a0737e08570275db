"""fastText classifiers: a supervised `.bin`, read by the fasttext bindings (extra `fasttext`).

A document is one line to fastText. Two things in a text would end that line early, and leave the
rest of the document unjudged: a newline, and the word `</s>`, fastText's own mark for the end of a
line. Both become spaces. There is no context: all words count, so there are no windows.

Any package that provides the module `fasttext` serves; the extra names the one that has wheels for
every Python that we support.

A file is walked from end to end before the library may read it. Its loader looks at the magic
number only: of a truncated file it makes a model of whatever was in memory, which a pin does not
catch where the file is pinned only now. All integers are little-endian:

    magic i32 = 793712314 | version i32 = 12
    dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate:
        12 x i32 | t f64
    size i32 | nwords i32 | nlabels i32 | ntokens i64 | pruneidx_size i64
    size x (text, a zero byte, count i64, type i8: 0 word, 1 label) | pruneidx_size x (i32, i32)
    quantised u8 | rows i64 | columns i64 | rows x columns f32      input matrix: words and buckets
    quantised u8 | rows i64 | columns i64 | rows x columns f32      output matrix: labels

Source of the layout: FastText::saveModel, Args::save, Dictionary::save and DenseMatrix::save of
fastText 0.9.2.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mixtures.errors import InputError, RecipeError
from mixtures.yaml.disk import open_file
from pipeline.judges.classifiers.scores import Scores, classifier_digest, quantised, require_words
from pipeline.store.records import file_sha256, unreadable

RULES = 1
POSITIVE = "__label__1"
# `</s>` between what fastText takes for white space.
_END_OF_LINE = re.compile(r"(?:\n|(?<![^ \n\r\t\v\f\0])</s>(?![^ \n\r\t\v\f\0]))+")
_ALL_LABELS = -1
MAGIC, VERSION = 793712314, 12
SUPERVISED = 3
LOSSES = (3, 4)  # softmax, one-vs-all; the hierarchical one reports no probabilities below 1e-5
_BLOCK_FLOATS = 1 << 20  # of a matrix, that are looked at together


class FastTextClassifier:
    """Scores documents with one fastText model: the probability of one label."""

    def __init__(self, path: Path, model: Any, label: str, sha256: str) -> None:
        self.digest = classifier_digest("fasttext", RULES, {"label": label}, {"model": sha256})
        self._path, self._predict, self._label = path, model.f.predict, label

    @classmethod
    def open(cls, path: Path, label: str = POSITIVE) -> FastTextClassifier:
        """Check the file and load it.

        Args:
            label: name of the positive class, as in the file (`__label__...`).
        Raises:
            RecipeError: the extra is not installed, or the file has no such label.
            InputError: the file is missing, damaged or of a kind that is not read.
        """
        try:
            from fasttext.FastText import load_model
        except ImportError:
            raise RecipeError(
                f"{path}: a fasttext classifier needs the extra `fasttext`: pip install"
                " 'annealmix[fasttext]'"
            ) from None
        labels = check_fasttext_file(path)
        if label not in labels:
            raise RecipeError(
                f"{path}: has no label {label!r}; it has {', '.join(labels[:20])}; name one as"
                " `label`"
            )
        sha256 = file_sha256(path)
        try:
            model = load_model(str(path))
        except (ValueError, MemoryError) as error:
            raise InputError(
                f"{path}: fastText cannot load it ({error}); restore the file that the filter names"
            ) from None
        return cls(path, model, label, sha256)

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths.

        Raises:
            InputError: a text holds no word, or the model gives it no score.
        """
        require_words(texts, str(self._path))
        probabilities = np.fromiter(
            (self._probability(at, text) for at, text in enumerate(texts)), np.float64, len(texts)
        )
        return quantised(probabilities, str(self._path))

    def _probability(self, at: int, text: str) -> float:
        """The low-level call: the public one fails with numpy 2 in older packages."""
        for probability, label in self._predict(
            _END_OF_LINE.sub(" ", text) + "\n", _ALL_LABELS, 0.0, "strict"
        ):
            if label == self._label:
                return float(probability)
        raise InputError(
            f"{self._path}: fastText gives document {at} of the batch no score for {self._label};"
            " leave it out"
        )


def check_fasttext_file(path: Path) -> tuple[str, ...]:
    """Walk the file; every byte must belong to a part, and every weight be a finite number. Returns
    its labels, in order.

    Raises:
        InputError: missing, truncated, garbage, quantised, or not a classifier.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = np.memmap(file, np.uint8, "r") if size else np.zeros(0, np.uint8)
    except OSError as error:
        raise unreadable(path, error) from None
    walk = _Walk(path, content)
    magic, version = walk.take("<2i")
    if (magic, version) != (MAGIC, VERSION):
        walk.refuse(
            f"begins with {magic}, {version}; a fastText .bin begins with {MAGIC}, {VERSION}"
        )
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
    return labels


class _Walk:
    """A position in the file. content: uint8 [num_bytes]."""

    def __init__(
        self, path: Path, content: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    ) -> None:
        """content: uint8 [num_bytes] of the file."""
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
            self.refuse(
                f"says {size} entries, {num_words} words, {num_labels} labels, {num_pruned} pruned;"
                " quantised models are not read"
            )
        labels = []
        for _ in range(size):
            text = self._text()
            _, kind = self.take("<qb")
            if kind not in (0, 1):
                self.refuse(
                    f"has a dictionary entry of type {kind}; types are 0 (word) and 1 (label)"
                )
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
        num_rows, num_columns = (int(value) for value in self.take("<2q"))
        size, rest = 4 * num_rows * num_columns, len(self.content) - self.at
        if num_columns != columns or rows not in (None, num_rows) or num_rows < 0 or size > rest:
            self.refuse(
                f"says a {name} matrix of {num_rows:,} x {num_columns:,} floats, {rest:,} bytes"
                " are left of the file"
            )
        for start in range(self.at, self.at + size, 4 * _BLOCK_FLOATS):
            block = self.content[start : min(start + 4 * _BLOCK_FLOATS, self.at + size)]
            if not np.isfinite(np.frombuffer(block.tobytes(), "<f4")).all():
                self.refuse(f"has weights in its {name} matrix that are no finite numbers")
        self.at += size
