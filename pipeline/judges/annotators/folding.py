"""The words of a batch of texts in a folded form, without looking at a character that needs no
look. What folds is `mixtures.rules.word_characters.fold_words`, or a form of it that looks at no
neighbour beyond a word and leaves ASCII as that does.

A batch is one buffer, in which every text stands between spaces. ASCII is folded byte by byte, by
the table FOLDS. Of other characters, most are settled by a table of theirs; each run of the others
is folded by the reference, once for all its places, since few runs make most of a text's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from mixtures.rules.evaluation_text import unmarked, without_markup
from pipeline.judges.annotators.kernel_arrays import BLANK, KEPT, OPEN, Bytes, Words

# Columns of keys of one batch stay in a core's cache. A text above it is a batch of its own.
BATCH_CHARS = 1 << 18
# Runs outside ASCII that are remembered; longer ones (text in another script) hardly come again.
MEMORY_RUNS = 1 << 16
MEMORY_BYTES = 64

BASE = 0xD6E8FEB86659FD93  # of the polynomial over words: odd, bits well mixed

# Letters, digits and bytes of other characters stay, and NUL, the mark behind a text; all else of
# ASCII separates words.
FOLDS: Bytes = np.array(
    [
        byte if byte >= 128 or byte == 0 or chr(byte).isalnum() else 32
        for byte in bytes(range(256)).lower()
    ],
    np.uint8,
)
FOLDS.setflags(write=False)


class Batch:
    """Texts that are looked at together, and what looking at them in several ways shares.

    encoded: the texts in UTF-8 (`to_utf8`).
    """

    def __init__(self, texts: Sequence[str], encoded: Sequence[bytes] | None = None) -> None:
        self.texts = texts
        self.encoded = list(map(to_utf8, texts)) if encoded is None else encoded
        self._words: dict[WordReader, Words] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def joined(self) -> Bytes:
        """The texts in UTF-8 between spaces, a NUL behind each: uint8 [num_bytes], read-only."""
        pieces = [b" ", *map(_without_nul, self.encoded), b""]
        pieces[:2] = [b"".join(pieces[:2])]  # a space before the first alone
        return np.frombuffer(b" \0 ".join(pieces) if self.encoded else b" ", np.uint8)

    def words(self, reader: WordReader) -> Words:
        """The words that a reader finds."""
        if reader not in self._words:
            self._words[reader] = reader.read(self)
        return self._words[reader]


class FoldedRuns:
    """Folds what is not ASCII, and remembers it. fold: folds words; leads: whether a text begins
    with a character that may compose with one before it.
    """

    def __init__(self, fold: Callable[[str], str], leads: Callable[[str], bool]) -> None:
        self._fold, self._leads = fold, leads
        self._folded: dict[bytes, bytes | None] = {}

    def fold_at(self, buffer: bytes, starts: Sequence[int], ends: Sequence[int]) -> bytearray:
        """The buffer with some runs of characters outside ASCII in folded form; all else stays.

        Args:
            buffer: UTF-8 (`to_utf8`) that begins and ends in a space; what stands between spaces is
                folded without a look at the rest. starts, ends: of the runs, their first bytes and
                the bytes behind them.
        """
        return bytearray().join(self._pieces(buffer, starts, ends))

    def _pieces(self, buffer: bytes, starts: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
        written = 0
        for start, end in zip(starts, ends, strict=True):
            if start < written:  # folded already, with the word in which an earlier run stands
                continue
            run = buffer[start:end]
            folded = self._folded[run] if run in self._folded else self._remember(run)
            if folded is None:
                start, end = max(written, buffer.rfind(b" ", 0, start) + 1), buffer.find(b" ", end)
                # Folding drops the separators at both ends; before the first word they may part it
                # from the run before.
                before = b" " if FOLDS[buffer[start]] == 32 else b""
                folded = before + self._fold(from_utf8(buffer[start:end])).encode()
            yield buffer[written:start]
            yield folded
            written = end
        yield buffer[written:]

    def _remember(self, run: bytes) -> bytes | None:
        folded = self._folded_run(from_utf8(run))
        if len(run) <= MEMORY_BYTES:
            if len(self._folded) >= MEMORY_RUNS:
                self._folded.clear()
            self._folded[run] = folded
        return folded

    def _folded_run(self, run: str) -> bytes | None:
        """A run of characters outside ASCII as it stands in a folded text, separators as spaces;
        None: it needs its word.

        ASCII letters and digits compose with nothing before them, and with what comes after only if
        that is a combining character. So a run between ASCII characters stands for itself, unless
        it leads with one.
        """
        return None if self._leads(run) else self._fold(f"x{run}x").encode()[1:-1]


_APART = "一"  # an ideograph


@cache
def settled_kinds(fold: Callable[[str], str]) -> npt.NDArray[np.uint8]:
    """What folding makes of a character outside ASCII, whatever stands beside it: uint8 [0x2C00],
    by code point; those beyond are OPEN.

    KEPT: itself, a letter that composes with no character but a combining one behind it. BLANK: a
    separator. OPEN: else, or not known here; a run with such a character is folded by the
    reference. Latin letters and general punctuation are most of what English text has.
    """
    kinds = np.full(0x2C00, OPEN, np.uint8)
    codes = [*range(0x80, 0x300), *range(0x2000, 0x2C00)]
    # all at once, parted by a letter that composes with nothing, and to which none of them folds
    text = "".join(f"{_APART}{chr(code)}" for code in codes)
    folded = fold(f"{text}{_APART}").split(_APART)[1:-1]
    for code, alone in zip(codes, folded, strict=True):
        if alone == chr(code) and code < 0x300:  # no second half of a composition is below U+0300
            kinds[code] = KEPT
        elif alone == " ":
            kinds[code] = BLANK
    return kinds


class WordReader:
    """Finds the words of texts in a folded form.

    Args:
        fold, leads: as for `FoldedRuns`. joined: makes one buffer of a batch. base: of the
            polynomial; it decides speed, never a result.
    """

    def __init__(
        self,
        fold: Callable[[str], str],
        leads: Callable[[str], bool],
        joined: Callable[[Batch], Bytes],
        base: int = BASE,
    ) -> None:
        self.base = np.uint64(base)
        self._runs, self._joined = FoldedRuns(fold, leads), joined
        self._kinds = settled_kinds(fold)
        self._room: npt.NDArray[np.int64] = np.empty((2, 0), np.int64)

    def read(self, batch: Batch) -> Words:
        """The words of all texts, a mark behind each text."""
        return self.words(self._folded(self._joined(batch)))

    def words(self, buffer: Bytes) -> Words:
        """Those of a buffer in which all that is not ASCII is folded: uint8 [num_bytes]."""
        from pipeline.judges.annotators.ngram_kernels import find_words

        place = np.int32 if len(buffer) < 1 << 31 else np.int64
        # A separator is behind each word, and one on both sides of each mark.
        room = len(buffer) // 2 + 2
        starts, sums = np.empty(room, place), np.empty(room, np.uint64)
        buffer.setflags(write=False)
        count = find_words(buffer, FOLDS, self.base, starts, sums)
        return Words(buffer, starts[:count], sums[: count + 1])

    def _folded(self, buffer: Bytes) -> Bytes:
        """Fold what is not ASCII: most of it in the kernel, the rest by the reference. buffer:
        uint8 [num_bytes], which is changed.
        """
        from pipeline.judges.annotators.text_kernels import settle_runs

        if len(self._room[0]) < len(buffer) // 2:
            self._room = np.empty((2, len(buffer) // 2), np.int64)
        starts, ends = self._room
        count = settle_runs(buffer, self._kinds, starts, ends)
        if not count:
            return buffer
        runs = starts[:count].tolist(), ends[:count].tolist()
        return np.frombuffer(self._runs.fold_at(buffer.tobytes(), *runs), np.uint8)


def unmarked_utf8(batch: Batch) -> Bytes:
    """The joined texts without marks (`mixtures.rules.evaluation_text`). Most are taken away in the
    kernel, the others by the reference.
    """
    from pipeline.judges.annotators.text_kernels import LINES, OTHER, unmark

    buffer, texts = batch.joined.copy(), batch.texts
    marked, ends = np.zeros(len(texts), np.uint8), np.empty(len(texts), np.int64)
    unmark(buffer, marked, ends)
    others = np.flatnonzero(marked & OTHER).tolist()
    if not others:
        return buffer
    content = buffer.data
    pieces: list[memoryview | bytes] = []
    written = 0
    for at in others:
        left = unmarked(texts[at]) if marked[at] & LINES else without_markup(texts[at])
        begin = ends[at - 1] + 3 if at else 1  # behind the mark of the text before, ` NUL `
        pieces += [content[written:begin], _without_nul(to_utf8(left))]
        written = ends[at]
    return np.frombuffer(bytearray().join([*pieces, content[written:]]), np.uint8)


def _without_nul(encoded: bytes) -> bytes:
    """NUL is the mark behind a text, so another control stands for it."""
    return encoded.replace(b"\0", b"\1")


def to_utf8(text: str) -> bytes:
    """UTF-8 of any string. A lone surrogate becomes bytes that no UTF-8 holds; it folds to a
    separator.
    """
    return text.encode("utf-8", "surrogatepass")


def from_utf8(content: bytes) -> str:
    """The string of which `to_utf8` made these bytes."""
    return content.decode("utf-8", "surrogatepass")


def batches(texts: Sequence[str]) -> Iterator[Batch]:
    """The texts in batches of about BATCH_CHARS characters."""
    first = size = 0
    for index, text in enumerate(texts):
        if size and size + len(text) > BATCH_CHARS:
            yield Batch(texts[first:index])
            first, size = index, 0
        size += len(text)
    if first < len(texts):
        yield Batch(texts[first:])
